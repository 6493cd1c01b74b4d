package feature

import (
	"errors"
	"fmt"
	"math"
	"sort"
)

func compileBucketize(b *Bucketize, in valueType) (compiled, error) {
	if err := wantsNumber(in); err != nil {
		return compiled{}, err
	}
	if err := b.check(); err != nil {
		return compiled{}, err
	}
	var run runner
	switch in.form {
	case formInt:
		run = integerBuckets(b.thresholds(in.form))
	case formUint:
		run = unsignedBuckets(b.thresholds(in.form))
	default:
		run = b.floats
	}
	return compiled{out: valueType{form: formFloat64}, make: func() runner { return run }}, nil
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

// fewEdges are so many that to compare with all is faster than to search.
const fewEdges = 16

func (b *Bucketize) floats(t *tile, l *lane) {
	edges := b.Edges
	for r, v := range l.f[:t.n] {
		if v != v {
			continue
		}
		n := 0
		switch {
		case len(edges) > fewEdges && b.Right:
			n = sort.Search(len(edges), func(i int) bool { return edges[i] >= v })
		case len(edges) > fewEdges:
			n = sort.Search(len(edges), func(i int) bool { return edges[i] > v })
		case b.Right:
			for _, e := range edges {
				if e < v {
					n++
				}
			}
		default:
			for _, e := range edges {
				if e <= v {
					n++
				}
			}
		}
		l.f[r] = float64(n)
	}
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

func integerBuckets(least []int64) runner {
	return func(t *tile, l *lane) {
		for r, v := range l.i[:t.n] {
			l.f[r] = float64(sort.Search(len(least), func(i int) bool { return least[i] > v }))
		}
	}
}

func unsignedBuckets(least []int64) runner {
	return func(t *tile, l *lane) {
		for r, v := range l.i[:t.n] {
			l.f[r] = float64(sort.Search(len(least), func(i int) bool { return uint64(least[i]) > uint64(v) }))
		}
	}
}
