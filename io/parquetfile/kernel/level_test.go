package kernel

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/internal/cpulevel/leveltest"
)

// The tests here run every kernel of every level that this machine has against
// the plainest loop, on memory that ends where the values do.

func TestLevel(t *testing.T) { leveltest.Choice(t, levels(), plain, Level()) }

func drawRandom(t *rapid.T) *rand.Rand {
	return rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
}

func drawRun(t *rapid.T) int {
	return rapid.OneOf(rapid.IntRange(0, 70), rapid.IntRange(0, 700)).Draw(t, "n")
}

// Values go to the slots whose bits are set and zeros to the others.
func TestSpreadLevels(t *testing.T) {
	for _, width := range []int{1, 2, 3, 4, 8, 12, 16} {
		t.Run(fmt.Sprintf("width=%d", width), func(t *testing.T) {
			leveltest.Each(t, levels(), 2, func(t *rapid.T, l *level, g *leveltest.Guards) { checkSpread(t, l, g, width) })
		})
	}
}

func checkSpread(t *rapid.T, l *level, g *leveltest.Guards, width int) {
	n, r := drawRun(t), drawRandom(t)
	nulls := rapid.SampledFrom([]float64{0, 0.001, 0.05, 0.5, 0.95, 1}).Draw(t, "nulls")
	from := 0 // of the nulls: rows before it are in place
	if rapid.Bool().Draw(t, "late") {
		from = n / 2
	}
	set := leveltest.Slice[byte](g, (n+7)/8)
	clear(set)
	b := leveltest.Slice[byte](g, n*width)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	want, k := make([]byte, 0, n*width), 0
	for i := range n {
		if i >= from && r.Float64() < nulls {
			want = append(want, make([]byte, width)...)
			continue
		}
		set[i/8] |= 1 << (i % 8)
		want = append(want, b[k*width:(k+1)*width]...)
		k++
	}
	spread(l, b, width, set, k, n)
	if !bytes.Equal(b, want) {
		t.Fatalf("spread of %d values of %d bytes over %d slots %08b = %v; want %v", k, width, n, set, b, want)
	}
	if !leveltest.Intact[byte](g, n*width) {
		t.Fatalf("spread over %d slots of %d bytes wrote before them", n, width)
	}
}

// A bitmap of more or fewer values than there are would let a kernel out of its
// memory.
func TestSpreadRefuses(t *testing.T) {
	for _, l := range levels()[1:] {
		for _, k := range []int{0, 63, 65, 128} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("level %s: spread of %d values over 64 bits set of 128 did not panic", l.name, k)
					}
				}()
				set := make([]byte, 16)
				for i := range 8 {
					set[8+i] = 0xff
				}
				spread(l, make([]byte, 128*4), 4, set, k, 128)
			}()
		}
	}
}

// packed draws n numbers of width bits below limit, and their bytes, not a byte
// more, from a bit of the first byte on. Bits that are no number's are random.
func packed(t *rapid.T, g *leveltest.Guards, n, width int, limit uint64) (values []uint32, b []byte, bit int) {
	r := drawRandom(t)
	bit = rapid.IntRange(0, 23).Draw(t, "bit")
	b = leveltest.Slice[byte](g, (bit+n*width+7)/8)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	for i := range n {
		v := uint32(r.Uint64N(limit))
		values = append(values, v)
		for j := range width {
			at := bit + i*width + j
			b[at/8] = b[at/8]&^(1<<(at%8)) | byte(v>>j&1)<<(at%8)
		}
	}
	return values, b, bit
}

func TestUnpackLevels(t *testing.T) {
	checkUnpack[uint8](t)
	checkUnpack[int16](t)
	checkUnpack[uint32](t)
}

func checkUnpack[T uint8 | int16 | uint32](t *testing.T) {
	t.Helper()
	var zero T
	t.Run(fmt.Sprintf("type=%T", zero), func(t *testing.T) {
		leveltest.Each(t, levels(), 2, func(t *rapid.T, l *level, g *leveltest.Guards) {
			n, width := drawRun(t), rapid.IntRange(1, min(8*sizeOf[T](), 32)).Draw(t, "width")
			values, b, bit := packed(t, g, n, width, 1<<width)
			want := make([]T, n)
			for i, v := range values {
				want[i] = T(v)
			}
			out := leveltest.Slice[T](g, n)
			unpack(l, out, b, bit, uint(width))
			if !slices.Equal(out, want) {
				t.Fatalf("unpack of %d values of %d bits from bit %d of %x = %v; want %v", n, width, bit, b, out, want)
			}
			if !leveltest.Intact[T](g, n) {
				t.Fatalf("unpack of %d values wrote before them", n)
			}
		})
	})
}

func TestGatherLevels(t *testing.T) {
	checkGather[uint32](t)
	checkGather[uint64](t)
}

// checkGather looks up indices of dictionaries of all sizes that a level has a
// kernel for, and of those that some indices are beyond.
func checkGather[T uint32 | uint64](t *testing.T) {
	t.Helper()
	var zero T
	t.Run(fmt.Sprintf("type=%T", zero), func(t *testing.T) {
		leveltest.Each(t, levels(), 3, func(t *rapid.T, l *level, g *leveltest.Guards) {
			entries := rapid.OneOf(rapid.IntRange(0, 18), rapid.IntRange(19, 140), rapid.IntRange(141, 1500)).Draw(t, "entries")
			least := bits.Len(uint(max(entries, 1) - 1))
			width := rapid.OneOf(rapid.IntRange(least, least+2), rapid.IntRange(least, 32)).Draw(t, "width")
			n := drawRun(t)
			if entries == 0 || rapid.Bool().Draw(t, "few") {
				n = min(n, 20)
			}
			limit := min(uint64(max(entries, 1)), 1<<width)
			values, b, bit := packed(t, g, n, width, limit)
			most := uint64(1)<<width - 1
			beyond := n > 0 && most >= uint64(entries) && (entries == 0 || rapid.Bool().Draw(t, "beyond"))
			if beyond && entries > 0 {
				// One index may be far beyond, or just so.
				v := rapid.OneOf(rapid.Just(uint64(entries)), rapid.Just(most), rapid.Uint64Range(uint64(entries), most)).Draw(t, "index")
				at := rapid.IntRange(0, n-1).Draw(t, "at")
				for j := range width {
					place := bit + at*width + j
					b[place/8] = b[place/8]&^(1<<(place%8)) | byte(v>>j&1)<<(place%8)
				}
			}
			dict := leveltest.Slice[T](g, entries)
			for i := range dict {
				dict[i] = T(0x9e3779b97f4a7c15 * uint64(i+1) >> 7)
			}
			out := leveltest.Slice[T](g, n)
			got := gather(l, out, dict, b, bit, uint(width))
			if beyond {
				if want := gatherPlain(make([]T, n), dict, b, bit, uint(width)); got != want || want < entries {
					t.Fatalf("gather of an index beyond %d = %d, by a plain loop %d", entries, got, want)
				}
			} else {
				for i, v := range values {
					if out[i] != dict[v] {
						t.Fatalf("gather of %d indices of %d bits from bit %d into %d values: [%d] = %x; want %x", n, width, bit, entries, i, out[i], dict[v])
					}
				}
				if got != -1 {
					t.Fatalf("gather of %d indices of %d bits into %d values = %d; want -1", n, width, entries, got)
				}
			}
			if !leveltest.Intact[T](g, n) {
				t.Fatalf("gather of %d values wrote before them", n)
			}
		})
	})
}

func TestFillLevels(t *testing.T) {
	checkFill[uint8](t)
	checkFill[int16](t)
	checkFill[uint32](t)
	checkFill[uint64](t)
}

func checkFill[T uint8 | int16 | uint32 | uint64](t *testing.T) {
	t.Helper()
	var zero T
	t.Run(fmt.Sprintf("type=%T", zero), func(t *testing.T) {
		leveltest.Each(t, levels(), 1, func(t *rapid.T, l *level, g *leveltest.Guards) {
			n, v := drawRun(t), T(rapid.Uint64().Draw(t, "value"))
			out := leveltest.Slice[T](g, n)
			fill(l, out, v)
			if want := slices.Repeat([]T{v}, n); !slices.Equal(out, want) {
				t.Fatalf("fill of %d values with %d = %v", n, v, out)
			}
			if !leveltest.Intact[T](g, n) {
				t.Fatalf("fill of %d values wrote before them", n)
			}
		})
	})
}

// Pairs of runs become the bits that they spell, up to the first that is no such
// pair, has no room or ends too near the end.
func TestPairsLevels(t *testing.T) {
	leveltest.Each(t, levels(), 2, checkPairs)
}

func checkPairs(t *rapid.T, l *level, g *leveltest.Guards) {
	r := drawRandom(t)
	at, n := rapid.IntRange(0, 130).Draw(t, "at"), rapid.IntRange(0, 2500).Draw(t, "room")
	rare := rapid.SampledFrom([]int{10, 1000}).Draw(t, "rare")
	count, good := rapid.IntRange(0, 60).Draw(t, "pairs"), math.MaxInt
	runs, bits := make([]byte, 0, 10*count), make([]byte, 0, 64*count) // a byte per level
	ends, counts := make([]int, count), make([]int, count)             // of pairs, in runs and bits
	for i := range count {
		repeated, groups, level := r.IntN(64), 1+r.IntN(7), byte(r.IntN(2))
		head := [...]byte{byte(repeated << 1), level, byte(groups<<1 | 1)}
		if r.IntN(rare) == 0 { // something else
			at := r.IntN(3)
			head[at] = [][]byte{{0x80, 0xfe, 3}, {2, 0xff, 0x80}, {8, 1, 0x11}}[at][r.IntN(3)]
			good = min(good, i)
		}
		runs = append(runs, head[:]...)
		bits = append(bits, bytes.Repeat([]byte{level}, repeated)...)
		for range groups {
			b := byte(r.Uint32())
			runs = append(runs, b)
			for j := range 8 {
				bits = append(bits, b>>j&1)
			}
		}
		ends[i], counts[i] = len(runs), len(bits)
	}
	var wantLevels, wantBytes int
	for i, end := range ends {
		if i >= good || counts[i] > n || wantBytes+pairBytes > len(runs) {
			break
		}
		wantLevels, wantBytes = counts[i], end
	}
	// Before at there are ones.
	in := leveltest.Slice[byte](g, len(runs))
	copy(in, runs)
	bitmap := leveltest.Slice[byte](g, (at+n+63)/64*8)
	before := uint64(1)<<(at&63) - 1
	levels, used, last := pairs(l, bitmap, at, n, before, in)
	if levels != wantLevels || used != wantBytes {
		t.Fatalf("pairs of %x, room for %d = %d levels, %d bytes; want %d, %d", runs, n, levels, used, wantLevels, wantBytes)
	}
	want := before
	for i, b := range bits[:levels] {
		want |= uint64(b) << ((at + i) & 63)
		if (at+i)&63 == 63 {
			if got := binary.LittleEndian.Uint64(bitmap[(at+i)>>6<<3:]); got != want {
				t.Fatalf("pairs of %x from bit %d: word %d is %x; want %x", runs, at, (at+i)>>6, got, want)
			}
			want = 0
		}
	}
	if last != want {
		t.Fatalf("pairs of %x from bit %d: the last word is %x; want %x", runs, at, last, want)
	}
	for _, b := range bitmap[:at>>6<<3] {
		if b != leveltest.Canary {
			t.Fatal("pairs wrote before their first word")
		}
	}
}

func TestCountBits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set := rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(t, "set")
		to := rapid.IntRange(0, 8*len(set)).Draw(t, "to")
		from := rapid.IntRange(0, to).Draw(t, "from")
		want := 0
		for i := from; i < to; i++ {
			want += int(set[i/8] >> (i % 8) & 1)
		}
		if got := CountBits(set, from, to); got != want {
			t.Fatalf("CountBits(%08b, %d, %d) = %d; want %d", set, from, to, got, want)
		}
	})
}
