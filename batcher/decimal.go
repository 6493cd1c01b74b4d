package batcher

import (
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/batcher/decimal"
	"github.com/millrace/millrace/batcher/kernel"
	"github.com/millrace/millrace/models"
)

// decimalBlock is how many decimals are divided at a time.
const decimalBlock = 256

// setDecimals finds how decimals become float32 or float64: by a division where that gives the
// nearest value, or else by numbers of any size.
func (s *stretch[D]) setDecimals(a arrow.Array, elem models.ElementType) error {
	value, ok := decimal.Values(a)
	if !ok {
		return fmt.Errorf("%w: a %s column became data after it was refused", ErrBind, a.DataType())
	}
	small, power, divides := decimal.Small(a)
	// What is rounded again, to 16 bits, has to be rounded to odd before.
	divides = divides && (elem == models.Float32 || elem == models.Float64)
	s.convert = func(dst []D, at int) kernel.CheckResult {
		total := exact
		var block [decimalBlock]float64
		for i := 0; i < len(dst); {
			if divides {
				most := min(decimalBlock, len(dst)-i)
				n := small(block[:most], at+i)
				total = kernel.Merge(total, s.divide(dst[i:i+n], block[:n], power, at+i), i)
				if i += n; n == most {
					continue
				}
			}
			if !s.isNull(at + i) {
				total = kernel.Merge(total, convertDecimal(dst[i:i+1], value(at+i), elem), i)
			}
			i++
		}
		return total
	}
	return nil
}

// divide converts small decimals, from value at on; see decimal.Small.
//
// To be rounded to float32 a quotient need not be rounded to odd, unless it lies in the middle of
// two of them: any other is on the same side of all middles as the value itself.
func (s *stretch[D]) divide(dst []D, unscaled []float64, power float64, at int) kernel.CheckResult {
	const dropped, middle = 1<<29 - 1, 1 << 28 // bits of float64 that float32 does not have
	res := exact
	for i, n := range unscaled {
		q := n / power
		dst[i] = D(q)
		back := float64(dst[i])
		if back == q && math.FMA(q, power, -n) == 0 || s.isNull(at+i) {
			continue
		}
		if back != q && math.Float64bits(q)&dropped == middle {
			dst[i] = D(decimal.Quotient(n, power).Odd())
		}
		if res.FirstInexact < 0 {
			res.FirstInexact = i
		}
		res.Inexact++
	}
	return res
}

// convertDecimal converts the one value that dst has room for.
func convertDecimal[D kernel.Number](dst []D, v decimal.Value, elem models.ElementType) kernel.CheckResult {
	dst[0] = D(v.Nearest)
	if elem != models.Float64 {
		dst[0] = D(v.Odd())
	}
	res := exact
	switch back := float64(dst[0]); {
	case math.IsInf(back, 0):
		res.OutOfRange = 0
	case v.Side != 0 || back != v.Nearest:
		res.FirstInexact, res.Inexact = 0, 1
	}
	return res
}
