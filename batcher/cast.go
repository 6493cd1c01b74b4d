package batcher

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/internal/storage"
	"github.com/millrace/millrace/models"
)

// Cast says what happens to values on the way from an Arrow type to a tensor's
// element type. docs/architecture.md shows the whole table, made by TypeTable.
type Cast int

// The casts, from best to worst.
const (
	// Exact: the bytes are those of the tensor already; a view is possible.
	Exact Cast = iota
	// Widening: every value of the column's type is a value of the tensor's.
	Widening
	// Checked: each value is checked; one that the tensor cannot hold exactly
	// is an error, or is rounded and counted when lossy casts are allowed.
	Checked
	// Lossy: rounding is the rule; refused unless lossy casts are allowed,
	// and then counted.
	Lossy
	// Refused: there is no sensible value, whatever is allowed.
	Refused
)

var castNames = [...]string{Exact: "exact", Widening: "widening", Checked: "checked", Lossy: "lossy", Refused: "refused"}

// String returns the cast's name.
func (c Cast) String() string { return castNames[c] }

// MarshalText writes the cast's name.
func (c Cast) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// class groups the types that cast alike.
type class int

const (
	classOther class = iota
	classSigned
	classUnsigned
	classFloat
	classBool
	classText
	classTime // integers that count a unit of time
	classDecimal
	classNull
)

// number describes a numeric type: its class, its width in bits, and the bits
// of magnitude that it holds exactly.
type number struct {
	class    class
	bits     int
	mantissa int
}

var elementNumbers = map[models.ElementType]number{
	models.Int8: {classSigned, 8, 7}, models.Int16: {classSigned, 16, 15}, models.Int32: {classSigned, 32, 31},
	models.Int64: {classSigned, 64, 63}, models.Uint8: {classUnsigned, 8, 8}, models.Uint16: {classUnsigned, 16, 16},
	models.Uint32: {classUnsigned, 32, 32}, models.Uint64: {classUnsigned, 64, 64},
	models.Float16: {classFloat, 16, 11}, models.BFloat16: {classFloat, 16, 8}, models.Float32: {classFloat, 32, 24},
	models.Float64: {classFloat, 64, 53}, models.Bool: {classBool, 8, 1}, models.String: {classText, 0, 0},
}

var arrowNumbers = map[arrow.Type]number{
	arrow.NULL: {classNull, 0, 0}, arrow.BOOL: {classBool, 1, 1},
	arrow.INT8: {classSigned, 8, 7}, arrow.INT16: {classSigned, 16, 15}, arrow.INT32: {classSigned, 32, 31},
	arrow.INT64: {classSigned, 64, 63}, arrow.UINT8: {classUnsigned, 8, 8}, arrow.UINT16: {classUnsigned, 16, 16},
	arrow.UINT32: {classUnsigned, 32, 32}, arrow.UINT64: {classUnsigned, 64, 64},
	arrow.FLOAT16: {classFloat, 16, 11}, arrow.FLOAT32: {classFloat, 32, 24}, arrow.FLOAT64: {classFloat, 64, 53},
	arrow.STRING: {classText, 0, 0}, arrow.LARGE_STRING: {classText, 0, 0}, arrow.STRING_VIEW: {classText, 0, 0},
	arrow.BINARY: {classText, 0, 0}, arrow.LARGE_BINARY: {classText, 0, 0}, arrow.BINARY_VIEW: {classText, 0, 0},
	arrow.FIXED_SIZE_BINARY: {classText, 0, 0},
	arrow.DATE32:            {classTime, 32, 31}, arrow.DATE64: {classTime, 64, 63}, arrow.TIMESTAMP: {classTime, 64, 63},
	arrow.TIME32: {classTime, 32, 31}, arrow.TIME64: {classTime, 64, 63}, arrow.DURATION: {classTime, 64, 63},
	arrow.DECIMAL32: {classDecimal, 32, 0}, arrow.DECIMAL64: {classDecimal, 64, 0},
	arrow.DECIMAL128: {classDecimal, 128, 0}, arrow.DECIMAL256: {classDecimal, 256, 0},
}

// CastOf is one cell of the type table: how values of an Arrow type become
// elements of a tensor, and for a Refused cast why not and what to do.
func CastOf(from arrow.DataType, to models.ElementType) (cast Cast, why string) {
	from = storage.Type(from)
	dst, ok := elementNumbers[to]
	if !ok {
		return Refused, fmt.Sprintf("millrace does not make %s tensors", to)
	}
	if dict, isDict := from.(*arrow.DictionaryType); isDict && storage.Type(dict.ValueType).ID() != arrow.DICTIONARY {
		cast, why = CastOf(dict.ValueType, to)
		return max(cast, Widening), why
	}
	src, ok := arrowNumbers[from.ID()]
	if !ok {
		return Refused, "millrace does not read single values of type " + from.Name()
	}
	switch {
	case src.class == classNull:
		return Widening, ""
	case dst.class == classText:
		return textCast(from)
	case src.class == classText:
		return Refused, fmt.Sprintf("text does not become %s by itself; make it a feature of a job file (by cast, map or onehot), or encode it before, or in the model", to)
	case dst.class == classBool:
		if src.class == classBool {
			return Widening, "" // one bit becomes one byte
		}
		return Refused, "only a bool column becomes a bool tensor"
	case src.class == classBool:
		return Widening, ""
	case src.class == classDecimal:
		if dst.class == classFloat {
			return Lossy, ""
		}
		return Refused, "a decimal becomes a floating tensor only"
	case src.class == classTime:
		return timeCast(from, src, dst, to)
	default:
		return numberCast(src, dst), ""
	}
}

func textCast(from arrow.DataType) (Cast, string) {
	switch from.ID() {
	case arrow.STRING, arrow.LARGE_STRING, arrow.STRING_VIEW:
		return Exact, ""
	case arrow.BINARY, arrow.LARGE_BINARY, arrow.BINARY_VIEW, arrow.FIXED_SIZE_BINARY:
		return Checked, "" // must be UTF-8
	default:
		return Refused, from.Name() + " does not become a string by itself; make it a feature of a job file (by cast), or write it as text before"
	}
}

// timeCast gives the count of the column's own unit to an integer tensor. A
// floating tensor of timestamps is nearly always a mistake, so it is refused.
func timeCast(from arrow.DataType, src, dst number, to models.ElementType) (Cast, string) {
	if dst.class != classSigned {
		if from.ID() == arrow.DURATION {
			return Refused, fmt.Sprintf("a duration becomes a signed integer (its count of units), not %s; a feature of a job file (by scale, or cast) gives it as a number", to)
		}
		return Refused, fmt.Sprintf("a date or time becomes a signed integer (its count of units), not %s; a feature of a job file (by datetime) gives its parts", to)
	}
	switch {
	case src.bits == dst.bits:
		return Exact, ""
	case src.bits < dst.bits:
		return Widening, ""
	default:
		return Checked, ""
	}
}

func numberCast(src, dst number) Cast {
	switch {
	case src == dst:
		return Exact
	case dst.class == classFloat && src.class == classFloat:
		if src.bits < dst.bits {
			return Widening
		}
		return Lossy
	case dst.class == classFloat && src.mantissa <= dst.mantissa:
		return Widening
	case src.class == classUnsigned && dst.class == classSigned && src.bits < dst.bits,
		src.class == dst.class && src.bits < dst.bits:
		return Widening
	default:
		return Checked
	}
}
