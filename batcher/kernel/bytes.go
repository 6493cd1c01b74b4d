package kernel

import "unsafe"

// Bytes is the memory of a slice as bytes; it aliases s.
func Bytes[T any](s []T) []byte {
	if len(s) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(s[0])))
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
	skip := 0
	if over := int(uintptr(unsafe.Pointer(unsafe.SliceData(raw))) & 63); over%size == 0 && over != 0 {
		skip = (64 - over) / size
	}
	return raw[skip : skip+n : skip+n]
}
