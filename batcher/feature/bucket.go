package feature

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

func compileBucketize(b *Bucketize, in valueType) (compiled, error) {
	if err := wantsNumber(in); err != nil {
		return compiled{}, err
	}
	if err := b.check(); err != nil {
		return compiled{}, err
	}
	out := compiled{out: valueType{form: formFloat64}}
	var run runner
	switch in.form {
	case formInt:
		least := b.thresholds(in.form)
		run = func(t *tile, l *lane) {
			for r, v := range l.i[:t.n] {
				l.f[r] = float64(reached(least, v))
			}
		}
	case formUint:
		bits := b.thresholds(in.form)
		least := make([]uint64, len(bits))
		for i, v := range bits {
			least[i] = uint64(v)
		}
		run = func(t *tile, l *lane) {
			for r, v := range l.i[:t.n] {
				l.f[r] = float64(reached(least, uint64(v)))
			}
		}
	default:
		least := b.floats()
		run = func(t *tile, l *lane) {
			for r, v := range l.f[:t.n] {
				if v == v {
					l.f[r] = float64(reached(least, v))
				}
			}
		}
	}
	out.make = func() runner { return run }
	return out, nil
}

// fewEdges are so many that to compare with all is as fast as to search.
const fewEdges = 8

// reached is how many of some rising numbers are <= v. A search takes the same steps for every
// value, and none of them is a branch that the machine would have to guess.
func reached[T int64 | uint64 | float64](least []T, v T) int {
	first, n := 0, len(least)
	if n <= fewEdges {
		for _, e := range least {
			if e <= v {
				first++
			}
		}
		return first
	}
	for n > 0 {
		half, above := (n+1)/2, 0
		if least[first+half-1] <= v {
			above = 1
		}
		first += half & -above
		n -= half
	}
	return first
}

func (b *Bucketize) check() error {
	if len(b.Edges) == 0 {
		return errors.New("has no edges")
	}
	var problems []error
	for i, e := range b.Edges {
		if err := finite(fmt.Sprintf("edge %d", i+1), e); err != nil {
			problems = append(problems, err)
		} else if i > 0 && e <= b.Edges[i-1] {
			problems = append(problems, fmt.Errorf("edges must rise: %v comes after %v", e, b.Edges[i-1]))
		}
	}
	return errors.Join(problems...)
}

// floats are the least numbers that an edge is counted for.
func (b *Bucketize) floats() []float64 {
	least := slices.Clone(b.Edges)
	if b.Right {
		for i, e := range least {
			least[i] = math.Nextafter(e, math.Inf(1))
		}
	}
	return least
}

// thresholds are, for 64-bit integers, the least ones that an edge is counted for, as
// the form's bits. Edges above all integers have none: they are never counted.
func (b *Bucketize) thresholds(form form) []int64 {
	low, above := -0x1p63, 0x1p63
	if form == formUint {
		low, above = 0, 0x1p64
	}
	least := make([]int64, 0, len(b.Edges))
	for _, e := range b.Edges {
		from := math.Ceil(e)
		if b.Right {
			from = math.Floor(e)
		}
		if from >= above {
			break
		}
		v := low
		if from > low {
			v = from
		}
		bits := int64(v)
		if form == formUint {
			bits = int64(uint64(v))
		}
		if b.Right && from >= low {
			bits++ // of floor(e), which is not counted itself
		}
		least = append(least, bits)
	}
	return least
}
