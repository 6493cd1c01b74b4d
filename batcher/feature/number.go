package feature

import (
	"errors"
	"fmt"
	"math"

	"github.com/millrace/millrace/batcher/kernel"
)

// toFloat makes floating numbers of a lane of integers.
func toFloat(form form) runner {
	switch form {
	case formInt:
		return func(t *tile, l *lane) {
			for r, v := range l.i[:t.n] {
				l.f[r] = float64(v)
			}
		}
	case formUint:
		return func(t *tile, l *lane) {
			for r, v := range l.i[:t.n] {
				l.f[r] = float64(uint64(v))
			}
		}
	default:
		return nil
	}
}

// onFloats is a step of numbers in float64 that keeps no state.
func onFloats(in valueType, run runner) compiled {
	c := compiled{out: valueType{form: formFloat64}, make: func() runner { return run }}
	if convert := toFloat(in.form); convert != nil {
		c.make = func() runner {
			return func(t *tile, l *lane) {
				convert(t, l)
				run(t, l)
			}
		}
	}
	return c
}

// The words of fill and of the like that are no texts.
const (
	wordReject = "reject"
	wordNaN    = "nan"
)

func reserved(word string) bool { return word == wordReject || word == wordNaN }

// numberOrNaN is the number of a scalar, with the word nan for one.
func numberOrNaN(s Scalar) (float64, error) {
	switch {
	case s.Kind == Number, s.Kind == Bool:
		return s.Number, nil
	case s.Kind == Text && s.Text == wordNaN:
		return math.NaN(), nil
	default:
		return 0, fmt.Errorf("%s is neither a number nor nan nor reject", s)
	}
}

// finite is the error of a parameter that is no finite number.
func finite(name string, v float64) error {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Errorf("%s is %v, which is no finite number", name, v)
	}
	return nil
}

func compileClip(c *Clip, in valueType) (compiled, error) {
	if err := wantsNumber(in); err != nil {
		return compiled{}, err
	}
	low, high, err := c.bounds()
	if err != nil {
		return compiled{}, err
	}
	return onFloats(in, func(t *tile, l *lane) {
		for r, v := range l.f[:t.n] {
			if v < low {
				v = low
			}
			if v > high {
				v = high
			}
			l.f[r] = v
		}
	}), nil
}

// bounds are the ends of the range; infinite where there are none.
func (c *Clip) bounds() (low, high float64, err error) {
	low, high = math.Inf(-1), math.Inf(1)
	var problems []error
	if c.Min != nil {
		low = *c.Min
		problems = append(problems, finite("min", low))
	}
	if c.Max != nil {
		high = *c.Max
		problems = append(problems, finite("max", high))
	}
	switch {
	case c.Min == nil && c.Max == nil:
		problems = append(problems, errors.New("has neither min nor max"))
	case low > high:
		problems = append(problems, fmt.Errorf("min is %v, and max is less: %v", low, high))
	}
	return low, high, errors.Join(problems...)
}

// linear are the numbers of a Scale: (x - sub) / div, or, where div is 0, x * mul + add.
type linear struct{ sub, div, mul, add float64 }

func compileScale(s *Scale, in valueType) (compiled, error) {
	if err := wantsNumber(in); err != nil {
		return compiled{}, err
	}
	f, err := s.linear()
	if err != nil {
		return compiled{}, err
	}
	if f.div == 0 {
		return onFloats(in, func(t *tile, l *lane) {
			for r, v := range l.f[:t.n] {
				l.f[r] = float64(v*f.mul) + f.add // the conversion keeps the compiler from fusing
			}
		}), nil
	}
	return onFloats(in, func(t *tile, l *lane) {
		for r, v := range l.f[:t.n] {
			l.f[r] = (v - f.sub) / f.div
		}
	}), nil
}

// linear checks that exactly one pair is set.
func (s *Scale) linear() (linear, error) {
	pairs := []struct {
		first, second string
		a, b          *float64
	}{
		{"mean", "std", s.Mean, s.Std}, {"min", "max", s.Min, s.Max}, {"center", "scale", s.Center, s.Scale}, {"multiply", "add", s.Multiply, s.Add},
	}
	var problems []error
	found := -1
	for i, p := range pairs {
		switch {
		case p.a == nil && p.b == nil:
			continue
		case p.a == nil:
			problems = append(problems, fmt.Errorf("has %s without %s", p.second, p.first))
		case p.b == nil:
			problems = append(problems, fmt.Errorf("has %s without %s", p.first, p.second))
		default:
			problems = append(problems, finite(p.first, *p.a), finite(p.second, *p.b))
		}
		if found >= 0 {
			problems = append(problems, fmt.Errorf("has both %s and %s; write a step for each", pairs[found].first, p.first))
		}
		found = i
	}
	if found < 0 {
		problems = append(problems, errors.New("has no parameters: one of mean and std, min and max, center and scale, multiply and add"))
	}
	if err := errors.Join(problems...); err != nil {
		return linear{}, err
	}
	p := pairs[found]
	f := linear{sub: *p.a, div: *p.b}
	switch p.first {
	case "multiply":
		return linear{mul: *p.a, add: *p.b}, nil
	case "min":
		f.div = *p.b - *p.a
		if err := finite("max - min", f.div); err != nil {
			return f, err
		}
		if f.div == 0 {
			return f, fmt.Errorf("min and max are both %v, so it would divide by 0", f.sub)
		}
	}
	if f.div == 0 {
		return f, fmt.Errorf("%s is 0, so it would divide by 0; sklearn takes 1 for it then", p.second)
	}
	return f, nil
}

func log1p(t *tile, l *lane) { kernel.Log1p(l.f[:t.n]) }

func abs(t *tile, l *lane) {
	for r, v := range l.f[:t.n] {
		l.f[r] = math.Abs(v)
	}
}

func compileEach(run runner, in valueType) (compiled, error) {
	return onFloats(in, run), wantsNumber(in)
}
