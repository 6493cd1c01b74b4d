package jsonlfile

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/millrace/millrace/internal/ascii"
	"github.com/millrace/millrace/io/lines"
)

// tokenizer finds the values of columns in lines. Lines mostly have the same names in
// the same order, so that a name is first compared with the one that stood at its place
// in the line before.
type tokenizer struct {
	parser

	most   int
	raw    bool           // lists and objects are text
	first  []int          // two places in a row of each wanted column
	at     map[string]int // of the wanted columns, their number
	before []known        // names by place

	fields *lines.Fields
	row    []uint32
	place  int
	seen   []int // by wanted column, the last line that has it
	line   int
}

// known is a name and its column; -1 where it is not wanted.
type known struct {
	name   []byte
	column int
}

// Tokenizer implements lines.Syntax.
func (s *syntax) Tokenizer(columns []string, wanted []int, most int) lines.Tokenizer {
	t := &tokenizer{most: most, raw: s.nested == lines.NestedText, at: make(map[string]int, len(wanted)), seen: make([]int, len(wanted))}
	t.dots = s.nested == lines.NestedDots
	for i, c := range wanted {
		t.at[columns[c]] = i
		t.first = append(t.first, 2*i)
	}
	t.member = t.take
	return t
}

// Special implements lines.Tokenizer.
func (*tokenizer) Special(first byte) bool { return first == '"' || first == '{' || first == '[' }

// Value implements lines.Tokenizer.
func (t *tokenizer) Value(scratch, field []byte) (value []byte, why string) {
	if field[0] != '"' {
		if t.raw {
			return field, ""
		}
		if t.dots {
			return nil, "is a list or an object, and no value of one column"
		}
		return nil, "is a list or an object, and no value of one column (--nested dots makes columns of the members of objects)"
	}
	field = field[1 : len(field)-1]
	if bytes.IndexByte(field, '\\') < 0 {
		return field, ""
	}
	value, ok := unescape(scratch[:0], field)
	if !ok {
		return nil, "has half of a surrogate pair, which is no character"
	}
	return value, ""
}

// take notes where a member's value lies.
func (t *tokenizer) take(name []byte, from, to int) string {
	var k *known
	if t.place < len(t.before) {
		k = &t.before[t.place]
	} else {
		t.before = append(t.before, known{column: -2})
		k = &t.before[len(t.before)-1]
	}
	t.place++
	if k.column == -2 || !bytes.Equal(k.name, name) {
		k.name, k.column = append(k.name[:0], name...), -1
		if column, ok := t.at[string(name)]; ok {
			k.column = column
		}
	}
	if k.column < 0 {
		return ""
	}
	if t.seen[k.column] == t.line {
		return "has the name " + strconv.Quote(string(name)) + " twice"
	}
	t.seen[k.column] = t.line
	if t.text[from] != 'n' { // null
		t.row[2*k.column], t.row[2*k.column+1] = uint32(from-1), uint32(to)
	}
	return ""
}

// mostNames bounds the names by place: a line may have a million.
const mostNames = 4096

// Next implements lines.Tokenizer.
func (t *tokenizer) Next(f *lines.Fields, text []byte, at, most int, last bool) (next int, skip bool) {
	f.Text, f.Rows, f.Stride, f.First, f.Bad = text, 0, 2*len(t.first), t.first, f.Bad[:0]
	if need := most * f.Stride; cap(f.At) < need {
		f.At = make([]uint32, need)
	}
	f.At, f.Starts = f.At[:cap(f.At)], append(f.Starts[:0], uint32(at))
	t.text, t.fields = text, f
	for f.Rows < most && at < len(text) {
		end, whole := len(text), last
		if lf := bytes.IndexByte(text[at:], '\n'); lf >= 0 {
			end, whole = at+lf, true
		}
		next = min(end+1, len(text))
		tooLong := next-at > t.most
		if !whole && !tooLong {
			break
		}
		blank := !tooLong && skipBlank(text[:end], at) == end
		if !blank {
			t.take1(f, at, end, tooLong)
		}
		if at = next; len(f.Starts) == f.Rows {
			f.Starts = append(f.Starts, uint32(at))
		} else {
			f.Starts[f.Rows] = uint32(at) // after a blank line
		}
		if !whole {
			return at, true
		}
	}
	return at, false
}

// take1 makes a row of one line.
func (t *tokenizer) take1(f *lines.Fields, at, end int, tooLong bool) {
	t.row = f.At[f.Rows*f.Stride : (f.Rows+1)*f.Stride]
	clear(t.row)
	t.place = 0
	t.line++
	if len(t.before) > mostNames {
		t.before = t.before[:mostNames:mostNames]
	}
	var why string
	switch line := f.Text[at:end]; {
	case tooLong:
		why = fmt.Sprintf("is longer than %d bytes", t.most)
	case !ascii.Is(line) && !utf8.Valid(line):
		why = notUTF8
	default:
		why = t.record(at, end)
	}
	if why != "" {
		clear(t.row)
		f.Bad = append(f.Bad, lines.BadRecord{Row: f.Rows, Reason: why})
	}
	f.Rows++
}
