package ort

// #include "shim.h"
import "C"

import (
	"fmt"
	"unsafe"

	"github.com/millrace/millrace/models"
)

// Offset is how Arrow counts bytes of strings: int32 in Utf8 and Binary, int64
// in their Large forms.
type Offset interface{ int32 | int64 }

// NewStringTensor makes a string tensor from Arrow's layout: element i is
// data[offsets[i]:offsets[i+1]], so offsets has one entry more than the shape has
// elements and need not start at zero. The bytes are copied into ONNX Runtime's
// own strings and nothing is borrowed beyond the call; they are not checked to
// be UTF-8, and may hold zeros.
//
// Errors wrap ErrTensor.
func NewStringTensor[O Offset](shape []int64, offsets []O, data []byte) (*Tensor, error) {
	n, err := elementsOf(shape)
	if err != nil {
		return nil, err
	}
	if err := checkOffsets(n, offsets, data); err != nil {
		return nil, err
	}
	t := &Tensor{kind: models.Tensor, elem: models.String, shape: append(make([]int64, 0, len(shape)), shape...)}
	status := C.mr_string_tensor(dims(shape), C.size_t(len(shape)), &t.c) //nolint:gocritic // dupSubExpr reads what cgo generates
	if err := statusError(status, logEnd()); err != nil {
		return nil, fmt.Errorf("%w: %v of strings: %w", ErrTensor, shape, err)
	}
	t.count()
	if err := fill(t, offsets, data); err != nil {
		_ = t.Close()
		return nil, err
	}
	return t, nil
}

// RefillStrings replaces the contents of a string tensor, as many as it has;
// see NewStringTensor. Strings that are not longer than what was there before
// take no memory.
func RefillStrings[O Offset](t *Tensor, offsets []O, data []byte) error {
	if t.c == nil {
		return fmt.Errorf("%w: %w", ErrTensor, ErrClosed)
	}
	if t.elem != models.String || t.kind != models.Tensor {
		return fmt.Errorf("%w: strings for a tensor of %s", ErrTensor, t.elem)
	}
	n, err := elementsOf(t.shape)
	if err != nil {
		return err
	}
	if err := checkOffsets(n, offsets, data); err != nil {
		return err
	}
	return fill(t, offsets, data)
}

func checkOffsets[O Offset](n int, offsets []O, data []byte) error {
	if n == 0 && len(offsets) == 0 { // Arrow allows no offsets for no rows
		return nil
	}
	if len(offsets) != n+1 {
		return fmt.Errorf("%w: %d offsets for %d strings; want %d", ErrTensor, len(offsets), n, n+1)
	}
	last := O(0)
	for i, o := range offsets {
		if o < last {
			return fmt.Errorf("%w: string offset %d (%d) is below the one before (%d)", ErrTensor, i, o, last)
		}
		last = o
	}
	if int64(last) > int64(len(data)) {
		return fmt.Errorf("%w: strings end at byte %d of %d", ErrTensor, last, len(data))
	}
	return nil
}

func fill[O Offset](t *Tensor, offsets []O, data []byte) error {
	n := len(offsets) - 1
	if n <= 0 {
		return nil
	}
	p := (*C.char)(unsafe.Pointer(unsafe.SliceData(data)))
	var status *C.OrtStatus
	switch o := any(offsets).(type) {
	case []int32:
		status = C.mr_fill_strings32(t.c, (*C.int32_t)(unsafe.SliceData(o)), p, C.size_t(n))
	case []int64:
		status = C.mr_fill_strings64(t.c, (*C.int64_t)(unsafe.SliceData(o)), p, C.size_t(n))
	}
	if err := statusError(status, logEnd()); err != nil {
		return fmt.Errorf("%w: fill strings: %w", ErrTensor, err)
	}
	return nil
}

// Strings gives a string tensor's contents in Arrow's layout, in memory of its
// own: offsets has one entry more than there are strings.
func (t *Tensor) Strings() (offsets []int64, data []byte, err error) {
	return t.ReadStrings(nil, nil)
}

// ReadStrings is Strings into memory of the caller: the results start where
// offsets and data begin, whose contents are overwritten and whose capacity is
// reused.
func (t *Tensor) ReadStrings(offsets []int64, data []byte) ([]int64, []byte, error) {
	if t.c == nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrTensor, ErrClosed)
	}
	if t.kind != models.Tensor || t.elem != models.String {
		return nil, nil, fmt.Errorf("%w: %s is not a string", ErrTensor, t.elem)
	}
	n, err := elementsOf(t.shape)
	if err != nil {
		return nil, nil, err
	}
	var bytes C.size_t
	if err := statusError(C.mr_strings_bytes(t.c, &bytes), logEnd()); err != nil {
		return nil, nil, err
	}
	offsets, data = resize(offsets, n+1), resize(data, int(bytes))
	if n > 0 {
		status := C.mr_strings_read(t.c, (*C.char)(unsafe.Pointer(unsafe.SliceData(data))), bytes,
			(*C.size_t)(unsafe.Pointer(unsafe.SliceData(offsets))), C.size_t(n))
		if err := statusError(status, logEnd()); err != nil {
			return nil, nil, err
		}
	}
	offsets[n] = int64(bytes)
	return offsets, data, nil
}

func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
