package batcher

import (
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/batcher/decimal"
	"github.com/millrace/millrace/batcher/kernel"
	"github.com/millrace/millrace/models"
)

// setDecimals finds how decimals become float32 or float64.
func (s *stretch[D]) setDecimals(a arrow.Array, elem models.ElementType) error {
	value, ok := decimal.Values(a)
	if !ok {
		return fmt.Errorf("%w: a %s column became data after it was refused", ErrBind, a.DataType())
	}
	s.convert = func(dst []D, at int) kernel.CheckResult {
		res := exact
		for i := range dst {
			if s.isNull(at + i) {
				continue
			}
			v := value(at + i)
			dst[i] = D(v.Nearest)
			if elem != models.Float64 {
				dst[i] = D(v.Odd())
			}
			switch back := float64(dst[i]); {
			case math.IsInf(back, 0):
				if res.OutOfRange < 0 {
					res.OutOfRange = i
				}
			case v.Side != 0 || back != v.Nearest:
				if res.FirstInexact < 0 {
					res.FirstInexact = i
				}
				res.Inexact++
			}
		}
		return res
	}
	return nil
}
