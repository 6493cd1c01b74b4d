package feature

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/internal/storage"
)

// form is how the values of a lane are held, and what they are.
type form int

const (
	formFloat64 form = iota // lane.f; integers of up to 32 bits too
	formFloat32             // lane.f: each is a float32, and is written with its few digits
	formBool                // lane.f: 1 and 0
	formInt                 // lane.i
	formUint                // lane.i: the bits of uint64
	formText                // lane.c: codes of lane.texts
	formTime                // lane.i: counts of valueType.time's unit
	formShown               // lane.i: shown
	formNull                // a column of type null: the first transform decides
	formSlots               // lane.c: which of several values is 1; -1: none
	formPair                // lane.f and lane.g: two values a row
)

// valueType is what is known of a lane's values before there are any.
type valueType struct {
	form form
	time timeType
}

// String names the type for messages.
func (t valueType) String() string {
	switch t.form {
	case formFloat64, formFloat32:
		return "a number"
	case formBool:
		return "a truth value"
	case formInt, formUint:
		return "an integer"
	case formText:
		return "text"
	case formTime:
		return "a " + t.time.class.String()
	case formNull:
		return "null"
	default:
		return "several values a row"
	}
}

func (t valueType) isNumber() bool { return t.form <= formUint }

// typeOf is what the values of a column are; its error says why they are none.
func typeOf(t arrow.DataType) (valueType, error) {
	switch coded := storage.Type(t).(type) {
	case *arrow.DictionaryType:
		t = coded.ValueType
	case *arrow.RunEndEncodedType:
		t = coded.Encoded()
	}
	switch t := storage.Type(t).(type) {
	case *arrow.NullType:
		return valueType{form: formNull}, nil
	case *arrow.BooleanType:
		return valueType{form: formBool}, nil
	case *arrow.Int64Type, *arrow.DurationType: // which is a measure: its count of units
		return valueType{form: formInt}, nil
	case *arrow.Uint64Type:
		return valueType{form: formUint}, nil
	case *arrow.Float16Type, *arrow.Float32Type:
		return valueType{form: formFloat32}, nil
	case *arrow.Int8Type, *arrow.Int16Type, *arrow.Int32Type, *arrow.Uint8Type, *arrow.Uint16Type, *arrow.Uint32Type, *arrow.Float64Type,
		*arrow.Decimal32Type, *arrow.Decimal64Type, *arrow.Decimal128Type, *arrow.Decimal256Type:
		return valueType{form: formFloat64}, nil
	case *arrow.StringType, *arrow.LargeStringType, *arrow.StringViewType,
		*arrow.BinaryType, *arrow.LargeBinaryType, *arrow.BinaryViewType, *arrow.FixedSizeBinaryType:
		return valueType{form: formText}, nil
	default:
		if time, ok := timeTypeOf(t); ok {
			return valueType{form: formTime, time: time}, nil
		}
		return valueType{}, fmt.Errorf("transforms do not read single values of type %s", t)
	}
}
