package unique

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/float16"
	"github.com/zeebo/xxh3"
)

// ErrType says that a column's type has no values that could be compared.
var ErrType = errors.New("column type cannot be a key")

// Keys turns rows into entries. It is for concurrent use.
type Keys struct {
	fields []arrow.Field
	packed bool // no key is longer than 16 bytes
	keep   bool // entries have their key's bytes
}

// packedBytes is the length of keys that an entry's two words hold.
const packedBytes = 16

// NewKeys says how keys of some columns are compared. Its error wraps ErrType.
func NewKeys(fields []arrow.Field, mode Mode) (*Keys, error) {
	k := &Keys{fields: fields}
	width := 0
	for _, f := range fields {
		if err := checkType(f.Type); err != nil {
			return nil, fmt.Errorf("column %q: %w", f.Name, err)
		}
		if n := fixedBytes(f.Type); n < 0 || width < 0 {
			width = -1
		} else {
			width += 1 + n
		}
	}
	k.packed = width >= 0 && width <= packedBytes
	k.keep = mode == Exact && !k.packed
	return k, nil
}

// Exact says whether no two keys can be mistaken for each other.
func (k *Keys) Exact() bool { return k.packed || k.keep }

// checkType returns an error for types with no one value of a row.
func checkType(t arrow.DataType) error {
	switch t := t.(type) {
	case arrow.UnionType:
		return fmt.Errorf("%w: %s", ErrType, t)
	case *arrow.DictionaryType:
		return checkType(t.ValueType)
	case *arrow.RunEndEncodedType:
		return checkType(t.Encoded())
	case arrow.ExtensionType:
		return checkType(t.StorageType())
	case arrow.NestedType:
		for _, f := range t.Fields() {
			if err := checkType(f.Type); err != nil {
				return err
			}
		}
	}
	return nil
}

// fixedBytes is how many bytes a value's encoding has after its first; -1 where that
// differs.
func fixedBytes(t arrow.DataType) int {
	switch t := t.(type) {
	case *arrow.DictionaryType:
		return fixedBytes(t.ValueType)
	case *arrow.RunEndEncodedType:
		return fixedBytes(t.Encoded())
	case arrow.ExtensionType:
		return fixedBytes(t.StorageType())
	case *arrow.NullType:
		return 0
	case arrow.NestedType:
		return -1
	case arrow.FixedWidthDataType:
		return (t.BitWidth() + 7) / 8
	}
	return -1
}

// entry is a row: the hash of its key, or the key itself in a form that is as well
// spread, and its number. key is the place of its bytes in its pile.
type entry struct {
	hi, lo   uint64
	row      uint64
	at, size uint32
}

// hasher gives the entries of rows, by the columns of the key in order, and, where they are kept, the bytes of their keys, which it lends until it is
// called again.
func (k *Keys) hasher(columns []arrow.Array) func(row int) (e entry, key []byte) {
	encoders := make([]encoder, len(columns))
	for i, column := range columns {
		encoders[i] = encoderOf(column)
	}
	key := make([]byte, 0, 256)
	return func(row int) (e entry, kept []byte) {
		key = key[:0]
		for _, encode := range encoders {
			key = encode(key, row)
		}
		if k.packed {
			clear(key[len(key):packedBytes])
			e.hi, e.lo = spread(binary.LittleEndian.Uint64(key[:8]), binary.LittleEndian.Uint64(key[8:packedBytes]))
			return e, nil
		}
		sum := xxh3.Hash128(key)
		e.hi, e.lo = sum.Hi, sum.Lo
		if k.keep {
			kept = key
		}
		return e, kept
	}
}

// spread mixes two words so that each bit of both depends on all, and different ones stay
// different: rounds of a Feistel network over the finalizer of SplitMix64 (Steele, Lea
// and Flood, Fast Splittable Pseudorandom Number Generators, OOPSLA 2014).
func spread(a, b uint64) (hi, lo uint64) {
	a += splitMix(b)
	b += splitMix(a)
	a += splitMix(b)
	return a, b
}

func splitMix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// encoder appends the i-th value of a column to a key: a byte of 0 for a null, or of 1 and
// the value in a form that no other value's begins with. So who knows the types could
// read a key's values back, and different ones have different keys, also when zeros
// follow.
type encoder func(key []byte, i int) []byte

// encoderOf makes the encoder of an array.
func encoderOf(a arrow.Array) encoder {
	switch a := a.(type) {
	case *array.Dictionary:
		values := encoderOf(a.Dictionary())
		return nulls(a, func(key []byte, i int) []byte { return values(key, a.GetValueIndex(i)) })
	case *array.RunEndEncoded:
		values := encoderOf(a.Values())
		return func(key []byte, i int) []byte { return values(key, a.GetPhysicalIndex(i)) }
	case array.ExtensionArray:
		return encoderOf(a.Storage())
	case *array.Struct:
		fields := make([]encoder, a.NumField())
		for i := range fields {
			fields[i] = encoderOf(a.Field(i))
		}
		return valued(a, func(key []byte, i int) []byte {
			for _, field := range fields {
				key = field(key, i)
			}
			return key
		})
	case array.ListLike:
		values := encoderOf(a.ListValues())
		return valued(a, func(key []byte, i int) []byte {
			from, to := a.ValueOffsets(i)
			key = binary.LittleEndian.AppendUint64(key, uint64(to-from))
			for at := from; at < to; at++ {
				key = values(key, int(at))
			}
			return key
		})
	case array.StringLike:
		return valued(a, func(key []byte, i int) []byte { return appendText(key, a.Value(i)) })
	case *array.FixedSizeBinary: // which is a number here
	case interface {
		arrow.Array
		Value(i int) []byte
	}:
		return valued(a, func(key []byte, i int) []byte { return appendText(key, a.Value(i)) })
	case *array.Null:
		return func(key []byte, _ int) []byte { return append(key, 0) }
	}
	return encoderOfNumbers(a)
}

// encoderOfNumbers is that of values of one width.
func encoderOfNumbers(a arrow.Array) encoder {
	switch a := a.(type) {
	case *array.Boolean:
		return valued(a, func(key []byte, i int) []byte {
			if a.Value(i) {
				return append(key, 1)
			}
			return append(key, 0)
		})
	case *array.Float16:
		return valued(a, func(key []byte, i int) []byte {
			return binary.LittleEndian.AppendUint16(key, float16.New(float32(oneOfEqual(float64(a.Value(i).Float32())))).Uint16())
		})
	case *array.Float32:
		return valued(a, func(key []byte, i int) []byte {
			return binary.LittleEndian.AppendUint32(key, math.Float32bits(float32(oneOfEqual(float64(a.Value(i))))))
		})
	case *array.Float64:
		return valued(a, func(key []byte, i int) []byte {
			return binary.LittleEndian.AppendUint64(key, math.Float64bits(oneOfEqual(a.Value(i))))
		})
	}
	width := fixedBytes(a.DataType())
	d := a.Data()
	var values []byte // nil where all are null
	if buffer := d.Buffers()[1]; buffer != nil {
		values = buffer.Bytes()[d.Offset()*width:]
	}
	return valued(a, func(key []byte, i int) []byte { return append(key, values[i*width:(i+1)*width]...) })
}

// oneOfEqual is one value for all that count as equal.
func oneOfEqual(v float64) float64 {
	switch {
	case v == 0:
		return 0 // and not -0
	case v != v:
		return math.NaN()
	}
	return v
}

func appendText[T string | []byte](key []byte, text T) []byte {
	return append(binary.LittleEndian.AppendUint64(key, uint64(len(text))), text...)
}

// valued puts the byte for null before an encoding.
func valued(a arrow.Array, value encoder) encoder {
	return nulls(a, func(key []byte, i int) []byte { return value(append(key, 1), i) })
}

// nulls encodes nulls, and leaves other values to an encoder.
func nulls(a arrow.Array, value encoder) encoder {
	if a.NullN() == 0 {
		return value
	}
	return func(key []byte, i int) []byte {
		if a.IsNull(i) {
			return append(key, 0)
		}
		return value(key, i)
	}
}
