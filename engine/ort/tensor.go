package ort

// #include "shim.h"
import "C"

import (
	"fmt"
	"math"
	"math/bits"
	"runtime"
	"unsafe"

	"github.com/millrace/millrace/models"
)

// Tensor is an OrtValue: a tensor over memory of Go's or a mapping's, one whose
// memory is ONNX Runtime's, or, as an output only, a sequence or map.
//
// It belongs to one goroutine at a time and must be closed.
type Tensor struct {
	c      *C.OrtValue
	kind   models.Kind
	elem   models.ElementType
	shape  []int64
	data   []byte // aliases, until Close
	pinner runtime.Pinner
	pinned bool
}

// NewTensor makes a tensor over data: shape's product elements of a type with a
// fixed size, in row-major order, in the machine's byte order. Any dimension
// may be zero; no dimensions make a scalar. data must start at a multiple of the
// element's size and have exactly the bytes the shape takes.
//
// The tensor borrows data until Close: Go memory stays pinned, other memory
// (a mapping) the caller must keep. As an output it is written to.
//
// Errors wrap ErrTensor.
func NewTensor(elem models.ElementType, shape []int64, data []byte) (*Tensor, error) {
	size := elem.Bytes()
	if size == 0 {
		return nil, fmt.Errorf("%w: %s has no fixed size", ErrTensor, elem)
	}
	n, err := elementsOf(shape)
	if err != nil {
		return nil, err
	}
	if n > math.MaxInt64/size || n*size != len(data) {
		return nil, fmt.Errorf("%w: %v of %s, but %d bytes of data", ErrTensor, shape, elem, len(data))
	}
	t := &Tensor{kind: models.Tensor, elem: elem, shape: append(make([]int64, 0, len(shape)), shape...), data: data}
	p := unsafe.SliceData(data)
	if len(data) == 0 {
		p = nil
	} else {
		align := min(size, 8) // complex128 is two float64
		if uintptr(unsafe.Pointer(p))%uintptr(align) != 0 {
			return nil, fmt.Errorf("%w: data of %s is not aligned to %d bytes", ErrTensor, elem, align)
		}
		t.pinner.Pin(p)
		t.pinned = true
	}
	status := C.mr_tensor_over(unsafe.Pointer(p), C.size_t(len(data)), dims(shape), C.size_t(len(shape)), C.int(elem), &t.c) //nolint:gocritic // dupSubExpr reads what cgo generates
	if err := statusError(status, logEnd()); err != nil {
		t.pinner.Unpin()
		return nil, fmt.Errorf("%w: %v of %s: %w", ErrTensor, shape, elem, err)
	}
	t.count()
	return t, nil
}

// Of makes a tensor over a slice of Go numbers; see NewTensor. T's size must be
// elem's.
func Of[T int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64 | float32 | float64 | bool](
	elem models.ElementType, shape []int64, data []T,
) (*Tensor, error) {
	size := int(unsafe.Sizeof(*new(T)))
	if size != elem.Bytes() {
		return nil, fmt.Errorf("%w: elements of %d bytes for %s", ErrTensor, size, elem)
	}
	return NewTensor(elem, shape, unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(data))), len(data)*size))
}

// adopt makes a Tensor of a value that ONNX Runtime allocated. It transfers the
// value: on an error it is released.
func adopt(value *C.OrtValue) (*Tensor, error) {
	if value == nil {
		return nil, fmt.Errorf("%w: ONNX Runtime gave no value", ErrOutput)
	}
	var d C.mr_value
	if err := statusError(C.mr_describe(value, &d), logEnd()); err != nil { //nolint:gocritic // dupSubExpr reads what cgo generates
		C.mr_release_value(value)
		return nil, err
	}
	t := &Tensor{c: value, kind: kinds[d.kind], elem: models.ElementType(d.elem)}
	if t.kind == models.Tensor {
		t.shape = make([]int64, d.rank)
		for i := range t.shape {
			t.shape[i] = int64(d.dims[i])
		}
		n, err := elementsOf(t.shape)
		if err != nil {
			C.mr_release_value(value)
			return nil, err
		}
		if d.data != nil {
			t.data = unsafe.Slice((*byte)(d.data), n*t.elem.Bytes())
		}
	}
	t.count()
	return t, nil
}

func (t *Tensor) count() {
	live.tensors.Add(1)
	if t.pinned {
		live.pins.Add(1)
	}
	opened(t)
}

// Elem is the type of the elements; Undefined for sequences and maps.
func (t *Tensor) Elem() models.ElementType { return t.elem }

// Kind tells tensors from sequences and maps.
func (t *Tensor) Kind() models.Kind { return t.kind }

// Shape is the tensor's shape, not to be changed; nil for sequences and maps.
func (t *Tensor) Shape() []int64 { return t.shape }

// Bytes aliases the elements until Close, of NewTensor's data or of ONNX
// Runtime's memory. It is nil for strings, sequences and maps.
func (t *Tensor) Bytes() []byte { return t.data }

// View aliases a tensor's elements as numbers until Close; nil when T's size is
// not the elements'.
func View[T int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64 | float32 | float64 | bool](t *Tensor) []T {
	size := int(unsafe.Sizeof(*new(T)))
	if size != t.elem.Bytes() || t.data == nil {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(t.data))), len(t.data)/size)
}

// Rows makes a tensor over rows from to to-1 of one: of its first dimension. It
// borrows the memory of the tensor, which must outlive it.
func (t *Tensor) Rows(from, to int64) (*Tensor, error) {
	if t.kind != models.Tensor || t.data == nil || len(t.shape) == 0 || from < 0 || to < from || to > t.shape[0] {
		return nil, fmt.Errorf("%w: no rows %d to %d of a %s of shape %v", ErrTensor, from, to, t.elem, t.shape)
	}
	shape := append([]int64{to - from}, t.shape[1:]...)
	n, err := elementsOf(shape)
	if err != nil {
		return nil, err
	}
	row := 0
	if to > from {
		row = n * t.elem.Bytes() / int(to-from)
	}
	return NewTensor(t.elem, shape, t.data[int(from)*row:int(from)*row+n*t.elem.Bytes()])
}

// Close frees the value and lets go of the memory under it. It may be called
// again.
func (t *Tensor) Close() error {
	if t.c == nil {
		return nil
	}
	C.mr_release_value(t.c)
	t.c, t.data = nil, nil
	live.tensors.Add(-1)
	if t.pinned {
		t.pinner.Unpin()
		t.pinned = false
		live.pins.Add(-1)
	}
	closed(t)
	return nil
}

// elementsOf is the number of elements of a shape.
func elementsOf(shape []int64) (int, error) {
	if len(shape) > C.MR_MAX_RANK {
		return 0, fmt.Errorf("%w: %d dimensions, and at most %d are taken", ErrTensor, len(shape), C.MR_MAX_RANK)
	}
	n, zero := uint64(1), false
	for _, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("%w: negative dimension in %v", ErrTensor, shape)
		}
		if d == 0 {
			zero = true
			continue
		}
		hi, lo := bits.Mul64(n, uint64(d))
		if hi != 0 || lo > math.MaxInt {
			return 0, fmt.Errorf("%w: too many elements in %v", ErrTensor, shape)
		}
		n = lo
	}
	if zero {
		return 0, nil
	}
	return int(n), nil
}

func dims(shape []int64) *C.int64_t {
	return (*C.int64_t)(unsafe.Pointer(unsafe.SliceData(shape)))
}
