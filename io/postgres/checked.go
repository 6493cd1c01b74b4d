package postgres

import (
	"fmt"
	"math"
	"math/big"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/jackc/pgx/v5/pgtype"
)

// A column that is there may have a type that does not take every value of the output's. It
// takes those that are the same in it: nothing is rounded, cut or wrapped, and the first
// value of which that is not so ends the part, with its row.

func noPlace(value any, to Type) error {
	return fmt.Errorf("%v has no place in %s: ALTER the column's type", value, to)
}

// numbersOf gives the values of an array of whole numbers or decimals, without their point;
// nil for another.
func numbersOf(a arrow.Array) (v func(row int) *big.Int, scale int) {
	if whole := integers(a); whole != nil {
		return func(row int) *big.Int { return big.NewInt(whole(row)) }, 0
	}
	if a, ok := a.(*array.Uint64); ok {
		return func(row int) *big.Int { return new(big.Int).SetUint64(a.Value(row)) }, 0
	}
	if v = decimals(a); v != nil {
		scale = int(a.DataType().(arrow.DecimalType).GetScale())
	}
	return v, scale
}

// checkedNumber is numberCell for a column that has a place for some values alone.
func checkedNumber(a arrow.Array, to Type) (cell, error) {
	if whole := integers(a); whole != nil && to.OID != pgtype.NumericOID {
		return func(dst []byte, row int) ([]byte, error) { return appendWhole(dst, whole(row), to) }, nil
	}
	v, scale := numbersOf(a)
	if v == nil {
		return nil, mismatch(a, to)
	}
	places := 0
	if to.OID == pgtype.NumericOID {
		places = to.Scale
	}
	return func(dst []byte, row int) ([]byte, error) {
		value, exact := rescaled(v(row), scale-places)
		switch {
		case !exact:
		case to.OID != pgtype.NumericOID:
			if value.IsInt64() {
				return appendWhole(dst, value.Int64(), to)
			}
		case new(big.Int).Abs(value).Cmp(powerOfTen(to.Precision)) < 0:
			return scaledBig(dst, value, places, to), nil
		}
		return dst, noPlace(a.ValueStr(row), to)
	}, nil
}

// rescaled is v / 10^by, and whether that is whole.
func rescaled(v *big.Int, by int) (_ *big.Int, exact bool) {
	if by <= 0 {
		return new(big.Int).Mul(v, powerOfTen(-by)), true
	}
	quotient, rest := new(big.Int).QuoRem(v, powerOfTen(by), new(big.Int))
	return quotient, rest.Sign() == 0
}

func powerOfTen(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// appendWhole appends a whole number that fits.
func appendWhole(dst []byte, v int64, to Type) ([]byte, error) {
	switch {
	case to.OID == pgtype.Int2OID && v == int64(int16(v)):
		return append2(dst, uint16(v)), nil
	case to.OID == pgtype.Int4OID && v == int64(int32(v)):
		return append4(dst, uint32(v)), nil
	case to.OID == pgtype.Int8OID:
		return append8(dst, uint64(v)), nil
	}
	return dst, noPlace(v, to)
}

// checkedFloat is floatCell for a column that has a place for some values alone. A NaN is
// one whatever its bits.
func checkedFloat(a arrow.Array, to Type) cell {
	if a, ok := a.(*array.Float64); ok {
		return func(dst []byte, row int) ([]byte, error) {
			v := a.Value(row)
			if narrow := float32(v); float64(narrow) == v || math.IsNaN(v) {
				return append4(dst, math.Float32bits(narrow)), nil
			}
			return dst, fmt.Errorf("%v would be rounded in %s: ALTER the column's type to double precision", v, to)
		}
	}
	whole := integers(a)
	return func(dst []byte, row int) ([]byte, error) {
		v := whole(row)
		if to.OID == pgtype.Float4OID {
			if f := float32(v); exactly(float64(f), v) {
				return append4(dst, math.Float32bits(f)), nil
			}
		} else if f := float64(v); exactly(f, v) {
			return append8(dst, math.Float64bits(f)), nil
		}
		return dst, noPlace(v, to)
	}
}

// exactly says whether a float is a whole number: 2^63 itself is beyond all of 64 bits.
func exactly(f float64, v int64) bool { return f < 1<<63 && int64(f) == v }

// enumCell writes texts that are labels of an enumeration.
func enumCell(a arrow.Array, to Type) (cell, error) {
	text, err := textCell(a, to)
	if err != nil {
		return nil, err
	}
	return func(dst []byte, row int) ([]byte, error) {
		start := len(dst)
		dst, err := text(dst, row)
		if err != nil || to.labels == nil || isNull(dst[start:]) {
			return dst, err
		}
		if label := dst[start+4:]; !(*to.labels)[string(label)] {
			return dst, fmt.Errorf("%q is no value of %s: ALTER TYPE %s ADD VALUE", label, to, to)
		}
		return dst, nil
	}, nil
}
