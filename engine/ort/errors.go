package ort

// #include "shim.h"
import "C"

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Errors of loading the library; each is an ErrLibrary.
var (
	ErrLibrary = errors.New("ONNX Runtime cannot be loaded")
	// ErrLibraryMissing: no library at any of the places named.
	ErrLibraryMissing = fmt.Errorf("%w: no library found", ErrLibrary)
	// ErrLibraryTooOld: a library, but without the C API this program uses.
	ErrLibraryTooOld = fmt.Errorf("%w: the library is too old", ErrLibrary)
	// ErrLibraryLoaded: another library is in this process already.
	ErrLibraryLoaded = fmt.Errorf("%w: another one is in use", ErrLibrary)
)

// Errors of sessions and values.
var (
	// ErrClosed: the session or tensor was closed before.
	ErrClosed = errors.New("closed")
	// ErrTensor: a tensor does not fit its memory or the session.
	ErrTensor = errors.New("tensor does not fit")
	// ErrOutput: an output's type cannot be decoded.
	ErrOutput = errors.New("output cannot be decoded")
	// ErrProvider: the execution provider is not in this program or library.
	ErrProvider = errors.New("execution provider not available")
	// ErrOutOfMemory: ONNX Runtime could not get memory.
	ErrOutOfMemory = errors.New("out of memory")
)

// Code is an OrtErrorCode (onnxruntime_c_api.h).
type Code int

// The codes that callers tell apart.
const (
	CodeFail            Code = 1
	CodeInvalidArgument Code = 2
	CodeNoSuchFile      Code = 3
	CodeNoModel         Code = 4
	CodeEngineError     Code = 5
	CodeException       Code = 6
	CodeInvalidProtobuf Code = 7
	CodeNotImplemented  Code = 9
	CodeInvalidGraph    Code = 10
	CodeEPFail          Code = 11
)

var codeNames = map[Code]string{
	CodeFail: "FAIL", CodeInvalidArgument: "INVALID_ARGUMENT", CodeNoSuchFile: "NO_SUCHFILE", CodeNoModel: "NO_MODEL",
	CodeEngineError: "ENGINE_ERROR", CodeException: "RUNTIME_EXCEPTION", CodeInvalidProtobuf: "INVALID_PROTOBUF",
	CodeNotImplemented: "NOT_IMPLEMENTED", CodeInvalidGraph: "INVALID_GRAPH", CodeEPFail: "EP_FAIL",
}

// String is the code's name in the C API, without its prefix.
func (c Code) String() string {
	if s, ok := codeNames[c]; ok {
		return s
	}
	return fmt.Sprintf("code %d", int(c))
}

// StatusError is an error that ONNX Runtime returned. Under %+v it also prints
// what ONNX Runtime logged meanwhile, by any session.
type StatusError struct {
	Code    Code
	Message string
	Log     []LogMessage
}

// Error gives ONNX Runtime's own words and code.
func (e *StatusError) Error() string {
	return fmt.Sprintf("ONNX Runtime: %s (%s)", e.Message, e.Code)
}

// Is makes a failed call to a device an ErrDevice, and a failed allocation an ErrOutOfMemory; ONNX Runtime has no codes for
// them, only words (std::bad_alloc, core/framework/bfc_arena.cc and
// core/providers/cuda/cuda_call.cc).
func (e *StatusError) Is(target error) bool {
	says := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(e.Message, w) })
	}
	memory := says("bad_alloc", "Failed to allocate memory", "Available memory of", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
	switch target {
	case ErrOutOfMemory:
		return memory
	case ErrDevice:
		return !memory && says("CUDA failure", "CUDA error", "CUBLAS failure", "CUDNN failure", "CUDNN_FE failure", "CUFFT failure", "CURAND failure")
	}
	return false
}

// Format implements fmt.Formatter.
func (e *StatusError) Format(s fmt.State, verb rune) {
	_, _ = io.WriteString(s, e.Error())
	if verb == 'v' && s.Flag('+') {
		for _, l := range e.Log {
			fmt.Fprintf(s, "\n  %s: %s", l.Severity, l.Text)
		}
	}
}

// statusError releases a status and gives it as an error with the log since
// sequence number since; nil for a nil status.
func statusError(status *C.OrtStatus, since uint64) error {
	if status == nil {
		return nil
	}
	defer C.mr_release_status(status)
	return &StatusError{
		Code:    Code(C.mr_status_code(status)),
		Message: strings.TrimSpace(C.GoString(C.mr_status_message(status))),
		Log:     logSince(since),
	}
}
