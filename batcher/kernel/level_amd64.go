//go:build amd64 && !purego

package kernel

import "github.com/klauspost/cpuid/v2"

// levels are those that the processor and the system allow, the best last.
func levels() []*level {
	all := []*level{plain}
	// Beside AVX2 its kernels use BMI2 (shifts), POPCNT and FMA3.
	if !cpuid.CPU.Supports(cpuid.AVX, cpuid.AVX2, cpuid.BMI2, cpuid.POPCNT, cpuid.FMA3) {
		return all
	}
	avx2 := &level{name: "avx2"}
	avx2.transposes[1] = []transposeKernel{{8, 16, transpose1x8AVX2}}
	avx2.transposes[2] = []transposeKernel{{8, 8, transpose2x8AVX2}}
	avx2.fills[1], avx2.fills[4], avx2.fills[8] = fill1AVX2, fill4AVX2, fill8AVX2
	avx2.spreads[1], avx2.spreads[4], avx2.spreads[8] = spread1AVX2, spread4AVX2, spread8AVX2
	avx2.casts[kindF64][kindF32] = castKernel{castF64F32AVX2, castF64F32ValidAVX2}
	avx2.casts[kindI64][kindF32] = castKernel{castI64F32AVX2, castI64F32ValidAVX2}
	avx2.casts[kindI64][kindI32] = castKernel{castI64I32AVX2, castI64I32ValidAVX2}
	avx2.casts[kindI64][kindF64] = castKernel{castI64F64AVX2, castI64F64ValidAVX2}
	avx2.casts[kindI32][kindF32] = castKernel{castI32F32AVX2, castI32F32ValidAVX2}
	avx2.casts[kindI32][kindF64] = castKernel{castI32F64AVX2, castI32F64ValidAVX2}
	avx2.casts[kindF32][kindF64] = castKernel{castF32F64AVX2, castF32F64ValidAVX2}
	avx2.casts[kindI32][kindI64] = castKernel{castI32I64AVX2, castI32I64ValidAVX2}
	avx2.expands[1] = expandKernel{expand1AVX2, expand1ValidAVX2}
	avx2.expands[4] = expandKernel{expand4AVX2, expand4ValidAVX2}
	avx2.expands[8] = expandKernel{expand8AVX2, expand8ValidAVX2}
	avx2.rowsSame[4] = rowsKernel{all: rows4AVX2, valid: rows4ValidAVX2, turned: rows4TurnedAVX2}
	avx2.rowsSame[8] = rowsKernel{all: rows8AVX2, valid: rows8ValidAVX2}
	avx2.rows[kindF64][kindF32] = rowsKernel{all: rowsF64F32AVX2, valid: rowsF64F32ValidAVX2}
	avx2.rows[kindI64][kindF32] = rowsKernel{all: rowsI64F32AVX2, valid: rowsI64F32ValidAVX2}
	avx2.rows[kindI64][kindI32] = rowsKernel{all: rowsI64I32AVX2, valid: rowsI64I32ValidAVX2}
	avx2.rows[kindI64][kindF64] = rowsKernel{all: rowsI64F64AVX2, valid: rowsI64F64ValidAVX2}
	avx2.rows[kindI32][kindF32] = rowsKernel{all: rowsI32F32AVX2, valid: rowsI32F32ValidAVX2}
	avx2.rows[kindI32][kindF32].quick = &rowsKernel{all: rowsI32F32QuickAVX2, valid: rowsI32F32QuickValidAVX2, turned: rowsI32F32QuickTurnedAVX2}
	avx2.rows[kindI32][kindF64] = rowsKernel{all: rowsI32F64AVX2, valid: rowsI32F64ValidAVX2}
	avx2.rows[kindF32][kindF64] = rowsKernel{all: rowsF32F64AVX2, valid: rowsF32F64ValidAVX2}
	avx2.rows[kindI32][kindI64] = rowsKernel{all: rowsI32I64AVX2, valid: rowsI32I64ValidAVX2}
	avx2.bounds[kindF32] = rowsKernel{all: boundF32AVX2, valid: boundF32ValidAVX2}
	avx2.bounds[kindF64] = rowsKernel{all: boundF64AVX2, valid: boundF64ValidAVX2}
	quick := rowsKernel{all: narrowF32QuickAVX2, valid: narrowF32QuickValidAVX2, turned: narrowF32QuickTurnedAVX2}
	avx2.narrow[narrowFills] = rowsKernel{all: narrowF32AVX2, valid: narrowF32ValidAVX2, turned: narrowF32TurnedAVX2, quick: &quick}
	avx2.narrow[narrowMixed] = rowsKernel{valid: narrowF32ValidAVX2, quick: &quick}
	avx2.narrow[narrowKeeps], avx2.narrowValues = quick, narrowF32ValuesAVX2
	avx2.narrow[narrowKeeps].ignored = 1 // MXCSR's note of what is invalid: NaN, which stays as it is
	avx2.affines[kindF32][kindF32] = rowsKernel{all: affineF32F32AVX2, valid: affineF32F32ValidAVX2}
	avx2.affineValues[kindF32][kindF32] = affineF32F32ValuesAVX2
	avx2.affines[kindF32][kindF64] = rowsKernel{all: affineF32F64AVX2, valid: affineF32F64ValidAVX2}
	avx2.affineValues[kindF32][kindF64] = affineF32F64ValuesAVX2
	avx2.affines[kindF64][kindF32] = rowsKernel{all: affineF64F32AVX2, valid: affineF64F32ValidAVX2}
	avx2.affineValues[kindF64][kindF32] = affineF64F32ValuesAVX2
	avx2.affines[kindF64][kindF64] = rowsKernel{all: affineF64F64AVX2, valid: affineF64F64ValidAVX2}
	avx2.affineValues[kindF64][kindF64] = affineF64F64ValuesAVX2
	avx2.affines[kindI32][kindF32] = rowsKernel{all: affineI32F32AVX2, valid: affineI32F32ValidAVX2}
	avx2.affineValues[kindI32][kindF32] = affineI32F32ValuesAVX2
	avx2.affines[kindI32][kindF64] = rowsKernel{all: affineI32F64AVX2, valid: affineI32F64ValidAVX2}
	avx2.affineValues[kindI32][kindF64] = affineI32F64ValuesAVX2
	avx2.affines[kindI64][kindF32] = rowsKernel{all: affineI64F32AVX2, valid: affineI64F32ValidAVX2}
	avx2.affineValues[kindI64][kindF32] = affineI64F32ValuesAVX2
	avx2.affines[kindI64][kindF64] = rowsKernel{all: affineI64F64AVX2, valid: affineI64F64ValidAVX2}
	avx2.affineValues[kindI64][kindF64] = affineI64F64ValuesAVX2
	avx2.ones, avx2.wholeSteps = onesAVX2, true
	avx2.log1p, avx2.haversine = log1pAVX2, haversineAVX2
	all = append(all, avx2)
	if !cpuid.CPU.Supports(cpuid.AVX512F, cpuid.AVX512VL, cpuid.AVX512BW, cpuid.AVX512DQ) {
		return all
	}
	avx512 := &level{}
	*avx512 = *avx2
	avx512.name, avx512.wholeSteps = "avx512", false
	avx512.log1p, avx512.haversine = log1pAVX512, haversineAVX512
	avx512.fills[4], avx512.fills[8] = fill4AVX512, fill8AVX512
	avx512.casts[kindF64][kindF32] = castKernel{castF64F32AVX512, castF64F32ValidAVX512}
	avx512.expands[1] = expandKernel{expand1AVX512, expand1ValidAVX512}
	avx512.expands[4] = expandKernel{expand4AVX512, expand4ValidAVX512}
	avx512.expands[8] = expandKernel{expand8AVX512, expand8ValidAVX512}
	avx512.rowsSame[4] = rowsKernel{all: rows4AVX512, valid: rows4ValidAVX512}
	avx512.rowsSame[8] = rowsKernel{all: rows8AVX512, valid: rows8ValidAVX512}
	avx512.rows[kindF64][kindF32] = rowsKernel{all: rowsF64F32AVX512, valid: rowsF64F32ValidAVX512}
	avx512.rows[kindI64][kindF32] = rowsKernel{all: rowsI64F32AVX512, valid: rowsI64F32ValidAVX512}
	avx512.rows[kindI64][kindI32] = rowsKernel{all: rowsI64I32AVX512, valid: rowsI64I32ValidAVX512}
	avx512.rows[kindI64][kindF64] = rowsKernel{all: rowsI64F64AVX512, valid: rowsI64F64ValidAVX512}
	avx512.rows[kindI32][kindF32] = rowsKernel{all: rowsI32F32AVX512, valid: rowsI32F32ValidAVX512}
	avx512.rows[kindI64][kindF32].quick = &rowsKernel{all: rowsI64F32QuickAVX512, valid: rowsI64F32QuickValidAVX512}
	avx512.rows[kindI64][kindF64].quick = &rowsKernel{all: rowsI64F64QuickAVX512, valid: rowsI64F64QuickValidAVX512}
	avx512.rows[kindI32][kindF32].quick = &rowsKernel{all: rowsI32F32QuickAVX512, valid: rowsI32F32QuickValidAVX512}
	avx512.rows[kindI32][kindF64] = rowsKernel{all: rowsI32F64AVX512, valid: rowsI32F64ValidAVX512}
	avx512.rows[kindF32][kindF64] = rowsKernel{all: rowsF32F64AVX512, valid: rowsF32F64ValidAVX512}
	avx512.rows[kindI32][kindI64] = rowsKernel{all: rowsI32I64AVX512, valid: rowsI32I64ValidAVX512}
	avx512.bounds[kindF32] = rowsKernel{all: boundF32AVX512, valid: boundF32ValidAVX512}
	avx512.bounds[kindF64] = rowsKernel{all: boundF64AVX512, valid: boundF64ValidAVX512}
	for i := range avx512.narrow {
		avx512.narrow[i] = rowsKernel{all: narrowF32AVX512, valid: narrowF32ValidAVX512}
	}
	avx512.narrowValues = narrowF32ValuesAVX512
	avx512.affines[kindF32][kindF32] = rowsKernel{all: affineF32F32AVX512, valid: affineF32F32ValidAVX512}
	avx512.affineValues[kindF32][kindF32] = affineF32F32ValuesAVX512
	avx512.affines[kindF32][kindF64] = rowsKernel{all: affineF32F64AVX512, valid: affineF32F64ValidAVX512}
	avx512.affineValues[kindF32][kindF64] = affineF32F64ValuesAVX512
	avx512.affines[kindF64][kindF32] = rowsKernel{all: affineF64F32AVX512, valid: affineF64F32ValidAVX512}
	avx512.affineValues[kindF64][kindF32] = affineF64F32ValuesAVX512
	avx512.affines[kindF64][kindF64] = rowsKernel{all: affineF64F64AVX512, valid: affineF64F64ValidAVX512}
	avx512.affineValues[kindF64][kindF64] = affineF64F64ValuesAVX512
	avx512.affines[kindI32][kindF32] = rowsKernel{all: affineI32F32AVX512, valid: affineI32F32ValidAVX512}
	avx512.affineValues[kindI32][kindF32] = affineI32F32ValuesAVX512
	avx512.affines[kindI32][kindF64] = rowsKernel{all: affineI32F64AVX512, valid: affineI32F64ValidAVX512}
	avx512.affineValues[kindI32][kindF64] = affineI32F64ValuesAVX512
	avx512.affines[kindI64][kindF32] = rowsKernel{all: affineI64F32AVX512, valid: affineI64F32ValidAVX512}
	avx512.affineValues[kindI64][kindF32] = affineI64F32ValuesAVX512
	avx512.affines[kindI64][kindF64] = rowsKernel{all: affineI64F64AVX512, valid: affineI64F64ValidAVX512}
	avx512.affineValues[kindI64][kindF64] = affineI64F64ValuesAVX512
	if cpuid.CPU.Supports(cpuid.AVX512VPOPCNTDQ) {
		avx512.ones = onesAVX512
	}
	return append(all, avx512)
}
