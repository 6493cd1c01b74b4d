package feature

import (
	"errors"
	"fmt"
	"math"
	"strconv"
)

func compileCast(c *Cast, in valueType) (compiled, error) {
	if err := c.check(in); err != nil {
		return compiled{}, err
	}
	switch c.To {
	case ToInt64:
		return c.toInteger(in), nil
	case ToBool:
		return c.toBool(in), nil
	case ToString:
		return c.toText(in), nil
	default:
		return c.toFloat(in), nil
	}
}

func (c *Cast) check(in valueType) error {
	problems := []error{oneOf("to", c.To)}
	if c.To == "" {
		problems = append(problems, errors.New("to is missing: int64, float32, float64, bool or string"))
	}
	if err := oneOf("round", c.Round); err != nil {
		problems = append(problems, err)
	} else if c.Round != "" && c.To != ToInt64 {
		problems = append(problems, errors.New("round is for a cast to int64"))
	}
	switch {
	case in.form == formTime && c.To != ToInt64:
		problems = append(problems, fmt.Errorf("a %s casts to int64 only, its count of units: take a part of it by datetime", in.time.class))
	case in.form != formTime && in.form != formText && !in.isNumber():
		problems = append(problems, fmt.Errorf("wants one value, and gets %s", in))
	}
	return errors.Join(problems...)
}

// parsed is what a text is as a number.
type parsed struct {
	f  float64
	i  int64
	ok bool
}

// eachText makes a step that gives each row what is made of its text, and reports those
// of which nothing is.
func eachText(what string, of func(text []byte) parsed, put func(l *lane, r int, p parsed)) func() runner {
	return func() runner {
		byText := perText[parsed]{of: of}
		return func(t *tile, l *lane) {
			all := byText.all(l.texts)
			l.each(t.n, func(r int) {
				p := all[l.c[r]]
				if !p.ok {
					t.bad(l, r, fmt.Sprintf("text %.40q is no %s", l.texts.text(l.c[r]), what), "correct the data, or map such texts before")
					return
				}
				put(l, r, p)
			})
		}
	}
}

func (c *Cast) toFloat(in valueType) compiled {
	out := valueType{form: formFloat64}
	narrow := func(v float64) float64 { return v }
	if c.To == ToFloat32 {
		out.form = formFloat32
		narrow = func(v float64) float64 { return float64(float32(v)) }
	}
	if in.form == formText {
		bits := 64
		if c.To == ToFloat32 {
			bits = 32 // rounded once
		}
		return compiled{out: out, make: eachText("number", func(text []byte) parsed {
			v, err := strconv.ParseFloat(string(text), bits)
			return parsed{f: v, ok: err == nil || errors.Is(err, strconv.ErrRange)}
		}, func(l *lane, r int, p parsed) { l.f[r] = p.f })}
	}
	step := onFloats(in, func(t *tile, l *lane) {
		if c.To == ToFloat64 {
			return
		}
		for r, v := range l.f[:t.n] {
			l.f[r] = narrow(v)
		}
	})
	step.out = out
	return step
}

func (c *Cast) toBool(in valueType) compiled {
	out := valueType{form: formBool}
	if in.form == formText {
		return compiled{out: out, make: eachText("truth value, such as true, false, 1 or 0", func(text []byte) parsed {
			v, err := strconv.ParseBool(string(text))
			return parsed{f: BoolOf(v).Number, ok: err == nil}
		}, func(l *lane, r int, p parsed) { l.f[r] = p.f })}
	}
	step := onFloats(in, func(t *tile, l *lane) {
		for r, v := range l.f[:t.n] {
			if l.f[r] = 0; v != 0 { // 0 of -0, too
				l.f[r] = 1
			}
		}
	})
	step.out = out
	return step
}

func (c *Cast) toText(in valueType) compiled {
	out := compiled{out: valueType{form: formText}}
	out.make = func() runner {
		own := newTexts()
		var digits []byte
		return func(t *tile, l *lane) {
			if in.form == formText {
				return
			}
			own.begin(t.n, false)
			codes := l.ownCodes()
			l.each(t.n, func(r int) {
				digits = writtenRow(digits[:0], l, in.form, r)
				codes[r] = own.code(digits)
			})
			l.texts = own
		}
	}
	return out
}

func (c *Cast) toInteger(in valueType) compiled {
	out := compiled{out: valueType{form: formInt}}
	switch in.form {
	case formInt, formTime:
		out.make = func() runner { return func(*tile, *lane) {} }
	case formUint:
		out.make = func() runner { return signed }
	case formText:
		out.make = eachText("integer", func(text []byte) parsed {
			if v, err := strconv.ParseInt(string(text), 10, 64); err == nil {
				return parsed{i: v, ok: true}
			}
			f, err := strconv.ParseFloat(string(text), 64)
			v, ok := c.whole(f)
			return parsed{i: v, ok: ok && err == nil}
		}, func(l *lane, r int, p parsed) { l.i[r] = p.i })
	default:
		out.make = func() runner { return c.round }
	}
	return out
}

// signed takes unsigned integers for signed ones.
func signed(t *tile, l *lane) {
	l.each(t.n, func(r int) {
		if l.i[r] < 0 {
			t.bad(l, r, fmt.Sprintf("value %d does not fit int64", uint64(l.i[r])), "correct the data")
		}
	})
}

// round makes integers of floating numbers.
func (c *Cast) round(t *tile, l *lane) {
	l.each(t.n, func(r int) {
		v, ok := c.whole(l.f[r])
		if !ok {
			advice := "correct the data, or fill and clip it before"
			if f := l.f[r]; f == f && f != math.Trunc(f) {
				advice = "say how it is rounded: round: trunc, floor or nearest"
			}
			t.bad(l, r, fmt.Sprintf("value %v is no integer of 64 bits", l.f[r]), advice)
			return
		}
		l.i[r] = v
	})
}

// whole is a number as an integer; ok is false where it is none, or too large.
func (c *Cast) whole(f float64) (v int64, ok bool) {
	switch c.Round {
	case RoundTrunc:
		f = math.Trunc(f)
	case RoundFloor:
		f = math.Floor(f)
	case RoundNearest:
		f = math.RoundToEven(f)
	}
	if f != math.Trunc(f) || f < -1<<63 || f >= 1<<63 { // NaN too
		return 0, false
	}
	return int64(f), true
}
