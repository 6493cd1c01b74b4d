package lines

import (
	"bytes"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/millrace/millrace/io/format"
)

// forms are how the values of a format's files are written, where that is not as
// everywhere.
type forms struct {
	numeral       numeral
	truths, lies  [][]byte // texts that are booleans
	day, instant  *pattern // nil: ISO 8601
	plainNumerals bool     // numeral is what all numbers are like
}

// newForms reads the options of a format. Its error names flags.
func newForms(o *Options, name format.Name) (*forms, error) {
	f := &forms{plainNumerals: true}
	var err error
	if o.DateFormat != "" {
		if f.day, err = parsePattern(o.DateFormat); err == nil && f.day.clock {
			err = fmt.Errorf("%q has a time of day, which --timestamp-format is for", o.DateFormat)
		}
		if err != nil {
			return nil, fmt.Errorf("--date-format: %w", err)
		}
	}
	if o.TimestampFormat != "" {
		if f.instant, err = parsePattern(o.TimestampFormat); err != nil {
			return nil, fmt.Errorf("--timestamp-format: %w", err)
		}
	}
	if name != format.CSV {
		return f, nil
	}
	if f.numeral, err = newNumeral(o.Decimal, o.Thousands); err != nil {
		return nil, err
	}
	f.plainNumerals = f.numeral == numeral{decimal: '.'}
	for _, w := range o.TrueValues {
		f.truths = append(f.truths, []byte(w))
	}
	for _, w := range o.FalseValues {
		if slices.Contains(o.TrueValues, w) {
			return nil, fmt.Errorf("--true-values and --false-values both have %q", w)
		}
		f.lies = append(f.lies, []byte(w))
	}
	return f, nil
}

// truth reads a text that is given as a boolean.
func (f *forms) truth(text []byte) (v, ok bool) {
	is := func(word []byte) bool { return bytes.Equal(word, text) }
	if slices.ContainsFunc(f.truths, is) {
		return true, true
	}
	return false, slices.ContainsFunc(f.lies, is)
}

// date reads days since 1970.
func (f *forms) date(text []byte) (days int64, ok bool) {
	if f.day == nil {
		return parseDay(text)
	}
	m, ok := f.day.parse(text)
	return m.seconds / secondsOfDay, ok
}

// moment reads a point in time, or a date alone.
func (f *forms) moment(text []byte) (m moment, ok bool) {
	if f.instant == nil && f.day == nil {
		return parseMoment(text)
	}
	if f.instant != nil {
		m, ok = f.instant.parse(text)
	} else if m, ok = parseMoment(text); m.dated {
		ok = false
	}
	if !ok {
		var days int64
		days, ok = f.date(text)
		m = moment{seconds: days * secondsOfDay, dated: true}
	}
	return m, ok
}

// numeral is how numbers are written.
type numeral struct {
	decimal   byte // before the fraction
	thousands byte // between groups of three digits; 0: nothing
}

// spaces are what a space between digits may be: a no-break space too, and the narrow
// one that French has.
var spaces = []string{" ", "\u00a0", "\u202f"}

// apostrophes are Swiss.
var apostrophes = []string{"'", "\u2019"}

func newNumeral(decimal, thousands string) (numeral, error) {
	n := numeral{decimal: '.'}
	switch decimal {
	case "", ".":
	case ",":
		n.decimal = ','
	default:
		return n, fmt.Errorf("--decimal-separator (%s) must be . or ,", decimal)
	}
	switch {
	case thousands == "":
		return n, nil
	case thousands == "space" || slices.Contains(spaces, thousands):
		n.thousands = ' '
	case slices.Contains(apostrophes, thousands):
		n.thousands = '\''
	case thousands == "." || thousands == "," || thousands == "_":
		n.thousands = thousands[0]
	default:
		return n, fmt.Errorf("--thousands-separator (%s) must be one of . , ' _ or space", thousands)
	}
	if n.thousands == n.decimal {
		return n, fmt.Errorf("--thousands-separator and --decimal-separator are both %q", n.decimal)
	}
	return n, nil
}

// separator is how many bytes of a separator of thousands a text begins with.
func (n numeral) separator(text []byte) int {
	some := []string(nil)
	switch {
	case n.thousands == 0 || len(text) == 0:
		return 0
	case text[0] == n.thousands:
		return 1
	case text[0] < utf8.RuneSelf:
		return 0
	case n.thousands == ' ':
		some = spaces
	case n.thousands == '\'':
		some = apostrophes
	}
	for _, s := range some {
		if bytes.HasPrefix(text, []byte(s)) {
			return len(s)
		}
	}
	return 0
}

// groupDigits is how many digits a group has.
const groupDigits = 3

// plain appends a number as everywhere: its separators of thousands left out, and a point
// before the fraction. What is no number it appends in a form that is none, and says so:
// groups must have three digits, all but the first, so that no fraction is taken for one.
func (n numeral) plain(dst, text []byte) (_ []byte, ok bool) {
	rest := text
	if len(rest) > 0 && (rest[0] == '-' || rest[0] == '+') {
		dst, rest = append(dst, rest[0]), rest[1:]
	}
	group, groups := 0, 0
	zero := len(rest) > 0 && rest[0] == '0'
	for len(rest) > 0 {
		if c := rest[0]; c-'0' <= 9 {
			dst, rest, group = append(dst, c), rest[1:], group+1
			continue
		}
		size := n.separator(rest)
		if size == 0 {
			break
		}
		if group == 0 || group > groupDigits || groups > 0 && group != groupDigits {
			return dst, false
		}
		rest, group, groups = rest[size:], 0, groups+1
	}
	if groups > 0 && (group != groupDigits || zero) {
		return dst, false
	}
	if len(rest) > 0 && rest[0] == n.decimal {
		dst, rest = append(dst, '.'), rest[1:]
	}
	if bytes.ContainsAny(rest, ".,") {
		return dst, false
	}
	return append(dst, rest...), true
}

// reading makes a parser of numbers that are written as n says.
func reading[T any](n numeral, parse func(text []byte, from, to int) (T, bool)) func(text []byte, from, to int) (T, bool) {
	var scratch []byte
	return func(text []byte, from, to int) (v T, ok bool) {
		var none [pad]byte
		scratch = append(scratch[:0], none[:]...)
		if scratch, ok = n.plain(scratch, text[from:to]); !ok || len(scratch) == pad {
			return v, false
		}
		end := len(scratch)
		scratch = append(scratch, none[:]...)
		return parse(scratch, pad, end)
	}
}
