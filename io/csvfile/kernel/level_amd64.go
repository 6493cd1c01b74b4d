//go:build amd64 && !purego

package kernel

import "github.com/klauspost/cpuid/v2"

// levels are those that the processor and the system allow, the best last.
func levels() []*level {
	all := []*level{plain}
	if !cpuid.CPU.Supports(cpuid.AVX, cpuid.AVX2, cpuid.CLMUL) {
		return all
	}
	all = append(all, &level{name: "avx2", find: findAVX2})
	if !cpuid.CPU.Supports(cpuid.AVX512F, cpuid.AVX512BW) {
		return all
	}
	return append(all, &level{name: "avx512", find: findAVX512})
}
