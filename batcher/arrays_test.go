package batcher

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/decimal"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
	"github.com/apache/arrow-go/v18/arrow/float16"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// arrays makes random arrays. Below their nulls lies garbage, and they may be
// slices of longer ones.
type arrays struct {
	*rand.Rand
	mem memory.Allocator
	// nulls is the share of nulls, wild that of values which need not fit the
	// tensor; of the others halves says whether they may have a fraction.
	nulls, wild float64
	halves      bool
}

func (g *arrays) chance(p float64) bool { return g.Float64() < p }

var edges = []int64{
	0, 1, -1, 127, 128, -128, -129, 255, 256, 257, 2047, 2048, 2049, 32767, 32768, -32768, -32769, 65504, 65520, 65535, 65536,
	1<<24 - 1, 1 << 24, 1<<24 + 1, -(1<<24 + 1), 1<<31 - 1, 1 << 31, -1 << 31, -1<<31 - 1, 1<<32 - 1, 1 << 32,
	1<<53 - 1, 1 << 53, 1<<53 + 1, -(1<<53 + 1), 1<<62 + 1<<54 + 1, 1<<62 + 3<<54 - 1, math.MaxInt64, math.MaxInt64 - 1, math.MinInt64, math.MinInt64 + 1,
}

func (g *arrays) integer() int64 {
	switch {
	case !g.chance(g.wild):
		return g.Int64N(101)
	case g.chance(0.5):
		return edges[g.IntN(len(edges))]
	default:
		return int64(g.Uint64()) >> g.IntN(64)
	}
}

var floatEdges = []float64{
	math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 0.1, -0.1, 0.5, 1e300, -1e300, 1e-300, math.MaxFloat64, math.SmallestNonzeroFloat64,
	65504, 65519.99, 65520, -65520, 65505, 1.0 / (1 << 24), 1.0 / (1 << 25), 1.5 / (1 << 25), 3.0 / (1 << 25), 1.0 / (1 << 14), 1023.5 / (1 << 24),
	1 + 1.0/(1<<11), 1 + 1.0/(1<<11) + 1.0/(1<<40), 1 + 3.0/(1<<11), 1 + 1.0/(1<<8) + 1.0/(1<<45),
	math.MaxFloat32, 3.4028235677973362e38, 3.4028235677973366e38, 3.39e38, math.SmallestNonzeroFloat32, math.SmallestNonzeroFloat32 / 2, 1e-45,
	16777217, 1 << 53, -1 << 63, 1 << 63, 1 << 64, 1<<64 - 2048, 2147483647, 2147483648, -2147483648.5, 127.5, 128, -129, 255, 256,
}

func (g *arrays) float() float64 {
	if !g.chance(g.wild) {
		v := float64(g.IntN(101))
		if g.halves && g.chance(0.5) {
			v += 0.5
		}
		return v
	}
	switch g.IntN(4) {
	case 0:
		return math.Float64frombits(g.Uint64())
	case 1:
		return g.NormFloat64() * math.Ldexp(1, g.IntN(60)-30)
	default:
		return floatEdges[g.IntN(len(floatEdges))]
	}
}

func (g *arrays) half() float16.Num {
	if g.chance(g.wild) {
		return float16.FromBits(uint16(g.Uint32()))
	}
	return float16.FromBits([]uint16{0, 0x3c00, 0x4000, 0x5640}[g.IntN(4)]) // 0, 1, 2, 100
}

var texts16 = []string{"", "a", "späť", "0123456789ab", "longer than what a view keeps inline", "日本語", "x\x00y"}

func (g *arrays) text() string {
	if g.chance(g.wild / 4) {
		return "\xe6\x97" // the start of a rune
	}
	return texts16[g.IntN(len(texts16))]
}

func (g *arrays) bytes() []byte {
	if g.chance(g.wild / 4) {
		return []byte{0xff, 'a', 0xc0}
	}
	return []byte(g.text())
}

// unscaled is a decimal's integer; the scale is 2.
func (g *arrays) unscaled() int64 {
	if g.chance(g.wild) {
		return g.integer()
	}
	v := g.Int64N(101) * 100
	if g.halves && g.chance(0.5) {
		v += 50
	}
	return v
}

// leaf makes n values of a type without lists.
func (g *arrays) leaf(t arrow.DataType, n int) arrow.Array {
	switch t := t.(type) {
	case *arrow.NullType:
		return array.NewNull(n)
	case *arrow.DictionaryType:
		return g.dictionary(t, n)
	case arrow.ExtensionType:
		storage := g.leaf(t.StorageType(), n)
		defer storage.Release()
		return array.NewExtensionArrayWithStorage(t, storage)
	case *arrow.Date32Type, *arrow.Time32Type:
		return g.as(t, arrow.PrimitiveTypes.Int32, n)
	case *arrow.Date64Type, *arrow.Time64Type, *arrow.TimestampType, *arrow.DurationType:
		return g.as(t, arrow.PrimitiveTypes.Int64, n)
	}
	b := array.NewBuilder(g.mem, t)
	defer b.Release()
	for range n {
		g.append(b)
	}
	a := b.NewArray()
	defer a.Release()
	return g.punch(a)
}

// as makes integers and calls them another type.
func (g *arrays) as(t, integers arrow.DataType, n int) arrow.Array {
	a := g.leaf(integers, n)
	defer a.Release()
	data := array.NewData(t, n, a.Data().Buffers(), nil, a.NullN(), 0)
	defer data.Release()
	return array.MakeFromData(data)
}

func (g *arrays) append(b array.Builder) {
	switch b := b.(type) {
	case *array.BooleanBuilder:
		b.Append(g.chance(0.5))
	case *array.Int8Builder:
		b.Append(int8(g.integer()))
	case *array.Int16Builder:
		b.Append(int16(g.integer()))
	case *array.Int32Builder:
		b.Append(int32(g.integer()))
	case *array.Int64Builder:
		b.Append(g.integer())
	case *array.Uint8Builder:
		b.Append(uint8(g.integer()))
	case *array.Uint16Builder:
		b.Append(uint16(g.integer()))
	case *array.Uint32Builder:
		b.Append(uint32(g.integer()))
	case *array.Uint64Builder:
		b.Append(uint64(g.integer()))
	case *array.Float16Builder:
		b.Append(g.half())
	case *array.Float32Builder:
		b.Append(float32(g.float()))
	case *array.Float64Builder:
		b.Append(g.float())
	case *array.Decimal32Builder:
		b.Append(decimal.Decimal32(g.unscaled()))
	case *array.Decimal64Builder:
		b.Append(decimal.Decimal64(g.unscaled()))
	case *array.Decimal128Builder:
		v := decimal128.FromI64(g.unscaled())
		if g.chance(g.wild / 2) {
			v = decimal128.New(g.integer(), g.Uint64())
		}
		b.Append(v)
	case *array.Decimal256Builder:
		v := decimal256.FromI64(g.unscaled())
		if g.chance(g.wild / 2) {
			v = decimal256.New(uint64(g.integer()), g.Uint64(), g.Uint64(), g.Uint64())
		}
		b.Append(v)
	case *array.StringBuilder:
		b.Append(g.text())
	case *array.LargeStringBuilder:
		b.Append(g.text())
	case *array.StringViewBuilder:
		b.Append(g.text())
	case *array.BinaryBuilder: // of large binaries too
		b.Append(g.bytes())
	case *array.BinaryViewBuilder:
		b.Append(g.bytes())
	case *array.FixedSizeBinaryBuilder:
		v := make([]byte, b.Type().(*arrow.FixedSizeBinaryType).ByteWidth)
		copy(v, g.bytes())
		b.Append(v)
	default:
		panic(fmt.Sprintf("no values for %s", b.Type()))
	}
}

// bitmap draws a validity bitmap of n bits; nil when it may be.
func (g *arrays) bitmap(n int) (bits []byte, nulls int) {
	if g.nulls == 0 && g.chance(0.5) {
		return nil, 0
	}
	bits = make([]byte, bitutil.BytesForBits(int64(n)))
	for i := range n {
		if g.chance(g.nulls) {
			nulls++
		} else {
			bitutil.SetBit(bits, i)
		}
	}
	return bits, nulls
}

func buffer(b []byte) *memory.Buffer {
	if b == nil {
		return nil
	}
	return memory.NewBufferBytes(b)
}

// punch makes some of an array's values null and leaves them where they are.
func (g *arrays) punch(a arrow.Array) arrow.Array {
	bits, nulls := g.bitmap(a.Len())
	buffers := append([]*memory.Buffer{buffer(bits)}, a.Data().Buffers()[1:]...)
	data := array.NewData(a.DataType(), a.Len(), buffers, a.Data().Children(), nulls, 0)
	defer data.Release()
	return array.MakeFromData(data)
}

func (g *arrays) dictionary(t *arrow.DictionaryType, n int) arrow.Array {
	entries := g.sliced(1+g.IntN(6), func(n int) arrow.Array { return g.leaf(t.ValueType, n) })
	defer entries.Release()
	bits, nulls := g.bitmap(n)
	width := t.IndexType.(arrow.FixedWidthDataType).Bytes()
	index := make([]byte, n*width+8)
	for i := range n {
		k := uint64(g.IntN(entries.Len()))
		if bits != nil && !bitutil.BitIsSet(bits, i) {
			k = 100 // in no dictionary
		}
		var wide [8]byte
		binary.LittleEndian.PutUint64(wide[:], k)
		copy(index[i*width:], wide[:width])
	}
	data := array.NewData(t.IndexType, n, []*memory.Buffer{buffer(bits), buffer(index[:n*width])}, nil, nulls, 0)
	defer data.Release()
	indices := array.MakeFromData(data)
	defer indices.Release()
	return array.NewDictionaryArray(t, indices, entries)
}

// list makes n lists of a type; variable lists have width values, and of the
// wild ones some another number.
func (g *arrays) list(t arrow.DataType, n, width int) arrow.Array {
	switch t := t.(type) {
	case *arrow.FixedSizeListType:
		k := int(t.Len())
		child := g.sliced(n*k, func(n int) arrow.Array { return g.list(t.Elem(), n, width/k) })
		defer child.Release()
		bits, nulls := g.bitmap(n)
		data := array.NewData(t, n, []*memory.Buffer{buffer(bits)}, []arrow.ArrayData{child.Data()}, nulls, 0)
		defer data.Release()
		return array.MakeFromData(data)
	case *arrow.ListType:
		return g.variable(t, t.Elem(), n, width, 4)
	case *arrow.LargeListType:
		return g.variable(t, t.Elem(), n, width, 8)
	default:
		return g.leaf(t, n)
	}
}

func (g *arrays) variable(t, elem arrow.DataType, n, width, size int) arrow.Array {
	bits, nulls := g.bitmap(n)
	offsets := make([]byte, 0, (n+1)*size)
	at := uint64(g.IntN(5))
	sameLength := g.chance(0.3)
	for i := range n + 1 {
		var wide [8]byte
		binary.LittleEndian.PutUint64(wide[:], at)
		offsets = append(offsets, wide[:size]...)
		length := width
		switch {
		case i < n && bits != nil && !bitutil.BitIsSet(bits, i) && !sameLength:
			length = g.IntN(width + 2)
		case g.chance(g.wild / 8):
			length = g.IntN(width + 2)
		}
		if i < n {
			at += uint64(length)
		}
	}
	child := g.sliced(int(at)+g.IntN(3), func(n int) arrow.Array { return g.leaf(elem, n) })
	defer child.Release()
	data := array.NewData(t, n, []*memory.Buffer{buffer(bits), buffer(offsets)}, []arrow.ArrayData{child.Data()}, nulls, 0)
	defer data.Release()
	return array.MakeFromData(data)
}

// sliced makes n values, as a slice of more in one of two cases.
func (g *arrays) sliced(n int, build func(n int) arrow.Array) arrow.Array {
	if g.chance(0.5) {
		return build(n)
	}
	before, after := g.IntN(20), g.IntN(5)
	whole := build(before + n + after)
	defer whole.Release()
	return array.NewSlice(whole, int64(before), int64(before+n))
}
