package kernel

import "math"

// castDoubles is CastChecked for float64 to float32, the cast that rounds most
// often. Values change or not as if by chance, so the loop over them has no
// branch; what only NaN, infinities and nulls need is done after it.
func castDoubles(dst []float32, src []float64, validity []byte, bit int) CheckResult {
	changed, special := roundDoubles(dst, src)
	res := CheckResult{OutOfRange: -1, FirstInexact: -1}
	switch {
	case changed == 0:
		return res
	case special:
		return judgeDoubles(dst, src, validity, bit)
	case validity != nil:
		for i := range src {
			if !isValid(validity, bit+i) && float64(dst[i]) != src[i] {
				changed--
			}
		}
	}
	res.Inexact = changed
	for i := 0; changed > 0 && res.FirstInexact < 0; i++ {
		if float64(dst[i]) != src[i] && isValid(validity, bit+i) {
			res.FirstInexact = i
		}
	}
	return res
}

// roundDoubles converts, counts the values whose bits changed, and reports
// whether there are NaN or infinities in the result.
func roundDoubles(dst []float32, src []float64) (changed int64, special bool) {
	const exponent, one = 0x7f800000, 0x00800000
	var count uint64
	var over uint32
	dst = dst[:len(src)]
	for i, v := range src {
		d := float32(v)
		dst[i] = d
		diff := math.Float64bits(float64(d)) ^ math.Float64bits(v)
		count += (diff | -diff) >> 63
		over |= math.Float32bits(d)&exponent + one // bit 31 when all exponent bits are set
	}
	return int64(count), over>>31 != 0
}

// judgeDoubles looks at each value that changed.
func judgeDoubles(dst []float32, src []float64, validity []byte, bit int) CheckResult {
	res := CheckResult{OutOfRange: -1, FirstInexact: -1}
	for i, v := range src {
		back := float64(dst[i])
		if back == v || v != v || !isValid(validity, bit+i) {
			continue
		}
		if math.IsInf(back, 0) {
			if res.OutOfRange < 0 {
				res.OutOfRange = i
			}
			continue
		}
		if res.FirstInexact < 0 {
			res.FirstInexact = i
		}
		res.Inexact++
	}
	return res
}
