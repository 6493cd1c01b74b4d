package feature

import (
	"errors"
	"fmt"

	"github.com/millrace/millrace/batcher/kernel"
)

// combiner makes one lane of floating numbers of several, row by row. out is none of
// them.
type combiner func(t *tile, in []*lane, out *lane)

// combine fits a step of several columns to what it gets.
func (s *Step) combine(in []valueType) (combiner, error) {
	var problems []error
	name, _ := s.Transform()
	for i, t := range in {
		if err := wantsNumber(t); err != nil && t.form != formNull {
			problems = append(problems, fmt.Errorf("of its columns the %s %w", ordinal(i+1), err))
		}
	}
	want := 2
	switch {
	case s.Haversine != nil:
		want = 4
		if len(in) != want {
			problems = append(problems, fmt.Errorf("%s wants 4 columns, latitude, longitude, latitude, longitude, and has %d", name, len(in)))
		}
	case s.Product != nil && len(in) < want:
		problems = append(problems, fmt.Errorf("%s wants 2 columns or more, and has %d", name, len(in)))
	case s.Product == nil && len(in) != want:
		problems = append(problems, fmt.Errorf("%s wants 2 columns, and has %d", name, len(in)))
	}
	run, err := s.combiner()
	return run, errors.Join(append(problems, err)...)
}

func ordinal(n int) string {
	switch n {
	case 1:
		return "first"
	case 2:
		return "second"
	case 3:
		return "third"
	default:
		return fmt.Sprintf("%dth", n)
	}
}

func (s *Step) combiner() (combiner, error) {
	switch {
	case s.Diff != nil:
		return diff, nil
	case s.Product != nil:
		return product, nil
	case s.Ratio != nil:
		return s.Ratio.combiner()
	default:
		return s.Haversine.combiner()
	}
}

func diff(t *tile, in []*lane, out *lane) {
	a, b := in[0].f[:t.n], in[1].f[:t.n]
	for r := range a {
		out.f[r] = a[r] - b[r]
	}
}

func product(t *tile, in []*lane, out *lane) {
	copy(out.f, in[0].f[:t.n])
	for _, l := range in[1:] {
		for r, v := range l.f[:t.n] {
			out.f[r] *= v
		}
	}
}

func (q *Ratio) combiner() (combiner, error) {
	if q.OnZero == nil {
		return divide, nil
	}
	if q.OnZero.Kind == Text && q.OnZero.Text == wordReject {
		return func(t *tile, in []*lane, out *lane) {
			divide(t, in, out)
			onZero(t, in[1], out, func(r int) {
				t.bad(out, r, "divides by 0", "correct the data, or say what becomes of it: on_zero: nan, or a number")
			})
		}, nil
	}
	v, err := numberOrNaN(*q.OnZero)
	if err != nil {
		return nil, fmt.Errorf("on_zero: %w", err)
	}
	return func(t *tile, in []*lane, out *lane) {
		divide(t, in, out)
		onZero(t, in[1], out, func(r int) { out.f[r] = v })
	}, nil
}

func divide(t *tile, in []*lane, out *lane) {
	a, b := in[0].f[:t.n], in[1].f[:t.n]
	for r := range a {
		out.f[r] = a[r] / b[r]
	}
}

// onZero gives the rows that are there and whose divisor is 0.
func onZero(t *tile, divisor, out *lane, do func(r int)) {
	for r, v := range divisor.f[:t.n] {
		if v == 0 && out.at(r) == Present {
			do(r)
		}
	}
}

// earthRadius is the Earth's mean radius in kilometres (Moritz, Geodetic Reference
// System 1980: R1).
const earthRadius = 6371.0088

// perKilometre is how many of a unit are a kilometre; the mile and the nautical mile
// are 1,609.344 and 1,852 metres.
var perKilometre = map[LengthUnit]float64{"": 1, Kilometres: 1, Metres: 1000, Miles: 1 / 1.609344, NauticalMiles: 1 / 1.852}

func (h *Haversine) combiner() (combiner, error) {
	if err := oneOf("unit", h.Unit); err != nil {
		return nil, err
	}
	diameter := 2 * earthRadius * perKilometre[h.Unit]
	return func(t *tile, in []*lane, out *lane) {
		kernel.Haversine(out.f[:t.n], kernel.Places{Lat1: in[0].f, Lon1: in[1].f, Lat2: in[2].f, Lon2: in[3].f}, diameter)
	}, nil
}
