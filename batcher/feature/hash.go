package feature

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"

	"github.com/cespare/xxhash/v2"
)

func compileHash(h *Hash, in valueType) (compiled, error) {
	out := compiled{out: valueType{form: formFloat64}}
	if err := errors.Join(wantsCategory(in), h.check()); err != nil {
		return out, err
	}
	if h.OneHot {
		out.out.form, out.width = formSlots, h.Buckets
		out.names = func(i int) string { return "#" + strconv.Itoa(i) }
	}
	out.make = func() runner {
		buckets := h.newBuckets()
		byText := perText[int32]{of: buckets.ofText}
		numbers := newWriter()
		return func(t *tile, l *lane) {
			slots := l.codes
			if in.form == formText {
				all := byText.all(l.texts)
				l.each(t.n, func(r int) { slots[r] = all[l.c[r]] })
			} else {
				buckets.ofNumbers(slots[:t.n], numbers, l, in.form)
			}
			if h.OneHot {
				l.c = slots
				return
			}
			l.each(t.n, func(r int) { l.f[r] = float64(slots[r]) })
		}
	}
	return out, nil
}

func (h *Hash) check() error {
	var problems []error
	switch most := h.most(); {
	case h.Buckets < 1:
		problems = append(problems, fmt.Errorf("buckets (%d) must be 1 or more", h.Buckets))
	case h.Buckets > most:
		problems = append(problems, fmt.Errorf("buckets (%d) must be %d or fewer", h.Buckets, most))
	}
	return errors.Join(append(problems, oneOf("algorithm", h.Algorithm))...)
}

func (h *Hash) most() int {
	if h.OneHot {
		return maxValues
	}
	return math.MaxInt32
}

// buckets give texts their buckets. They belong to one goroutine.
type buckets struct {
	count, reciprocal uint64 // 2^64 - 1 divided by count
	seed              uint32
	murmur            bool
	digest            *xxhash.Digest
}

func (h *Hash) newBuckets() *buckets {
	count := uint64(h.Buckets)
	return &buckets{count: count, reciprocal: math.MaxUint64 / count, seed: h.Seed, murmur: h.Algorithm == Murmur3x32, digest: xxhash.New()}
}

// of is the bucket of a hash: its rest. The reciprocal makes a quotient that is right or one less.
func (b *buckets) of(hash uint64) int32 {
	quotient, _ := bits.Mul64(hash, b.reciprocal)
	rest := hash - quotient*b.count
	if rest >= b.count {
		rest -= b.count
	}
	return int32(rest)
}

func (b *buckets) ofText(text []byte) int32 {
	switch {
	case b.murmur:
		return b.of(uint64(murmur3(text, b.seed)))
	case b.seed == 0:
		return b.of(xxhash.Sum64(text))
	default:
		b.digest.ResetWithSeed(uint64(b.seed))
		_, _ = b.digest.Write(text) // never fails
		return b.of(b.digest.Sum64())
	}
}

// ofNumbers are the buckets of a lane's first rows, as a writer writes them.
func (b *buckets) ofNumbers(dst []int32, w *writer, l *lane, form form) {
	for from := 0; from < len(dst); from += writerBlock {
		block := dst[from:min(from+writerBlock, len(dst))]
		w.write(l, form, from, len(block))
		if b.murmur {
			for i := range block {
				block[i] = b.of(uint64(murmur3(w.text(i), b.seed)))
			}
			continue
		}
		for i := range block {
			block[i] = b.of(shortXXH64(w.text(i), uint64(b.seed)))
		}
	}
}
