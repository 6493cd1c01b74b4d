package filter

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
)

// literal is a value that stands in the expression.
type literal struct {
	kind literalKind
	// text is the value of a text, of a time as it is written, and a number's digits.
	text   string
	number *big.Rat
	truth  bool
}

type literalKind int

const (
	literalNil literalKind = iota
	literalBool
	literalNumber
	literalText
	literalTime // date("...") and the like: a text that can be nothing else
)

func (l *literal) String() string {
	switch l.kind {
	case literalNil:
		return "nil"
	case literalBool:
		return strconv.FormatBool(l.truth)
	case literalNumber:
		return l.text
	default:
		return strconv.Quote(l.text)
	}
}

// maxNumberBits bounds numbers that are computed of numbers in the expression.
const maxNumberBits = 4096

// numberLiteral is a number that was computed, if it is not too long.
func numberLiteral(r *big.Rat) (*literal, bool) {
	if r.Num().BitLen() > maxNumberBits || r.Denom().BitLen() > maxNumberBits {
		return nil, false
	}
	text := r.RatString()
	if f, exact := r.Float64(); exact && !r.IsInt() {
		text = strconv.FormatFloat(f, 'g', -1, 64)
	}
	return &literal{kind: literalNumber, number: r, text: text}, true
}

// parseNumber reads digits as the parser's numbers are written.
func parseNumber(digits string) (*literal, bool) {
	lower := strings.ToLower(digits)
	if strings.HasPrefix(lower, "0x") || strings.HasPrefix(lower, "0b") || strings.HasPrefix(lower, "0o") {
		n, ok := new(big.Int).SetString(lower, 0)
		if !ok {
			return nil, false
		}
		return &literal{kind: literalNumber, number: new(big.Rat).SetInt(n), text: n.String()}, true
	}
	// A float64 bounds the exponent, and so the memory that the exact number takes.
	if _, err := strconv.ParseFloat(digits, 64); err != nil {
		return nil, false
	}
	if _, power, ok := strings.Cut(lower, "e"); ok {
		if exponent, err := strconv.Atoi(power); err != nil || exponent < -1000 {
			return &literal{kind: literalNumber, number: new(big.Rat), text: digits}, true
		}
	}
	r, ok := new(big.Rat).SetString(digits)
	return &literal{kind: literalNumber, number: r, text: digits}, ok && r.Num().BitLen() <= 1<<18
}

// unitsOf are how many nanoseconds one count of a column's values is.
func unitsOf(t arrow.DataType) int64 {
	switch t := t.(type) {
	case *arrow.Date32Type:
		return int64(24 * time.Hour)
	case *arrow.Date64Type:
		return int64(time.Millisecond)
	case *arrow.TimestampType:
		return int64(t.Unit.Multiplier())
	case *arrow.Time32Type:
		return int64(t.Unit.Multiplier())
	case *arrow.Time64Type:
		return int64(t.Unit.Multiplier())
	case *arrow.DurationType:
		return int64(t.Unit.Multiplier())
	}
	return 1
}

// timeOf reads a text as a value of a column of times, in counts of its unit.
func timeOf(text string, c *column) (*big.Rat, error) {
	var nanoseconds *big.Int
	switch c.kind {
	case kindDuration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return nil, fmt.Errorf("column %s holds durations, and %q is none; such as \"1h30m\"", c, text)
		}
		nanoseconds = big.NewInt(int64(d))
	case kindTime:
		at, err := parseLayouts(text, time.UTC, "15:04:05", "15:04")
		if err != nil {
			return nil, fmt.Errorf("column %s holds times of day, and %q is none; such as \"15:04:05\"", c, text)
		}
		nanoseconds = big.NewInt(int64(at.Sub(at.Truncate(24 * time.Hour))))
	default:
		at, err := instantOf(text, c)
		if err != nil {
			return nil, err
		}
		nanoseconds = new(big.Int).Mul(big.NewInt(at.Unix()), big.NewInt(int64(time.Second)))
		nanoseconds.Add(nanoseconds, big.NewInt(int64(at.Nanosecond())))
	}
	return new(big.Rat).SetFrac(nanoseconds, big.NewInt(unitsOf(c.typ))), nil
}

// Layouts of instants, with and without the offset of their zone.
var (
	plainLayouts  = []string{"2006-01-02", "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04"}
	offsetLayouts = []string{"2006-01-02T15:04:05Z07:00", "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04Z07:00", "2006-01-02 15:04Z07:00"}
)

// instantOf reads a text as a value of a column of dates or timestamps. One that says
// no offset is what clocks in the column's zone show.
func instantOf(text string, c *column) (time.Time, error) {
	zone := ""
	if t, ok := c.typ.(*arrow.TimestampType); ok {
		zone = t.TimeZone
	}
	if at, err := parseLayouts(text, time.UTC, offsetLayouts...); err == nil {
		if zone == "" {
			return at, fmt.Errorf("column %s is %s, which has no time zone, and %q has one: leave it out", c, c.typ, text)
		}
		return at, nil
	}
	location := time.UTC
	if zone != "" {
		var err error
		if location, err = locationOf(zone); err != nil {
			return time.Time{}, fmt.Errorf("the time zone %q of column %s is not known here: give %q an offset, such as \"2013-01-01T00:00:00Z\"", zone, c, text)
		}
	}
	at, err := parseLayouts(text, location, plainLayouts...)
	if err != nil {
		return at, fmt.Errorf("column %s is %s, and %q is no date or time; such as \"2013-01-31\" or \"2013-01-31T15:04:05\"", c, c.typ, text)
	}
	return at, nil
}

// locationOf is a time zone by a name of the IANA database, or by an offset.
func locationOf(zone string) (*time.Location, error) {
	if zone == "Local" { // this machine's, and no other's
		return nil, errors.ErrUnsupported
	}
	if at, err := time.Parse("-07:00", zone); err == nil {
		return at.Location(), nil
	}
	return time.LoadLocation(zone)
}

func parseLayouts(text string, location *time.Location, layouts ...string) (at time.Time, err error) {
	for _, layout := range layouts {
		if at, err = time.ParseInLocation(layout, text, location); err == nil {
			return at, nil
		}
	}
	return at, err
}
