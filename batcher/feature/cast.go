package feature

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/millrace/millrace/internal/numerals"
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

// textReader reads a text that is not empty, and lies among others as package numerals wants it.
type textReader func(text []byte, from, to int) parsed

// all reads texts from a code on; the empty one is nothing. Those at the ends of all are read
// elsewhere.
func (read textReader) all(t *texts, first int, made []parsed) {
	var elsewhere []byte
	start := 0
	if first > 0 {
		start = t.ends[first-1]
	}
	for i, end := range t.ends[first:][:len(made)] {
		switch {
		case start == end:
			made[i] = parsed{}
		case start >= numerals.Pad && end+numerals.Pad <= len(t.data):
			made[i] = read(t.data, start, end)
		default:
			var from, to int
			elsewhere, from, to = numerals.Surround(elsewhere, t.data[start:end])
			made[i] = read(elsewhere, from, to)
		}
		start = end
	}
}

// eachText makes a step that gives each row what is made of its text, and reports those
// of which nothing is.
func eachText(what string, read textReader) func() runner {
	return func() runner {
		byText := perText[parsed]{ofAll: read.all}
		return func(t *tile, l *lane) {
			all := byText.all(l.texts)
			for r, code := range l.c[:t.n] {
				if l.marked && l.marks[r] != Present {
					continue
				}
				p := &all[code]
				if !p.ok {
					t.bad(l, r, fmt.Sprintf("text %.40q is no %s", l.texts.text(code), what), "correct the data, or map such texts before")
					continue
				}
				l.f[r], l.i[r] = p.f, p.i // of which the type's form is read
			}
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
		return compiled{out: out, make: eachText("number", c.floatReader())}
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

// floatReader reads numbers as strconv does, rounded once; one that is too large is an infinity.
func (c *Cast) floatReader() textReader {
	powers := numerals.Powers()
	if c.To == ToFloat32 {
		return func(text []byte, from, to int) parsed {
			if v, ok := powers.Float32(text, from, to); ok {
				return parsed{f: float64(v), ok: true}
			}
			return parseOther(text[from:to], 32)
		}
	}
	return func(text []byte, from, to int) parsed {
		if v, ok := powers.Float64(text, from, to); ok {
			return parsed{f: v, ok: true}
		}
		return parseOther(text[from:to], 64)
	}
}

// parseOther reads what is not in plain decimal digits, as 0x1p-2, or too large, or no number.
func parseOther(text []byte, bits int) parsed {
	v, err := strconv.ParseFloat(string(text), bits)
	return parsed{f: v, ok: err == nil || errors.Is(err, strconv.ErrRange)}
}

func (c *Cast) toBool(in valueType) compiled {
	out := valueType{form: formBool}
	if in.form == formText {
		return compiled{out: out, make: eachText("truth value, such as true, false, 1 or 0", func(text []byte, from, to int) parsed {
			v, err := strconv.ParseBool(string(text[from:to]))
			return parsed{f: BoolOf(v).Number, ok: err == nil}
		})}
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
		numbers := newWriter()
		return func(t *tile, l *lane) {
			if in.form == formText {
				return
			}
			own.begin(t.n, false)
			codes := l.ownCodes()
			l.each(t.n, func(r int) {
				codes[r] = own.code(numbers.row(l, in.form, r))
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
		out.make = eachText("integer", func(text []byte, from, to int) parsed {
			if v, ok := numerals.Int64(text, from, to); ok {
				return parsed{i: v, ok: true}
			}
			f, err := strconv.ParseFloat(string(text[from:to]), 64)
			v, ok := c.whole(f)
			return parsed{i: v, ok: ok && err == nil}
		})
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
