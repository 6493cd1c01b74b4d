package feature

import (
	"errors"
	"fmt"
)

func compileFill(s *Scalar, in valueType) (compiled, error) {
	out := compiled{out: in}
	switch {
	case s.Kind == Null:
		return out, errors.New("fill is null, which fills nothing: write a number or a text, reject or nan")
	case s.Kind == Text && s.Text == wordReject:
		out.rejects = true
		out.make = func() runner { return func(t *tile, l *lane) { fillReject(t, l, in.form) } }
		return out, nil
	case in.form == formText:
		return fillText(s)
	case in.form == formTime:
		return out, fmt.Errorf("fill is %s, and a %s has no constant but reject: take its part before, and fill that", s, in.time.class)
	}
	if err := wantsNumber(in); err != nil {
		return out, err
	}
	v, err := numberOrNaN(*s)
	if err != nil {
		return out, fmt.Errorf("fill: %w", err)
	}
	switch in.form {
	case formInt, formUint:
		if whole, ok := integerOf(*s, in.form); ok && s.Kind == Number {
			out.make = func() runner { return func(t *tile, l *lane) { fillIntegers(t, l, whole) } }
			return out, nil
		}
	case formBool:
		if s.Kind == Bool {
			return fillFloats(v, in), nil
		}
	case formFloat32:
		if float64(float32(v)) == v || v != v {
			return fillFloats(v, in), nil
		}
	}
	return onFloats(in, func(t *tile, l *lane) { fillFloat(t, l, v) }), nil
}

// fillFloats keeps the type.
func fillFloats(v float64, in valueType) compiled {
	return compiled{out: in, make: func() runner { return func(t *tile, l *lane) { fillFloat(t, l, v) } }}
}

// fillFloat puts a number where a null or a NaN is.
func fillFloat(t *tile, l *lane, fill float64) {
	if fill == fill {
		for r, v := range l.f[:t.n] {
			if v != v {
				l.f[r] = fill
			}
		}
	}
	l.replaceNulls(t.n, func(r int) { l.f[r] = fill })
}

func fillIntegers(t *tile, l *lane, fill int64) {
	l.replaceNulls(t.n, func(r int) { l.i[r] = fill })
}

// replaceNulls gives every null a value, which put writes.
func (l *lane) replaceNulls(n int, put func(r int)) {
	if !l.marked {
		return
	}
	l.marked = false
	for r, m := range l.marks[:n] {
		if m == NullMark {
			put(r)
			l.marks[r] = Present
		}
		l.marked = l.marked || m == DeadMark
	}
}

func fillReject(t *tile, l *lane, form form) {
	reject := func(r int, reason string) {
		t.problems = append(t.problems, Problem{Feature: t.feature, Row: r, Reason: reason, Asked: true})
		l.mark(r, DeadMark)
	}
	if form <= formBool {
		for r, v := range l.f[:t.n] {
			if v != v && l.at(r) == Present {
				reject(r, "NaN")
			}
		}
	}
	if !l.marked {
		return
	}
	for r, m := range l.marks[:t.n] {
		if m == NullMark {
			reject(r, "null")
		}
	}
}

// fillText puts a text where a null is; a number means its digits.
func fillText(s *Scalar) (compiled, error) {
	if s.Kind == Text && s.Text == wordNaN {
		return compiled{}, errors.New("fill is nan, which is no text: write what a null becomes, or reject")
	}
	fill := []byte(s.Text)
	out := compiled{out: valueType{form: formText}}
	out.make = func() runner {
		return func(t *tile, l *lane) {
			if !l.marked {
				return
			}
			own := l.ownCodes()
			l.replaceNulls(t.n, func(r int) { own[r] = l.texts.code(fill) })
		}
	}
	return out, nil
}
