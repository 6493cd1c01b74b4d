package feature

import (
	"fmt"
	"math"
	"strconv"
)

// What a row is that has no category's number.
const (
	unknownSlot int32 = -1
	nullSlot    int32 = -2 // a null, which is no category
	deadSlot    int32 = -3
)

// denseSpan is how far apart the least and the largest of integer categories may lie
// for their numbers to stand in a table.
const denseSpan = 4096

// categories give each category of one form its number. NaN is a category of its own,
// and null one where it is listed. A category that is compared with float32 values is
// rounded to one before.
type categories struct {
	form    form
	texts   *textSet
	numbers *numberSet // by the bits of int64, uint64 or float64
	nan     int32
	null    int32
	// dense are the numbers of the integers from base on, where all lie near each other.
	dense []int32
	base  int64
}

func newCategories(form form) *categories {
	c := &categories{form: form, nan: unknownSlot, null: nullSlot}
	if form == formText {
		c.texts = newTextSet()
	} else {
		c.numbers = newNumberSet()
	}
	return c
}

// add gives a category a number. It is known already where its place has one.
func (c *categories) add(s Scalar, number int32) error {
	twice := fmt.Errorf("category %s stands twice", s)
	switch {
	case s.Kind == Null && c.null != nullSlot:
		return twice
	case s.Kind == Null:
		c.null = number
		return nil
	case c.form == formText:
		// YAML takes a text of digits for a number; its letters are still known.
		if !c.texts.add(s.Text, number) {
			return twice
		}
		return nil
	}
	if s.Kind == Text {
		parsed, err := c.parse(s.Text)
		if err != nil {
			return err
		}
		s = parsed
	}
	if s.Kind == Bool && c.form != formBool {
		return fmt.Errorf("category %s is a truth value, and these are numbers", s)
	}
	switch c.form {
	case formInt, formUint:
		if v, ok := integerOf(s, c.form); ok {
			return c.once(uint64(v), number, twice)
		}
		return nil // no value of the column equals it
	case formFloat32:
		s.Number = float64(float32(s.Number))
	}
	if math.IsNaN(s.Number) {
		if c.nan != unknownSlot {
			return twice
		}
		c.nan = number
		return nil
	}
	return c.once(keyOf(s.Number), number, twice)
}

func (c *categories) once(key uint64, number int32, twice error) error {
	if !c.numbers.add(key, number) {
		return twice
	}
	return nil
}

// keyOf is a floating number's in a numberSet; -0 becomes 0.
func keyOf(v float64) uint64 { return math.Float64bits(v + 0) }

// integers says that the categories are integers of 64 bits.
func (c *categories) integers() bool { return c.form == formInt || c.form == formUint }

// parse reads a category that is written as text and is none.
func (c *categories) parse(text string) (Scalar, error) {
	if c.form == formBool {
		switch text {
		case "true", "True", "TRUE":
			return BoolOf(true), nil
		case "false", "False", "FALSE":
			return BoolOf(false), nil
		}
	}
	s, err := ParseNumber(text)
	if err != nil {
		return s, fmt.Errorf("category %q is not a number, and these are numbers", text)
	}
	return s, nil
}

// integerOf is a number as a 64-bit integer, with all its digits; ok is false for one
// that is none.
func integerOf(s Scalar, form form) (v int64, ok bool) {
	if form == formUint {
		u, err := strconv.ParseUint(s.Text, 10, 64)
		if err == nil {
			return int64(u), true
		}
		if s.Number < 0 || s.Number >= 1<<64 || s.Number != math.Trunc(s.Number) {
			return 0, false
		}
		return int64(uint64(s.Number)), true
	}
	if v, err := strconv.ParseInt(s.Text, 10, 64); err == nil {
		return v, true
	}
	if s.Number < -1<<63 || s.Number >= 1<<63 || s.Number != math.Trunc(s.Number) {
		return 0, false
	}
	return int64(s.Number), true
}

// seal ends the adding: it makes the table of near integers.
func (c *categories) seal() {
	if c.form == formText || c.numbers.count == 0 {
		return
	}
	low, high := int64(math.MaxInt64), int64(math.MinInt64)
	for _, s := range c.numbers.slots {
		if s.number == unknownSlot {
			continue
		}
		v, ok := c.whole(s.key)
		if !ok {
			return
		}
		low, high = min(low, v), max(high, v)
	}
	if uint64(high)-uint64(low) >= denseSpan {
		return
	}
	c.base, c.dense = low, make([]int32, high-low+1)
	for i := range c.dense {
		c.dense[i] = unknownSlot
	}
	for _, s := range c.numbers.slots {
		if s.number != unknownSlot {
			v, _ := c.whole(s.key)
			c.dense[v-low] = s.number
		}
	}
}

// whole is a key as an integer; ok is false for one that is none, or far from others.
func (c *categories) whole(key uint64) (v int64, ok bool) {
	if c.integers() {
		return int64(key), true
	}
	number := math.Float64frombits(key)
	v = int64(number)
	return v, float64(v) == number && -1<<52 < v && v < 1<<52
}

// finder makes a function that writes the numbers of a lane's first n rows to dst,
// which may be the lane's codes.
func (c *categories) finder() func(n int, l *lane, dst []int32) {
	if c.form != formText {
		return c.find
	}
	byText := perText[int32]{ofAll: c.texts.numbers}
	return func(n int, l *lane, dst []int32) {
		numbers := byText.all(l.texts)
		if !l.marked {
			for r, code := range l.c[:n] {
				dst[r] = numbers[code]
			}
			return
		}
		for r, m := range l.marks[:n] {
			if m == Present {
				dst[r] = numbers[l.c[r]]
			} else {
				dst[r] = c.marked(m)
			}
		}
	}
}

// glances says that a glance at a text tells its number.
func (c *categories) glances() bool { return c.form == formText && c.texts.table.count <= fewTexts }

// marked is the number of a row without a value.
func (c *categories) marked(m Mark) int32 {
	if m == DeadMark {
		return deadSlot
	}
	return c.null
}

// find is the finder of categories that are numbers.
func (c *categories) find(n int, l *lane, dst []int32) {
	switch {
	case c.dense != nil && c.integers():
		for r, v := range l.i[:n] {
			dst[r] = c.near(v)
		}
	case c.dense != nil:
		for r, v := range l.f[:n] {
			dst[r] = c.nearFloat(v)
		}
	case c.integers():
		for r, v := range l.i[:n] {
			dst[r] = c.numbers.number(uint64(v))
		}
	default:
		for r, v := range l.f[:n] {
			if dst[r] = c.numbers.number(keyOf(v)); v != v {
				dst[r] = c.nan
			}
		}
	}
	if !l.marked {
		return
	}
	for r, m := range l.marks[:n] {
		if m != Present {
			dst[r] = c.marked(m)
		}
	}
}

// near is the number of an integer by the table.
func (c *categories) near(v int64) int32 {
	if at := uint64(v) - uint64(c.base); at < uint64(len(c.dense)) {
		return c.dense[at]
	}
	return unknownSlot
}

func (c *categories) nearFloat(v float64) int32 {
	i := int64(v)
	switch {
	case float64(i) == v:
		return c.near(i)
	case v != v:
		return c.nan
	default:
		return unknownSlot
	}
}
