package pgrows

import (
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
)

// numericKind is that of numeric(precision, scale); without them, or with more than
// decimal256 has, values are kept as texts, digit by digit.
func numericKind(modifier int32) *kind {
	asText := textOf(func(v []byte) (string, error) {
		n, err := readNumeric(v)
		return n.String(), err
	})
	if modifier < 4 {
		return asText
	}
	precision, scale := (modifier-4)>>16, (modifier-4)&0x7ff
	scale = (scale ^ 1024) - 1024 // of 11 bits, with a sign
	precision = max(precision, scale)
	switch {
	case scale < 0 || precision > 76:
		return asText
	case precision > 38:
		return decimals(&arrow.Decimal256Type{Precision: precision, Scale: scale}, decimal256.FromBigInt,
			func(b *array.Decimal256Builder, v decimal256.Num) { b.Append(v) })
	}
	t := &arrow.Decimal128Type{Precision: precision, Scale: scale}
	slow := decimals(t, decimal128.FromBigInt, func(b *array.Decimal128Builder, v decimal128.Num) { b.Append(v) })
	return &kind{t, func(b array.Builder) appender {
		large := slow.appender(b)
		return func(v []byte) error {
			if n, err := readNumeric(v); err == nil {
				if small, ok := n.small(scale); ok {
					b.(*array.Decimal128Builder).Append(decimal128.FromI64(small))
					return nil
				}
			}
			return large(v)
		}
	}}
}

// decimals is the kind of numerics as a type of Arrow's decimals.
func decimals[B array.Builder, V any](t arrow.DecimalType, from func(*big.Int) V, add func(B, V)) *kind {
	return &kind{t, func(b array.Builder) appender {
		builder := b.(B)
		return func(v []byte) error {
			n, err := readNumeric(v)
			if err != nil {
				return err
			}
			whole, err := n.unscaled(t.GetScale())
			if err != nil {
				return err
			}
			add(builder, from(whole))
			return nil
		}
	}}
}

// numeric is a value as the server sends it: digits i16, weight i16, sign u16, decimals
// u16, then digits u16 of base 10,000, of which the first has the weight 10,000^weight.
type numeric struct {
	weight   int
	sign     uint16
	decimals int
	digits   []byte // two each
}

// What sign says (postgres:src/backend/utils/adt/numeric.c).
const (
	negative         = 0x4000
	notANumber       = 0xC000
	positiveInfinity = 0xD000
	negativeInfinity = 0xF000
)

func readNumeric(v []byte) (numeric, error) {
	s := &stream{b: v}
	count, weight, sign, decimals := s.i16(), s.i16(), uint16(s.i16()), s.i16()
	n := numeric{weight: int(weight), sign: sign, decimals: int(decimals), digits: s.take(2 * int(count))}
	if s.short || s.bad || s.at != len(v) || n.decimals < 0 {
		return n, errors.New("numeric is damaged")
	}
	for i := range n.count() {
		if n.digit(i) >= 10000 {
			return n, errors.New("numeric is damaged")
		}
	}
	return n, nil
}

func (n *numeric) count() int { return len(n.digits) / 2 }

func (n *numeric) digit(i int) int { return int(n.digits[2*i])<<8 | int(n.digits[2*i+1]) }

func (n *numeric) special() string {
	switch n.sign {
	case notANumber:
		return "NaN"
	case positiveInfinity:
		return "Infinity"
	case negativeInfinity:
		return "-Infinity"
	}
	return ""
}

// small is the value times 10^scale where an int64 has it at a glance.
func (n *numeric) small(scale int32) (int64, bool) {
	if n.special() != "" || n.count() > 4 {
		return 0, false
	}
	value := int64(0)
	for i := range n.count() {
		value = value*10000 + int64(n.digit(i))
	}
	for power := 4*(n.weight-n.count()+1) + int(scale); power != 0 && value != 0; {
		switch {
		case power > 0 && value < 1e17:
			value *= 10
			power--
		case power < 0 && value%10 == 0:
			value /= 10
			power++
		default:
			return 0, false
		}
	}
	if n.sign == negative {
		value = -value
	}
	return value, true
}

// unscaled is the value times 10^scale.
func (n *numeric) unscaled(scale int32) (*big.Int, error) {
	if s := n.special(); s != "" {
		return nil, fmt.Errorf("it is %s, which no decimal is; replace it in the query, such as by nullif", s)
	}
	value, base := new(big.Int), big.NewInt(10000)
	for i := range n.count() {
		value.Mul(value, base)
		value.Add(value, big.NewInt(int64(n.digit(i))))
	}
	power := 4*(n.weight-n.count()+1) + int(scale)
	if power > 1000 || power < -1000 {
		return nil, errors.New("numeric is damaged")
	}
	shift := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(power, -power))), nil)
	if power >= 0 {
		value.Mul(value, shift)
	} else if _, rest := value.QuoRem(value, shift, new(big.Int)); rest.Sign() != 0 {
		return nil, fmt.Errorf("%s has more than %d decimals", n.String(), scale)
	}
	if value.BitLen() > 255 {
		return nil, errors.New("numeric is damaged")
	}
	if n.sign == negative {
		value.Neg(value)
	}
	return value, nil
}

// String writes the value as the server does.
func (n *numeric) String() string {
	if s := n.special(); s != "" {
		return s
	}
	at := func(i int) int { // digit of weight -i after the first
		if i < 0 || i >= n.count() {
			return 0
		}
		return n.digit(i)
	}
	var b strings.Builder
	for w := max(n.weight, 0); w >= 0; w-- {
		fmt.Fprintf(&b, "%04d", at(n.weight-w))
	}
	whole := strings.TrimLeft(b.String(), "0")
	if whole == "" {
		whole = "0"
	}
	b.Reset()
	for w := 1; b.Len() < n.decimals; w++ {
		fmt.Fprintf(&b, "%04d", at(n.weight+w))
	}
	text := whole
	if n.decimals > 0 {
		text += "." + b.String()[:n.decimals]
	}
	if n.sign == negative {
		text = "-" + text
	}
	return text
}
