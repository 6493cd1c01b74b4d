package distribution

import (
	"errors"
	"fmt"
	"math"

	"github.com/DataDog/sketches-go/ddsketch"
	"github.com/DataDog/sketches-go/ddsketch/mapping"
	"github.com/DataDog/sketches-go/ddsketch/store"
)

// A bin has the numbers whose floats agree in sign, exponent and the first bits of the
// fraction: with a shift, a float says which is its own.
const (
	fractionBits = 7
	shift        = 52 - fractionBits
	sideMask     = 1<<(63-shift) - 1
	leastBin     = (1023 - 64) << fractionBits // of 2^-64
	endBin       = (1023 + 64) << fractionBits // of 2^64
	// bias is between a float's bits and the sketch's index of a bin, which is that of
	// 1 to 1 + 1/128 for 0.
	bias = 1023 << fractionBits
)

// RelativeError is how far at most a quantile is from a number that has it, as a share of
// that: half of a bin's width.
const RelativeError = 1.0 / (1<<(fractionBits+1) + 1)

// binMapping is that of the sketches: bins are linear between powers of two.
func binMapping() *mapping.LinearlyInterpolatedMapping {
	m, err := mapping.NewLinearlyInterpolatedMappingWithGamma(math.Exp2(1.0/(1<<fractionBits)), 0)
	if err != nil {
		panic(err) // of constants
	}
	return m
}

// bins counts finite numbers by sign and size.
type bins struct {
	sides [2]window // positive, negative
	zeros int64
}

// window is the bins in use of one sign, and those between.
type window struct {
	first  int // bin of counts[0]
	counts []int64
}

// of is the bin of a number's size, whatever its sign.
func of(bits uint64) int { return int(bits >> shift & sideMask) }

// add counts n of a finite number.
func (b *bins) add(x float64, n int64) {
	bits := math.Float64bits(x)
	bin := of(bits)
	if bin < leastBin {
		b.zeros += n
		return
	}
	b.sides[bits>>63].add(min(bin, endBin), n)
}

func (w *window) add(bin int, n int64) {
	w.open(bin)
	w.counts[bin-w.first] += n
}

// open makes room for a bin: for all between its powers of two.
func (w *window) open(bin int) {
	const octave = 1 << fractionBits
	first := bin &^ (octave - 1)
	end := min(first+octave, endBin+1) // what is beyond is counted in the last
	if len(w.counts) > 0 {
		if bin >= w.first && bin < w.first+len(w.counts) {
			return
		}
		first, end = min(first, w.first), max(end, w.first+len(w.counts))
	}
	counts := make([]int64, end-first)
	copy(counts[max(w.first-first, 0):], w.counts)
	w.first, w.counts = first, counts
}

func (b *bins) merge(other *bins) {
	b.zeros += other.zeros
	for side := range other.sides {
		from := &other.sides[side]
		for i, n := range from.counts {
			if n != 0 {
				b.sides[side].add(from.first+i, n)
			}
		}
	}
}

func (b *bins) count() int64 {
	n := b.zeros
	for side := range b.sides {
		for _, k := range b.sides[side].counts {
			n += k
		}
	}
	return n
}

// sketch is the bins as the library has them.
func (b *bins) sketch() (*ddsketch.DDSketch, error) {
	positive, negative := store.NewDenseStore(), store.NewDenseStore()
	s := ddsketch.NewDDSketch(binMapping(), positive, negative)
	for side, to := range []store.Store{positive, negative} {
		w := &b.sides[side]
		for i, n := range w.counts {
			if n != 0 {
				to.AddWithCount(w.first+i-bias, float64(n))
			}
		}
	}
	if b.zeros == 0 {
		return s, nil
	}
	return s, s.AddWithCount(0, float64(b.zeros))
}

// encode writes the bins as DDSketch's own encoding has them, 2 or 3 bytes for each that
// is in use.
func (b *bins) encode() ([]byte, error) {
	s, err := b.sketch()
	if err != nil {
		return nil, err
	}
	var text []byte
	s.Encode(&text, false)
	return text, nil
}

// errSketch says that bytes are no sketch that encode wrote.
var errSketch = errors.New("it is no sketch of a distribution as millrace writes them")

// decodeBins reads what encode wrote, of bytes that may be anything: bins outside of the
// range, or counts that are none, are refused.
func decodeBins(text []byte) (b *bins, err error) {
	defer func() {
		if r := recover(); r != nil {
			b, err = nil, fmt.Errorf("%w: %v", errSketch, r)
		}
	}()
	if len(text) > maxSketchBytes {
		return nil, fmt.Errorf("%w: it has %d bytes", errSketch, len(text))
	}
	const most = endBin - leastBin + 1
	bounded := func() store.Store { return store.NewCollapsingLowestDenseStore(most) }
	s, err := ddsketch.DecodeDDSketch(text, bounded, binMapping())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errSketch, err)
	}
	b = &bins{}
	if b.zeros, err = whole(s.GetZeroCount()); err != nil {
		return nil, err
	}
	for side, from := range []store.Store{s.GetPositiveValueStore(), s.GetNegativeValueStore()} {
		var bad error
		from.ForEach(func(index int, count float64) (stop bool) {
			n, err := whole(count)
			if bin := index + bias; err == nil && (bin < leastBin || bin > endBin) {
				err = fmt.Errorf("%w: it has the bin %d", errSketch, index)
			}
			if err != nil {
				bad = err
				return true
			}
			b.sides[side].add(index+bias, n)
			return false
		})
		if bad != nil {
			return nil, bad
		}
	}
	return b, nil
}

// maxSketchBytes is more than a sketch of all bins takes.
const maxSketchBytes = 1 << 20

// whole is a count of the library's as a whole number.
func whole(count float64) (int64, error) {
	if !(count >= 0 && count <= 1<<53) || count != math.Trunc(count) {
		return 0, fmt.Errorf("%w: it counts %v numbers", errSketch, count)
	}
	return int64(count), nil
}
