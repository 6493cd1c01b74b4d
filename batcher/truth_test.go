package batcher

import (
	"fmt"
	"math"
	"math/big"
	"sort"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/models"
)

// value is one value of a column, without its type: a number (rat, or float
// where no rational says it: NaN, infinities and minus zero), or text.
type value struct {
	null  bool
	rat   *big.Rat
	float float64
	text  []byte
}

func integer[T int | int8 | int16 | int32 | int64](v T) value {
	return value{rat: new(big.Rat).SetInt64(int64(v))}
}

func unsigned(v uint64) value { return value{rat: new(big.Rat).SetUint64(v)} }

func float(v float64) value {
	if math.IsNaN(v) || math.IsInf(v, 0) || v == 0 && math.Signbit(v) {
		return value{float: v}
	}
	return value{rat: new(big.Rat).SetFloat64(v)}
}

func scaled(unscaled *big.Int, t arrow.DataType) value {
	r := new(big.Rat).SetInt(unscaled)
	ten := big.NewRat(10, 1)
	scale := t.(arrow.DecimalType).GetScale()
	for ; scale > 0; scale-- {
		r.Quo(r, ten)
	}
	for ; scale < 0; scale++ {
		r.Mul(r, ten)
	}
	return value{rat: r}
}

// halfValue reads a float format of 16 bits by its definition.
func halfValue(bits uint16, exponentBits int) float64 {
	mantissaBits := 15 - exponentBits
	bias := 1<<(exponentBits-1) - 1
	exponent := int(bits >> mantissaBits & (1<<exponentBits - 1))
	mantissa := float64(bits & (1<<mantissaBits - 1))
	var v float64
	switch {
	case exponent == 1<<exponentBits-1 && mantissa != 0:
		return math.NaN()
	case exponent == 1<<exponentBits-1:
		v = math.Inf(1)
	case exponent == 0:
		v = math.Ldexp(mantissa, 1-bias-mantissaBits)
	default:
		v = math.Ldexp(1+math.Ldexp(mantissa, -mantissaBits), exponent-bias)
	}
	if bits>>15 == 1 {
		return -v
	}
	return v
}

// valueOf reads value i by the array's own getters.
func valueOf(a arrow.Array, i int) value {
	if a.IsNull(i) || a.DataType().ID() == arrow.NULL {
		return value{null: true}
	}
	switch t := a.(type) {
	case array.ExtensionArray:
		return valueOf(t.Storage(), i)
	case *array.Dictionary:
		return valueOf(t.Dictionary(), t.GetValueIndex(i))
	case *array.Boolean:
		if t.Value(i) {
			return integer(1)
		}
		return integer(0)
	case *array.Int8:
		return integer(t.Value(i))
	case *array.Int16:
		return integer(t.Value(i))
	case *array.Int32:
		return integer(t.Value(i))
	case *array.Int64:
		return integer(t.Value(i))
	case *array.Date32:
		return integer(int32(t.Value(i)))
	case *array.Time32:
		return integer(int32(t.Value(i)))
	case *array.Date64:
		return integer(int64(t.Value(i)))
	case *array.Time64:
		return integer(int64(t.Value(i)))
	case *array.Timestamp:
		return integer(int64(t.Value(i)))
	case *array.Duration:
		return integer(int64(t.Value(i)))
	case *array.Uint8:
		return unsigned(uint64(t.Value(i)))
	case *array.Uint16:
		return unsigned(uint64(t.Value(i)))
	case *array.Uint32:
		return unsigned(uint64(t.Value(i)))
	case *array.Uint64:
		return unsigned(t.Value(i))
	case *array.Float16:
		return float(halfValue(t.Value(i).Uint16(), 5))
	case *array.Float32:
		return float(float64(t.Value(i)))
	case *array.Float64:
		return float(t.Value(i))
	case *array.Decimal32:
		return scaled(big.NewInt(int64(t.Value(i))), t.DataType())
	case *array.Decimal64:
		return scaled(big.NewInt(int64(t.Value(i))), t.DataType())
	case *array.Decimal128:
		return scaled(t.Value(i).BigInt(), t.DataType())
	case *array.Decimal256:
		return scaled(t.Value(i).BigInt(), t.DataType())
	case *array.String:
		return value{text: []byte(t.Value(i))}
	case *array.LargeString:
		return value{text: []byte(t.Value(i))}
	case *array.StringView:
		return value{text: []byte(t.Value(i))}
	case *array.Binary:
		return value{text: t.Value(i)}
	case *array.LargeBinary:
		return value{text: t.Value(i)}
	case *array.BinaryView:
		return value{text: t.Value(i)}
	case *array.FixedSizeBinary:
		return value{text: t.Value(i)}
	default:
		panic(fmt.Sprintf("no value of %s", a.DataType()))
	}
}

// element is a value as a tensor's element: its number, exactly as float64 or
// as 64 bits of integer, or its text.
type element struct {
	float float64
	int   uint64
	text  string
}

func (e element) equal(f element) bool {
	return e.text == f.text && e.int == f.int &&
		(math.Float64bits(e.float) == math.Float64bits(f.float) || math.IsNaN(e.float) && math.IsNaN(f.float))
}

// verdict is what a cast says about a value.
type verdict int

const (
	kept verdict = iota
	rounded
	misfits
)

// cast makes an element of a value, by rational arithmetic.
func (v value) cast(elem models.ElementType) (element, verdict) {
	switch elem {
	case models.String:
		if !utf8.Valid(v.text) {
			return element{}, misfits
		}
		return element{text: string(v.text)}, kept
	case models.Float32, models.Float64, models.Float16, models.BFloat16:
		return v.castFloat(elem)
	}
	size, signed := map[models.ElementType]int{
		models.Int8: 8, models.Int16: 16, models.Int32: 32, models.Int64: 64,
		models.Uint8: 8, models.Uint16: 16, models.Uint32: 32, models.Uint64: 64, models.Bool: 1,
	}[elem], elem == models.Int8 || elem == models.Int16 || elem == models.Int32 || elem == models.Int64
	if v.rat == nil {
		if v.float == 0 {
			return element{}, kept
		}
		return element{}, misfits
	}
	lo, hi := new(big.Int), new(big.Int).Lsh(big.NewInt(1), uint(size))
	if signed {
		hi.Rsh(hi, 1)
		lo.Neg(hi)
	}
	n := v.rat.Num()
	if !v.rat.IsInt() || n.Cmp(lo) < 0 || n.Cmp(hi) >= 0 {
		return element{}, misfits
	}
	if signed {
		return element{int: uint64(n.Int64())}, kept
	}
	return element{int: n.Uint64()}, kept
}

func (v value) castFloat(elem models.ElementType) (element, verdict) {
	if v.rat == nil {
		return element{float: v.float}, kept
	}
	var f float64
	switch elem {
	case models.Float32:
		f32, _ := v.rat.Float32()
		f = float64(f32)
	case models.Float64:
		f, _ = v.rat.Float64()
	case models.Float16:
		f = nearestHalf(v.rat, 5)
	default:
		f = nearestHalf(v.rat, 8)
	}
	switch {
	case math.IsInf(f, 0):
		return element{float: f}, misfits
	case new(big.Rat).SetFloat64(f).Cmp(v.rat) != 0: // Rat.Float32 calls 5e-324 -> 0 exact
		return element{float: f}, rounded
	default:
		return element{float: f}, kept
	}
}

// nearestHalf searches the values of a format of 16 bits for the nearest; of
// two as near, the even one. Beyond the largest stands, for this purpose, the
// number that infinity's bits would mean if they were an ordinary number.
func nearestHalf(v *big.Rat, exponentBits int) float64 {
	mag := new(big.Rat).Abs(v)
	inf := int(1<<exponentBits-1) << (15 - exponentBits)
	at := func(i int) *big.Rat {
		if i == inf {
			return new(big.Rat).SetFloat64(math.Ldexp(1, 1<<(exponentBits-1)))
		}
		return new(big.Rat).SetFloat64(halfValue(uint16(i), exponentBits))
	}
	i := sort.Search(inf, func(i int) bool { return at(i).Cmp(mag) >= 0 })
	if i > 0 && at(i).Cmp(mag) != 0 {
		below, above := new(big.Rat).Sub(mag, at(i-1)), new(big.Rat).Sub(at(i), mag)
		if c := below.Cmp(above); c < 0 || c == 0 && (i-1)%2 == 0 {
			i--
		}
	}
	nearest := halfValue(uint16(i), exponentBits)
	if v.Sign() < 0 {
		nearest = -nearest
	}
	return nearest
}
