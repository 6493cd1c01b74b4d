//go:build amd64 && !purego

package kernel

import "github.com/klauspost/cpuid/v2"

// levels are those that the processor and the system allow, the best last.
func levels() []*level {
	all := []*level{plain}
	// Beside AVX2 its kernels use BMI2 (a mask) and POPCNT.
	if !cpuid.CPU.Supports(cpuid.AVX, cpuid.AVX2, cpuid.BMI2, cpuid.POPCNT) {
		return all
	}
	avx2 := &level{name: "avx2", unpack: unpackAVX2, fill: fillAVX2, pairs: pairsBMI2, eights: true}
	avx2.spreads[1], avx2.spreads[2], avx2.spreads[4], avx2.spreads[8] = spread1AVX2, spread2AVX2, spread4AVX2, spread8AVX2
	avx2.gathers[4] = []gatherKernel{{0, gather4AVX2}}
	avx2.gathers[8] = []gatherKernel{{0, gather8AVX2}}
	avx2.differences, avx2.rebase = differencesAVX2, rebaseAVX2
	avx2.minMax = minMaxes{int32: minMaxInt32AVX2, uint32: minMaxUint32AVX2, int64: minMaxInt64AVX2, float32: minMaxFloat32AVX2, float64: minMaxFloat64AVX2}
	all = append(all, avx2)
	// Bytes are permuted by VBMI and expanded by VBMI2: Ice Lake, Zen 4. The
	// AVX-512 of before has too little for these loops.
	if !cpuid.CPU.Supports(cpuid.AVX512F, cpuid.AVX512VL, cpuid.AVX512BW, cpuid.AVX512DQ, cpuid.AVX512VBMI, cpuid.AVX512VBMI2) {
		return all
	}
	avx512 := &level{name: "avx512", unpack: unpackAVX512, fill: fillAVX2, pairs: pairsBMI2}
	avx512.spreads[1], avx512.spreads[2], avx512.spreads[4], avx512.spreads[8] = spread1AVX512, spread2AVX512, spread4AVX512, spread8AVX512
	avx512.gathers[4] = []gatherKernel{{32, gather4of32AVX512}, {128, gather4of128AVX512}, {0, gather4AVX512}}
	avx512.gathers[8] = []gatherKernel{{16, gather8of16AVX512}, {64, gather8of64AVX512}, {0, gather8AVX512}}
	avx512.differences, avx512.rebase, avx512.minMax = avx2.differences, avx2.rebase, avx2.minMax
	return append(all, avx512)
}
