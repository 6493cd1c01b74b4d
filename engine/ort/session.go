package ort

// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"github.com/millrace/millrace/models"
)

// Session is a model made ready to run: its graph optimised and its weights in
// place. Any number of goroutines may Run it at once, each with its own
// tensors.
//
// A Run is one crossing into C. What it needs besides the tensors, arrays of
// handles and ONNX Runtime's run options, is kept in callers, of which the
// session holds as many as were ever running at once. Names stay in C memory
// from the start.
//
// The alternative, ONNX Runtime's IoBinding, gains nothing on the CPU (measured)
// and ties a set of tensors to each worker.
type Session struct {
	model           *models.Model
	c               *C.OrtSession
	inputs, outputs []models.Value
	passed          []int // by output, the input that it is; -1: none
	placement       []Node
	names           []*C.char // inputs, then outputs; the array is C's
	inputNames      **C.char
	outputNames     **C.char

	// running is held for reading by each Run, so that Close waits for all.
	running sync.RWMutex
	closed  bool

	mu   sync.Mutex
	free []*caller
}

// NewSession makes a session from the bytes that models.Open checked. An error
// wraps models.ErrModel when ONNX Runtime refuses the model, or ErrOutOfMemory;
// a *StatusError in it has ONNX Runtime's code and log.
func NewSession(lib *Library, m *models.Model, opts SessionOptions) (*Session, error) {
	if lib == nil {
		return nil, fmt.Errorf("model %s: %w: no library", m.Path, ErrLibrary)
	}
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		return nil, fmt.Errorf("model %s: session options: %w", m.Path, err)
	}
	s := &Session{model: m}
	err := s.create(lib, m, opts)
	if err == nil {
		err = m.Changed()
	}
	if err == nil && opts.Provider != CPU {
		err = s.recordPlacement()
	}
	if err == nil {
		err = s.describe(opts)
	}
	if err != nil {
		err = errors.Join(refusal(m, err), s.Close())
		return nil, err
	}
	opened(s)
	return s, nil
}

func (s *Session) create(lib *Library, m *models.Model, opts SessionOptions) (err error) {
	built, err := opts.build(m)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, built.Destroy()) }()
	options, err := handle(built)
	if err != nil {
		return err
	}
	if err := opts.appendProvider(lib, m, (*C.OrtSessionOptions)(options)); err != nil {
		return err
	}
	if m.OwnKernels() {
		var status *C.OrtStatus
		if opts.Provider == CUDA {
			status = C.mr_add_device_operators((*C.OrtSessionOptions)(options), C.int(opts.Device))
		} else {
			status = C.mr_add_operators((*C.OrtSessionOptions)(options))
		}
		if err := statusError(status, logEnd()); err != nil {
			return err
		}
	}
	data := m.Data()
	since := logEnd()
	status := C.mr_create_session(unsafe.Pointer(unsafe.SliceData(data)), C.size_t(len(data)),
		(*C.OrtSessionOptions)(options), &s.c) //nolint:gocritic // dupSubExpr reads what cgo generates
	if err := statusError(status, since); err != nil {
		s.c = nil
		return err
	}
	live.sessions.Add(1)
	return nil
}

// refusal says whose fault a session's failure is, and names operators that
// ONNX Runtime does not have.
func refusal(m *models.Model, err error) error {
	var status *StatusError
	switch {
	case errors.Is(err, ErrOutOfMemory):
		return fmt.Errorf("model %s: %w: %w", m.Path, ErrOutOfMemory, err)
	case errors.Is(err, ErrProvider), !errors.As(err, &status):
		return fmt.Errorf("model %s: %w", m.Path, err)
	case strings.Contains(status.Message, "CUDA: "): // of our operators; see cuda_driver.c
		return fmt.Errorf("model %s: %w: %w; `millrace doctor` says what it needs", m.Path, ErrProvider, err)
	case len(m.Custom) > 0:
		names := make([]string, 0, len(m.Custom))
		for _, op := range m.Custom {
			names = append(names, op.String())
		}
		return fmt.Errorf("model %s: %w: ONNX Runtime has no operator %s, which a library of custom operators would bring: %w",
			m.Path, models.ErrUnsupported, strings.Join(names, ", "), err)
	case missingLocale(status) != "":
		return fmt.Errorf("model %s: %w: StringNormalizer wants the locale %q, which this system lacks: install it (locales-all "+
			"of Debian and Ubuntu), or give the operator the attribute locale=\"C\": %w", m.Path, models.ErrUnsupported, missingLocale(status), err)
	case status.Code == CodeNotImplemented:
		return fmt.Errorf("model %s: %w: %w", m.Path, models.ErrUnsupported, err)
	}
	return fmt.Errorf("model %s: %w: %w", m.Path, models.ErrModel, err)
}

// missingLocale is the locale that StringNormalizer did not find
// (core/providers/cpu/text/string_normalizer.cc); "" for other faults.
func missingLocale(status *StatusError) string {
	_, after, found := strings.Cut(status.Message, "Failed to construct locale with name:")
	if !found {
		return ""
	}
	name, _, _ := strings.Cut(after, ":")
	return name
}

// describe reads the signature as ONNX Runtime sees it, after shape inference.
func (s *Session) describe(opts SessionOptions) error {
	var inputs, outputs C.size_t
	if err := statusError(C.mr_session_counts(s.c, &inputs, &outputs), logEnd()); err != nil {
		return err
	}
	read := func(output, n C.size_t) (values []models.Value, err error) {
		for i := range n {
			v, err := s.value(C.int(output), i)
			if err != nil {
				return nil, err
			}
			values = append(values, v)
		}
		return values, nil
	}
	var err error
	if s.inputs, err = read(0, inputs); err != nil {
		return err
	}
	if s.outputs, err = read(1, outputs); err != nil {
		return err
	}
	if opts.Outputs != nil {
		if s.outputs, err = choose(s.outputs, opts.Outputs); err != nil {
			return err
		}
	}
	for _, out := range s.outputs {
		s.passed = append(s.passed, slices.IndexFunc(s.inputs, func(in models.Value) bool { return in.Name == out.Name }))
	}
	array := (**C.char)(C.calloc(C.size_t(len(s.inputs)+len(s.outputs)+1), C.size_t(unsafe.Sizeof(uintptr(0)))))
	s.names = unsafe.Slice(array, len(s.inputs)+len(s.outputs)+1)
	for i, v := range slices.Concat(s.inputs, s.outputs) {
		s.names[i] = C.CString(v.Name)
	}
	s.inputNames, s.outputNames = &s.names[0], &s.names[len(s.inputs)]
	return nil
}

func choose(all []models.Value, names []string) ([]models.Value, error) {
	chosen := make([]models.Value, 0, len(names))
	for _, name := range names {
		i := slices.IndexFunc(all, func(v models.Value) bool { return v.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("%w: the model has no output %q", models.ErrModel, name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// kinds are models' words for ONNXType.
var kinds = map[C.int]models.Kind{1: models.Tensor, 2: models.Sequence, 3: models.Map, 5: models.SparseTensor, 6: models.Optional}

func (s *Session) value(output C.int, i C.size_t) (models.Value, error) {
	var info C.mr_info
	defer C.mr_free_info(&info)                                                             //nolint:gocritic // dupSubExpr reads what cgo generates
	if err := statusError(C.mr_session_info(s.c, output, i, &info), logEnd()); err != nil { //nolint:gocritic // dupSubExpr reads what cgo generates
		return models.Value{}, err
	}
	v := models.Value{
		Name: C.GoString(info.name), Kind: kinds[info.kind],
		Elem: models.ElementType(info.elem), Key: models.ElementType(info.key),
	}
	if v.Kind == models.Sequence && kinds[info.inner] == models.Map {
		v.Kind = models.SequenceOfMaps
	}
	if v.HasShape = info.has_shape != 0; v.HasShape {
		v.Shape = make(models.Shape, info.rank)
		for d := range v.Shape {
			v.Shape[d] = models.Dim{Size: max(-1, int64(info.dims[d])), Param: C.GoString(info.params[d])}
		}
	}
	return v, nil
}

// Model is the model the session was made from.
func (s *Session) Model() *models.Model { return s.model }

// Inputs are the inputs that every Run takes, in order, as ONNX Runtime sees
// them. Not to be changed.
func (s *Session) Inputs() []models.Value { return s.inputs }

// Outputs are the outputs that every Run gives, in order: those of
// SessionOptions.Outputs, or all. Not to be changed.
func (s *Session) Outputs() []models.Value { return s.outputs }

// Memory is what ONNX Runtime's arena has handed out for the session, in bytes: weights, and
// what Runs hold between their nodes; now, and at most since it was opened. Both are 0 on
// devices, and where the library keeps no account.
func (s *Session) Memory() (used, peak int64, err error) {
	s.running.RLock()
	defer s.running.RUnlock()
	if s.closed {
		return 0, 0, ErrClosed
	}
	var now, most C.int64_t
	err = statusError(C.mr_session_memory(s.c, &now, &most), logEnd())
	return int64(now), int64(most), err
}

// Close waits for every Run and frees the session. Tensors stay valid. It may
// be called again.
func (s *Session) Close() error {
	s.running.Lock()
	defer s.running.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	for _, c := range s.free {
		c.release()
	}
	s.free = nil
	if s.c != nil {
		C.mr_release_session(s.c)
		s.c = nil
		live.sessions.Add(-1)
	}
	for _, name := range s.names {
		C.free(unsafe.Pointer(name))
	}
	if len(s.names) > 0 {
		C.free(unsafe.Pointer(unsafe.SliceData(s.names)))
	}
	s.names, s.inputNames, s.outputNames = nil, nil, nil
	closed(s)
	return nil
}
