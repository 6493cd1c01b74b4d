package feature

import (
	"errors"
	"fmt"
	"math"
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
		bucket := h.bucketer()
		byText := perText[int32]{of: bucket}
		var digits []byte
		return func(t *tile, l *lane) {
			slots := l.codes
			if in.form == formText {
				buckets := byText.all(l.texts)
				l.each(t.n, func(r int) { slots[r] = buckets[l.c[r]] })
			} else {
				l.each(t.n, func(r int) {
					digits = writtenRow(digits[:0], l, in.form, r)
					slots[r] = bucket(digits)
				})
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

// bucketer makes a function that gives the bucket of a text, for one goroutine.
func (h *Hash) bucketer() func(text []byte) int32 {
	buckets := uint64(h.Buckets)
	switch {
	case h.Algorithm == Murmur3x32:
		return func(text []byte) int32 { return int32(uint64(murmur3(text, h.Seed)) % buckets) }
	case h.Seed == 0:
		return func(text []byte) int32 { return int32(xxhash.Sum64(text) % buckets) }
	default:
		digest := xxhash.NewWithSeed(uint64(h.Seed))
		return func(text []byte) int32 {
			digest.ResetWithSeed(uint64(h.Seed))
			_, _ = digest.Write(text) // never fails
			return int32(digest.Sum64() % buckets)
		}
	}
}
