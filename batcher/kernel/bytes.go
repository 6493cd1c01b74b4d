package kernel

import (
	"unsafe"

	"github.com/millrace/millrace/internal/hugepage"
)

// Bytes is the memory of a slice as bytes; it aliases s.
func Bytes[T any](s []T) []byte {
	if len(s) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(s[0])))
}

// Of views bytes as values; memory must be aligned for them.
func Of[T any](b []byte) []T {
	size := int(unsafe.Sizeof(*new(T)))
	if len(b) < size {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/size)
}

// Aligned makes a slice of n zero values whose memory starts at a multiple of
// 64 bytes, a cache line and an AVX-512 register.
func Aligned[T any](n int) []T {
	var t T
	size := int(unsafe.Sizeof(t))
	if n == 0 || 64%size != 0 {
		return make([]T, n)
	}
	raw := make([]T, n+64/size)
	hugepage.Advise(Bytes(raw))
	skip := 0
	if over := int(uintptr(unsafe.Pointer(unsafe.SliceData(raw))) & 63); over%size == 0 && over != 0 {
		skip = (64 - over) / size
	}
	return raw[skip : skip+n : skip+n]
}

// pointer is where a slice's memory begins, for a kernel.
func pointer[T any](s []T) *byte { return (*byte)(unsafe.Pointer(unsafe.SliceData(s))) }

// bitsFrom is the byte that holds a bit of a bitmap and the bit's place in it,
// for a kernel that reads n bits.
func bitsFrom(bitmap []byte, bit, n int) (from *byte, at int) {
	return &bitmap[bit>>3 : (bit+n+7)>>3][0], bit & 7
}

// bitsOf is a value's bits, the rest zero.
func bitsOf[T Number](v T) uint64 {
	switch sizeOf[T]() {
	case 1:
		return uint64(*(*uint8)(unsafe.Pointer(&v)))
	case 2:
		return uint64(*(*uint16)(unsafe.Pointer(&v)))
	case 4:
		return uint64(*(*uint32)(unsafe.Pointer(&v)))
	default:
		return *(*uint64)(unsafe.Pointer(&v))
	}
}

func sizeOf[T any]() int {
	var t T
	return int(unsafe.Sizeof(t))
}
