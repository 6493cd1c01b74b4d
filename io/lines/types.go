package lines

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/internal/nearest"
)

// ColumnType is the type of a column, given or found.
type ColumnType struct {
	Name string
	Type arrow.DataType
}

// MarshalText writes NAME=TYPE, which ParseTypes reads.
func (c ColumnType) MarshalText() ([]byte, error) {
	return []byte(escapeName(c.Name) + "=" + TypeName(c.Type)), nil
}

// UnmarshalText reads NAME=TYPE.
func (c *ColumnType) UnmarshalText(text []byte) error {
	types, err := ParseTypes(string(text))
	if err != nil {
		return err
	}
	if len(types) != 1 {
		return fmt.Errorf("%w: %q is not one type", ErrOptions, text)
	}
	*c = types[0]
	return nil
}

// plainTypes are those that are a word.
var plainTypes = []struct {
	name string
	is   arrow.DataType
}{
	{"int64", arrow.PrimitiveTypes.Int64},
	{"int32", arrow.PrimitiveTypes.Int32},
	{"int16", arrow.PrimitiveTypes.Int16},
	{"int8", arrow.PrimitiveTypes.Int8},
	{"uint64", arrow.PrimitiveTypes.Uint64},
	{"uint32", arrow.PrimitiveTypes.Uint32},
	{"uint16", arrow.PrimitiveTypes.Uint16},
	{"uint8", arrow.PrimitiveTypes.Uint8},
	{"float64", arrow.PrimitiveTypes.Float64},
	{"float32", arrow.PrimitiveTypes.Float32},
	{"bool", arrow.FixedWidthTypes.Boolean},
	{"string", arrow.BinaryTypes.String},
	{"date", arrow.FixedWidthTypes.Date32},
	{"null", arrow.Null},
}

// typeForms are what --types can say, for messages.
const typeForms = "int8 to int64, uint8 to uint64, float32, float64, bool, string, date, timestamp[UNIT] or timestamp[UNIT, ZONE] with the units s, ms, us and ns, or decimal(DIGITS, SCALE)"

// ParseTypes reads COLUMN=TYPE,...; in a name a backslash takes a comma, = or
// backslash as it is. Its error wraps ErrOptions.
func ParseTypes(text string) ([]ColumnType, error) {
	var types []ColumnType
	for _, entry := range splitTypes(text) {
		name, typed, ok := cutName(entry)
		if !ok || name == "" {
			return nil, fmt.Errorf("%w: --types (%s) must be COLUMN=TYPE,...; %q is not", ErrOptions, text, entry)
		}
		t, err := ParseType(typed)
		if err != nil {
			return nil, fmt.Errorf("%w: --types: column %q: %w", ErrOptions, name, err)
		}
		types = append(types, ColumnType{Name: name, Type: t})
	}
	return types, nil
}

// splitTypes splits at commas that stand neither in brackets nor behind a backslash.
func splitTypes(text string) (entries []string) {
	depth, from := 0, 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '[', '(':
			depth++
		case ']', ')':
			depth--
		case ',':
			if depth <= 0 {
				entries = append(entries, text[from:i])
				from = i + 1
			}
		}
	}
	if rest := text[from:]; strings.TrimSpace(rest) != "" {
		entries = append(entries, rest)
	}
	return entries
}

// cutName splits at the last = that no backslash stands before.
func cutName(entry string) (name, typed string, ok bool) {
	at := strings.LastIndexByte(entry, '=')
	if at < 0 || at > 0 && entry[at-1] == '\\' {
		return "", "", false
	}
	var b strings.Builder
	escaped := strings.TrimLeft(entry[:at], " ")
	for i := 0; i < len(escaped); i++ {
		if escaped[i] == '\\' && i+1 < len(escaped) {
			i++
		}
		b.WriteByte(escaped[i])
	}
	return b.String(), entry[at+1:], true
}

func escapeName(name string) string {
	return strings.NewReplacer(`\`, `\\`, ",", `\,`, "=", `\=`, "[", `\[`, "]", `\]`, "(", `\(`, ")", `\)`).Replace(name)
}

// units are those of timestamps.
var units = map[string]arrow.TimeUnit{"s": arrow.Second, "ms": arrow.Millisecond, "us": arrow.Microsecond, "ns": arrow.Nanosecond}

// ParseType reads one type, as TypeName writes it.
func ParseType(text string) (arrow.DataType, error) {
	text = strings.TrimSpace(text)
	names := make([]string, 0, len(plainTypes)+2)
	for _, t := range plainTypes {
		if t.name == text {
			return t.is, nil
		}
		names = append(names, t.name)
	}
	word, inner, ok := strings.Cut(text, "[")
	if !ok {
		word, inner, ok = strings.Cut(text, "(")
	}
	switch inner = strings.TrimRight(inner, "])"); {
	case word == "timestamp" && ok:
		return parseTimestampType(text, inner)
	case word == "decimal" && ok:
		return parseDecimalType(text, inner)
	}
	return nil, fmt.Errorf("%q is no type%s; it must be %s", text, nearest.DidYouMean(text, append(names, "timestamp[us]", "decimal(10,2)")), typeForms)
}

func parseTimestampType(text, inner string) (arrow.DataType, error) {
	word, zone, _ := strings.Cut(inner, ",")
	unit, ok := units[strings.TrimSpace(word)]
	if !ok {
		return nil, fmt.Errorf("%q: the unit must be s, ms, us or ns", text)
	}
	zone = strings.TrimSpace(zone)
	if zone != "" {
		if _, err := time.LoadLocation(zone); err != nil || zone == "Local" {
			return nil, fmt.Errorf("%q: no time zone %q; it must be a name such as UTC or Europe/Berlin", text, zone)
		}
	}
	return &arrow.TimestampType{Unit: unit, TimeZone: zone}, nil
}

// maxDecimalDigits is what 128 bits hold.
const maxDecimalDigits = 38

func parseDecimalType(text, inner string) (arrow.DataType, error) {
	a, b, _ := strings.Cut(inner, ",")
	digits, err := strconv.Atoi(strings.TrimSpace(a))
	scale := 0
	if err == nil && strings.TrimSpace(b) != "" {
		scale, err = strconv.Atoi(strings.TrimSpace(b))
	}
	if err != nil || digits < 1 || digits > maxDecimalDigits || scale < 0 || scale > digits {
		return nil, fmt.Errorf("%q must be decimal(DIGITS, SCALE) of 1 to %d digits, of which SCALE stand after the point", text, maxDecimalDigits)
	}
	return &arrow.Decimal128Type{Precision: int32(digits), Scale: int32(scale)}, nil
}

// TypeName writes a type as --types takes it.
func TypeName(t arrow.DataType) string {
	switch t := t.(type) {
	case *arrow.TimestampType:
		if t.TimeZone != "" {
			return fmt.Sprintf("timestamp[%s, %s]", t.Unit, t.TimeZone)
		}
		return fmt.Sprintf("timestamp[%s]", t.Unit)
	case *arrow.Decimal128Type:
		return fmt.Sprintf("decimal(%d, %d)", t.Precision, t.Scale)
	}
	for _, p := range plainTypes {
		if arrow.TypeEqual(p.is, t) {
			return p.name
		}
	}
	return t.String()
}
