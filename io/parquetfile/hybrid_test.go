package parquetfile

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/internal/recycle"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/parquetfile/kernel"
)

// drawHybrid draws values of width bits, below limit but for one in outliers, and
// an encoding of them: runs and groups of any length.
func drawHybrid(t *rapid.T, width int, limit, outliers uint64) (values []uint32, encoded []byte) {
	rng := splitmix(rapid.Uint64().Draw(t, "seed"))
	next := func() uint32 {
		if rng.next()%outliers == 0 {
			return uint32(rng.next() & (1<<width - 1))
		}
		return uint32(rng.next() % limit)
	}
	for range rapid.IntRange(0, 12).Draw(t, "runs") {
		n := rapid.OneOf(rapid.IntRange(1, 9), rapid.IntRange(1, 700)).Draw(t, "length")
		if rapid.Bool().Draw(t, "repeated") {
			v := next()
			encoded = binary.AppendUvarint(encoded, uint64(n)<<1)
			encoded = append(encoded, binary.LittleEndian.AppendUint32(nil, v)[:(width+7)/8]...)
			values = append(values, slices.Repeat([]uint32{v}, n)...)
			continue
		}
		group := make([]uint32, (n+7)/8*8)
		for i := range group {
			group[i] = next()
		}
		encoded = binary.AppendUvarint(encoded, uint64(len(group)/8)<<1|1)
		encoded = packBitsOf(encoded, group, width)
		values = append(values, group...)
	}
	return values, encoded
}

// Whatever the width, the runs and where reads are cut: all values come, as
// numbers, as looked up, and not one more.
func TestPropertyHybrid(t *testing.T) {
	for width := range 33 {
		t.Run(strconv.Itoa(width), func(t *testing.T) { checkHybrid(t, width) })
	}
}

func checkHybrid(t *testing.T, width int) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) {
		dict := make([]uint32, min(1<<width, 40000))
		outliers := rapid.SampledFrom([]uint64{300, math.MaxUint64}).Draw(t, "outliers")
		values, encoded := drawHybrid(t, width, uint64(len(dict)), outliers)
		wide := make([]uint64, len(dict))
		for i := range dict {
			dict[i], wide[i] = uint32(i)*2654435761, uint64(i)*0x9e3779b97f4a7c15
		}
		numbers, narrow, wider := newHybrid(encoded, uint(width)), newHybrid(encoded, uint(width)), newHybrid(encoded, uint(width))
		for at := 0; at < len(values); {
			n := min(rapid.IntRange(1, 600).Draw(t, "read"), len(values)-at)
			want := values[at : at+n]
			got := make([]uint32, n)
			if err := decode(&numbers, got); err != nil || !slices.Equal(got, want) {
				t.Fatalf("%d values of %d bits from %d = %v, %v; want %v", n, width, at, got, err, want)
			}
			inside := slices.Max(want) < uint32(len(dict))
			err32 := gather(&narrow, got, dict)
			got64 := make([]uint64, n)
			err64 := gather(&wider, got64, wide)
			if (err32 == nil) != inside || (err64 == nil) != inside {
				t.Fatalf("looked up %v: %v and %v", want, err32, err64)
			}
			if !inside {
				if !errors.Is(err32, format.ErrDamaged) {
					t.Fatalf("index beyond the dictionary: %v", err32)
				}
				return
			}
			for i, x := range want {
				if got[i] != dict[x] || got64[i] != wide[x] {
					t.Fatalf("value %d looked up at %d = %x and %x; want %x and %x", at+i, x, got[i], got64[i], dict[x], wide[x])
				}
			}
			at += n
		}
		if err := decode(&numbers, make([]uint32, 1)); !errors.Is(err, format.ErrDamaged) {
			t.Fatalf("one value more: %v", err)
		}
	})
}

// Levels of one bit become the bitmap that they spell, in both encodings,
// wherever reads are cut.
func TestPropertyValidity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mem := newBudget(recycle.New(memory.NewGoAllocator(), 0), 1<<20)
		values, encoded := drawHybrid(t, 1, 2, math.MaxUint64)
		r := newLevelReader(encoded, 1, false)
		if rapid.Bool().Draw(t, "deprecated") {
			old := packBitsOf(nil, values, 1)
			for i, b := range old {
				old[i] = bits.Reverse8(b)
			}
			r = newLevelReader(old, 1, true)
		}
		v := validity{mem: mem}
		v.reset(len(values))
		set := 0
		for at := 0; at < len(values); {
			n := min(rapid.OneOf(rapid.IntRange(1, 9), rapid.IntRange(1, 600)).Draw(t, "read"), len(values)-at)
			if err := v.read(&r, n); err != nil {
				t.Fatal(err)
			}
			at += n
		}
		buf := v.take()
		defer buf.Release()
		for i, want := range values {
			if got := buf.Bytes()[i>>3] >> (i & 7) & 1; uint32(got) != want {
				t.Fatalf("bit %d = %d; want %d", i, got, want)
			}
			set += int(want)
		}
		if v.set != set {
			t.Fatalf("%d bits set; want %d", v.set, set)
		}
	})
}

// Levels above 1 in a column that has 0 and 1 are refused.
func TestLevelBeyondTheMaximum(t *testing.T) {
	for name, encoded := range map[string][]byte{
		"a long run":    {0x80 | 100<<1&0x7f, 100 >> 6, 2},
		"a short run":   {5 << 1, 2, 0, 0, 0, 0, 0, 0, 0, 0},
		"a run of 0xff": {5 << 1, 0xff, 0, 0, 0, 0, 0, 0, 0, 0},
	} {
		v := validity{mem: newBudget(recycle.New(memory.NewGoAllocator(), 0), 1<<20)}
		v.reset(100)
		r := newLevelReader(encoded, 1, false)
		if err := v.read(&r, 5); !errors.Is(err, format.ErrDamaged) {
			t.Errorf("%s: %v; want ErrDamaged", name, err)
		}
		v.release()
	}
}

// Levels of several bits, in the deprecated order too.
func TestLevelsOfSeveralBits(t *testing.T) {
	rng := splitmix(3)
	for width := 1; width <= 7; width++ {
		values := make([]int16, 200)
		var old uint64
		var b []byte
		n := 0
		for i := range values {
			values[i] = int16(rng.next() & (1<<width - 1))
			old = old<<width | uint64(values[i])
			for n += width; n >= 8; n -= 8 {
				b = append(b, byte(old>>(n-8)))
			}
		}
		if n > 0 {
			b = append(b, byte(old<<(8-n)))
		}
		r := newLevelReader(b, uint(width), true)
		got := make([]int16, len(values))
		if err := errors.Join(r.levels(got[:77]), r.levels(got[77:])); err != nil || !slices.Equal(got, values) {
			t.Errorf("levels of %d bits = %v, %v; want %v", width, got, err, values)
		}
	}
}

// Values go to the slots whose bits are set, zeros to the others, whatever the
// width.
func TestPropertySpread(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.SampledFrom([]int{1, 2, 3, 4, 8, 12, 16}).Draw(t, "width")
		n := rapid.OneOf(rapid.IntRange(0, 20), rapid.IntRange(0, 1000)).Draw(t, "slots")
		share := rapid.SampledFrom([]float64{0, 0.01, 0.05, 0.5, 0.95, 1}).Draw(t, "nulls")
		rng := splitmix(rapid.Uint64().Draw(t, "seed"))
		b, want := make([]byte, n*width), make([]byte, 0, n*width)
		for i := range b {
			b[i] = byte(rng.next())
		}
		bitmap, k := make([]byte, (n+7)/8), 0
		for i := range n {
			if rng.float() < share {
				want = append(want, make([]byte, width)...)
				continue
			}
			bitmap[i>>3] |= 1 << (i & 7)
			want = append(want, b[k*width:(k+1)*width]...)
			k++
		}
		if kernel.Spread(b, width, bitmap, k, n); !slices.Equal(b, want) {
			t.Fatalf("%d values of %d bytes over %d slots = %v; want %v", k, width, n, b, want)
		}
	})
}
