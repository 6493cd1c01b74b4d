package filter

import (
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/expr-lang/expr/parser/utils"

	"github.com/millrace/millrace/internal/storage"
)

// kind is what the operators make of a column's type.
type kind int

const (
	kindOther kind = iota // only == nil and != nil
	kindNull
	kindBool
	kindSigned
	kindUnsigned
	kindFloat
	kindDecimal
	kindText
	kindDate
	kindTimestamp
	kindTime
	kindDuration
)

// isNumber says that there is arithmetic on it.
func (k kind) isNumber() bool { return k >= kindSigned && k <= kindDecimal }

// isTime says that it is compared with a text that is a time.
func (k kind) isTime() bool { return k >= kindDate }

// example is how a time of the kind is written.
func (k kind) example() string {
	switch k {
	case kindTime:
		return `"17:30:00"`
	case kindDuration:
		return `"1h30m"`
	default:
		return `"2013-01-31"`
	}
}

// column is a column that an expression reads.
type column struct {
	at   int // in Filter.Columns
	name string
	typ  arrow.DataType // of the values: of a dictionary's, of an extension's storage
	kind kind
}

// newColumn is the column of a field.
func newColumn(at int, field arrow.Field) *column {
	c := &column{at: at, name: field.Name, typ: field.Type}
	for {
		switch t := c.typ.(type) {
		case *arrow.DictionaryType:
			c.typ = t.ValueType
			continue
		case arrow.ExtensionType:
			if t.StorageType().ID() != arrow.FIXED_SIZE_BINARY { // a UUID is no text
				c.typ = t.StorageType()
				continue
			}
		}
		c.kind = kindOf(c.typ)
		return c
	}
}

// maxScale bounds the scale of decimals, which a file may give any.
const maxScale = 100

func kindOf(t arrow.DataType) kind {
	switch id := t.ID(); id {
	case arrow.NULL:
		return kindNull
	case arrow.BOOL:
		return kindBool
	case arrow.FLOAT16, arrow.FLOAT32, arrow.FLOAT64:
		return kindFloat
	case arrow.DECIMAL32, arrow.DECIMAL64, arrow.DECIMAL128, arrow.DECIMAL256:
		if scale := t.(arrow.DecimalType).GetScale(); scale > maxScale || scale < -maxScale {
			return kindOther
		}
		return kindDecimal
	case arrow.STRING, arrow.LARGE_STRING, arrow.STRING_VIEW, arrow.BINARY, arrow.LARGE_BINARY, arrow.BINARY_VIEW, arrow.FIXED_SIZE_BINARY:
		return kindText
	case arrow.DATE32, arrow.DATE64:
		return kindDate
	case arrow.TIMESTAMP:
		return kindTimestamp
	case arrow.TIME32, arrow.TIME64:
		return kindTime
	case arrow.DURATION:
		return kindDuration
	default:
		if arrow.IsSignedInteger(id) {
			return kindSigned
		}
		if arrow.IsUnsignedInteger(id) {
			return kindUnsigned
		}
		return kindOther
	}
}

// describe is the type in words.
func (c *column) describe() string { return c.typ.String() }

// String is the column as an expression names it.
func (c *column) String() string {
	if utils.IsValidIdentifier(c.name) && !reserved[c.name] {
		return c.name
	}
	return "col(" + strconv.Quote(c.name) + ")"
}

// reserved are the names that mean something else to the parser.
var reserved = map[string]bool{
	"true": true, "false": true, "nil": true, "in": true, "not": true, "and": true, "or": true, "let": true,
	"matches": true, "contains": true, "startsWith": true, "endsWith": true, "if": true, "else": true,
}

// array is the column's array in a tile, without its extension.
func (c *column) array(t *tile) arrow.Array { return storage.Array(t.columns[c.at]) }

// leaf is a test of the values of one column.
type leaf struct {
	column *column
	test   test
	text   string
}

// test is a condition on a column's values.
type test interface {
	// eval gives which rows of an array meet it.
	eval(t *tile, a arrow.Array) truth
	// outcomes are what it may be in rows that have a value.
	outcomes(s Stats) outcomes
}

func (p *leaf) eval(t *tile) truth {
	a := p.column.array(t)
	if d, ok := a.(*array.Dictionary); ok {
		return t.lookup(p, d)
	}
	return p.test.eval(t, a)
}

func (p *leaf) outcomes(s statistics) outcomes {
	stats := s(p.column.at)
	return ofValues(stats, p.test.outcomes(stats))
}

func (p *leaf) String() string { return p.text }

// isNull is == nil of a column, or !=.
type isNull struct {
	column *column
	negate bool
}

func (p *isNull) eval(t *tile) truth {
	out := t.unset(t.validOf(p.column.array(t)))
	if p.negate {
		return out.not()
	}
	return out
}

func (p *isNull) outcomes(s statistics) outcomes { return ofNulls(s(p.column.at), p.negate) }

func (p *isNull) String() string {
	if p.negate {
		return "(" + p.column.String() + " != nil)"
	}
	return "(" + p.column.String() + " == nil)"
}

// boolean is a column of truth values.
type boolean struct{}

func (boolean) eval(t *tile, a arrow.Array) truth {
	meet := t.bits()
	loadBits(meet, a.Data().Buffers()[1].Bytes(), a.Data().Offset()+t.from, t.rows)
	return t.of(meet, t.valid(a))
}

func (boolean) outcomes(s Stats) outcomes {
	low, high := s.Min, s.Max
	switch {
	case low == true && high == true:
		return mayBeTrue
	case low == false && high == false:
		return mayBeFalse
	}
	return mayBeTrue | mayBeFalse
}
