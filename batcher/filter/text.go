package filter

import (
	"regexp"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/internal/storage"
)

// texts tests each value by itself: a text, or bytes as one.
type texts struct {
	meets func(value string) bool
	equal *string                         // what meets is equality with, if it is
	reach func(low, high string) outcomes // of values between two bounds
}

func (p *texts) eval(t *tile, a arrow.Array) truth {
	valid := t.valid(a)
	if s, ok := a.(*array.String); ok && p.equal != nil {
		out := t.bits()
		clear(out)
		for i := range t.rows { // nulls too: what is there is some text
			out[i/64] |= bit(s.Value(t.from+i) == *p.equal) << (i & 63)
		}
		return t.of(out, valid)
	}
	value := textOf(a)
	return t.where(valid, func(i int) bool { return p.meets(value(t.from + i)) })
}

func (p *texts) outcomes(s Stats) outcomes {
	low, high, known := boundsOf[string](s)
	if !known || p.reach == nil {
		return mayBeTrue | mayBeFalse
	}
	return p.reach(low, high)
}

// textOf gives an array's values by their rows; they alias the array.
func textOf(a arrow.Array) func(row int) string {
	switch a := a.(type) {
	case *array.String:
		return a.Value
	case *array.LargeString:
		return a.Value
	case *array.StringView:
		return a.Value
	case *array.Binary:
		return a.ValueString
	case *array.LargeBinary:
		return a.ValueString
	case *array.BinaryView:
		return a.ValueString
	case *array.FixedSizeBinary:
		return func(row int) string { return string(a.Value(row)) }
	case *array.Dictionary:
		value := textOf(storage.Array(a.Dictionary()))
		return func(row int) string { return value(a.GetValueIndex(row)) }
	}
	return func(int) string { return "" }
}

// compareText compares with a text, byte by byte.
func compareText(op comparison, with string) *texts {
	t := &texts{
		meets: func(v string) bool { return op.of(strings.Compare(v, with)) },
		reach: func(low, high string) outcomes {
			return ordered(op, strings.Compare(low, with), strings.Compare(high, with))
		},
	}
	switch op {
	case opEqual: // most differ in their length
		t.meets, t.equal = func(v string) bool { return v == with }, &with
	case opNotEqual:
		t.meets = func(v string) bool { return v != with }
	default:
	}
	return t
}

// textSet is in of a list of texts.
func textSet(list []string) *texts {
	has := make(map[string]struct{}, len(list))
	for _, v := range list {
		has[v] = struct{}{}
	}
	return &texts{
		meets: func(v string) bool { _, ok := has[v]; return ok },
		reach: func(low, high string) outcomes {
			out := mayBeFalse
			for v := range has {
				if v >= low && v <= high {
					out |= mayBeTrue
				}
			}
			if low == high && out&mayBeTrue != 0 {
				return mayBeTrue
			}
			return out
		},
	}
}

// textOperators make tests of texts from the text on their right side.
var textOperators = map[string]func(with string) (*texts, error){
	"startsWith": func(with string) (*texts, error) {
		return &texts{
			meets: func(v string) bool { return strings.HasPrefix(v, with) },
			reach: func(low, high string) (out outcomes) {
				inLow, inHigh := strings.HasPrefix(low, with), strings.HasPrefix(high, with)
				if high >= with && (low <= with || inLow) {
					out |= mayBeTrue
				}
				if !inLow || !inHigh {
					out |= mayBeFalse
				}
				return out
			},
		}, nil
	},
	"endsWith": func(with string) (*texts, error) {
		return &texts{meets: func(v string) bool { return strings.HasSuffix(v, with) }}, nil
	},
	"contains": func(with string) (*texts, error) {
		return &texts{meets: func(v string) bool { return strings.Contains(v, with) }}, nil
	},
	"matches": func(with string) (*texts, error) {
		re, err := regexp.Compile(with)
		if err != nil {
			return nil, err
		}
		return &texts{meets: re.MatchString}, nil
	},
}

// textPair compares two columns of text.
type textPair struct {
	op   comparison
	a, b *column
}

func (p *textPair) eval(t *tile) truth {
	x, y := p.a.array(t), p.b.array(t)
	left, right := textOf(x), textOf(y)
	return t.where(t.validOf(x).and(t.validOf(y), t), func(i int) bool {
		return p.op.of(strings.Compare(left(t.from+i), right(t.from+i)))
	})
}

func (p *textPair) outcomes(s statistics) outcomes {
	return ofValues(s(p.a.at), mayBeTrue|mayBeFalse) | ofValues(s(p.b.at), 0)
}

func (p *textPair) String() string {
	return "(" + p.a.String() + " " + p.op.String() + " " + p.b.String() + ")"
}
