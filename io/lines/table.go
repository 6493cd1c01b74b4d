package lines

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"

	"github.com/millrace/millrace/io/format"
)

// table is what is known of one file: where its rows are, and its columns.
type table struct {
	set    *Set
	syntax Syntax
	forms  *forms
	plain  bool // no text stands for null, and numbers are written as everywhere
	text   *textFile
	index  index

	own    bool // records name their own fields
	names  []string
	first  int64 // bytes of the first span's beginning that the sample has
	guess  []guess
	schema *arrow.Schema // nil before types are settled
	given  []bool        // by column: the job gives its type
}

// headBytes is how much of a text is looked at for its header.
const headBytes = 1 << 20

// load learns all there is to know of a file but its types.
func (s *Set) load(ctx context.Context, path, name string, syntax Syntax) (*table, error) {
	e, err := encodingOf(s.opts.Encoding)
	if err != nil {
		return nil, fmt.Errorf("%w: --encoding %w", ErrOptions, err)
	}
	text, err := openText(path, name, e, &s.scratch, s.stop)
	if err != nil {
		return nil, err
	}
	if err := text.open(path); err != nil {
		return nil, err
	}
	defer text.close()
	return s.learn(ctx, text, syntax)
}

// learn is load of an open text.
func (s *Set) learn(ctx context.Context, text *textFile, syntax Syntax) (_ *table, err error) {
	t := &table{set: s, syntax: syntax, text: text}
	if t.forms, err = newForms(&s.opts, syntax.Format()); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOptions, err)
	}
	t.plain = len(s.nulls) == 0 && t.forms.plainNumerals
	head := make([]byte, min(t.text.size, headBytes))
	if err := t.text.read(ctx, head, 0); err != nil {
		return nil, err
	}
	if mark, _ := SkipMark(head); int64(len(head)) == t.text.size && len(bytes.Trim(head[mark:], "\r\n")) == 0 { // some writers leave such files where there are no rows; Begin says what is wrong with a mark
		t.index = index{file: t.text, opts: &s.opts}
		if t.own = syntax.Format() == format.JSONLines; t.own {
			t.names, err = t.findNames(ctx)
			t.guess = make([]guess, len(t.names))
		}
		return t, err
	}
	names, at, err := syntax.Begin(head, int64(len(head)) == t.text.size)
	if err != nil {
		return nil, err
	}
	t.index = index{file: t.text, syntax: syntax, opts: &s.opts, stop: s.stop, begin: int64(at), head: int64(bytes.Count(head[:at], []byte{'\n'}))}
	if err := t.index.run(ctx); err != nil {
		return nil, err
	}
	t.own = names == nil
	t.names = names
	for t.first = sampleBytes; ; t.first *= 4 {
		if err := t.guessTypes(ctx); err != nil {
			return nil, err
		}
		if t.sawRows() || len(t.index.spans) == 0 || t.first >= t.index.spans[0].to-t.index.spans[0].from || t.first > sampleMostBytes {
			break
		}
	}
	if t.own {
		err = t.noObjects(ctx)
	}
	return t, err
}

// sawRows says whether the sample had a row: one may be longer than the sample.
func (t *table) sawRows() bool {
	return slices.ContainsFunc(t.guess, func(g guess) bool { return g.rows > 0 })
}

// guessTypes guesses the types of columns, and their names where records have them, by a
// sample.
func (t *table) guessTypes(ctx context.Context) (err error) {
	if t.own {
		if t.names, err = t.findNames(ctx); err != nil {
			return err
		}
	}
	t.guess = make([]guess, len(t.names))
	p := &piece{}
	return t.sample(ctx, func(f *Fields, tokens Tokenizer) {
		p.Fields, p.tokens = f, tokens
		for i := range t.guess {
			bad := f.Bad
			for r := range f.Rows {
				if len(bad) > 0 && bad[0].Row == r {
					bad = bad[1:]
					continue
				}
				t.see(&t.guess[i], p, r, i)
			}
		}
	})
}

// see lets a guess see one field.
func (t *table) see(g *guess, p *piece, row, field int) {
	from, to := p.cell(row, field)
	if to <= from {
		g.see(nil, t.forms, false)
		return
	}
	g.bytes += int64(to - from)
	value := p.Text[from:to]
	quoted := p.tokens.Special(value[0])
	if !quoted && t.plain && g.agrees(p.Text, from, to) {
		return
	}
	if quoted {
		var why string
		if value, why = p.value(value); why != "" {
			value, quoted = p.Text[from:to], true // an object, which is no value
		}
	}
	if t.set.isNull(value) || quoted && len(value) == 0 && !t.quotesMakeText() {
		g.see(nil, t.forms, false)
		return
	}
	g.see(value, t.forms, quoted && t.quotesMakeText())
}

// quotesMakeText says that a value in quotes is text, whatever it looks like.
func (t *table) quotesMakeText() bool { return t.syntax.Format() == format.JSONLines }

// Bounds of the sample that types are inferred from: rows of the first span, and of
// some that lie evenly among the others. Where the first row does not fit, more is looked at.
const (
	sampleBytes      = 2 << 20
	sampleMostBytes  = 16 << 20
	sampleRows       = 10_000
	sampleSpans      = 15
	sampleMoreBytes  = 64 << 10
	sampleMoreRows   = 667
	sampleRowsAtOnce = 256
)

// sampled gives the text of the rows of the sample, a piece at a time.
func (t *table) sampled(ctx context.Context, each func(text []byte, last bool, rows int) error) error {
	places := t.places()
	defer t.text.ahead(ctx, places)()
	rows := sampleRows
	for i, p := range places {
		buffer := make([]byte, p.Length+3*pad)
		if err := t.text.read(ctx, buffer[pad:pad+p.Length], p.Offset); err != nil {
			return err
		}
		s := t.index.spans[i*t.sampleStep()]
		if err := each(buffer[:pad+p.Length], p.Length == s.to-s.from, rows); err != nil {
			return err
		}
		rows = sampleMoreRows
	}
	return nil
}

// sampleStep is how many spans on the next one of the sample is.
func (t *table) sampleStep() int { return max((len(t.index.spans)+sampleSpans-1)/sampleSpans, 1) }

// places are where the sample's text lies.
func (t *table) places() (all []format.Range) {
	size := t.first
	for i := 0; i < len(t.index.spans); i += t.sampleStep() {
		s := t.index.spans[i]
		all = append(all, format.Range{Offset: s.from, Length: min(s.to-s.from, size)})
		size = sampleMoreBytes
	}
	return all
}

// sample gives the fields of all columns of the sample's rows.
func (t *table) sample(ctx context.Context, see func(f *Fields, tokens Tokenizer)) error {
	all := make([]int, len(t.names))
	for i := range all {
		all[i] = i
	}
	tokens := t.syntax.Tokenizer(t.names, all, t.set.opts.MaxLineBytes)
	f := &Fields{}
	return t.sampled(ctx, func(text []byte, last bool, rows int) error {
		for at := pad; rows > 0; {
			next, skip := tokens.Next(f, text, at, min(rows, sampleRowsAtOnce), last)
			see(f, tokens)
			if skip || next == at {
				break
			}
			at, rows = next, rows-f.Rows
		}
		return t.set.stop()
	})
}

// noObjects is an error where the first line begins an array, and where no line has names
// and the first is no object either: then the file is most likely not what its name says.
func (t *table) noObjects(ctx context.Context) error {
	nameless := len(t.names) == 0 && len(t.set.opts.Types) == 0
	if len(t.index.spans) == 0 {
		return nil
	}
	first := make([]byte, min(t.text.size-t.index.begin, headBytes))
	if err := t.text.read(ctx, first, t.index.begin); err != nil {
		return err
	}
	first, _, _ = bytes.Cut(bytes.TrimLeft(first, " \t\r\n"), []byte{'\n'})
	first = bytes.TrimRight(first, " \t\r")
	hint := ""
	switch {
	case len(first) > 0 && first[0] == '[' && !json.Valid(first):
		return fmt.Errorf("%w: it is one array, and no lines of objects; jq -c '.[]' makes lines of an array", format.ErrDamaged)
	case !nameless:
		return nil
	case len(first) > 0 && first[0] == '[':
		hint = "; jq -c '.[]' makes lines of an array"
	case string(first) == "{":
		hint = "; jq -c . makes a line of each object"
	case len(first) > 0 && json.Valid(first):
		return nil // an object without a name, or a row that is none
	}
	return fmt.Errorf("%w: none of its lines is a JSON object with a name; the first is %s%s", format.ErrDamaged, shortText(first), hint)
}

// findNames lists the names that records of the sample give their fields, in the order
// in which they come first, and then those that have a type.
func (t *table) findNames(ctx context.Context) (names []string, err error) {
	seen := map[string]bool{}
	add := func(name string) {
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	err = t.sampled(ctx, func(text []byte, last bool, rows int) error {
		rest := text[pad:]
		for len(rest) > 0 && rows > 0 {
			line, after, whole := bytes.Cut(rest, []byte{'\n'})
			if whole || last {
				t.syntax.Names(line, add)
			}
			rest = after
			rows--
		}
		return nil
	})
	for _, c := range t.set.opts.Types {
		add(c.Name)
	}
	return names, err
}

// settle fixes the types of columns: those that are given, and else what the values of
// all files look like.
func (t *table) settle(joined map[string]*guess) {
	fields := make([]arrow.Field, len(t.names))
	t.given = make([]bool, len(t.names))
	for i, name := range t.names {
		fields[i] = arrow.Field{Name: name, Nullable: true}
		if c, ok := t.set.opts.givenType(name); ok {
			fields[i].Type, t.given[i] = c.Type, true
		} else {
			fields[i].Type = joined[name].dataType()
		}
	}
	t.schema = arrow.NewSchema(fields, nil)
}

// valueBytes are about the sizes in bytes of texts, by column: as the sample has them, and as much
// larger as rows of a span are on average; 0 for columns that have none.
func (t *table) valueBytes() []int64 {
	var sampled, rows float64 // of the sample
	for i := range t.guess {
		sampled += float64(t.guess[i].bytes)
		rows = max(rows, float64(t.guess[i].rows))
	}
	most := t.index.mostRowBytes()
	sizes := make([]int64, len(t.names))
	for i := range sizes {
		switch id := t.schema.Field(i).Type.ID(); {
		case !arrow.IsBinaryLike(id) && !arrow.IsLargeBinaryLike(id):
		case sampled == 0: // a row is longer than the sample
			sizes[i] = int64(most)
		default:
			sizes[i] = int64(float64(t.guess[i].bytes) / rows * max(most/(sampled/rows), 1))
		}
	}
	return sizes
}

// advice says what to do about a value that is none of its column's type.
func (t *table) advice(column int, value []byte) string {
	name, is := t.names[column], TypeName(t.schema.Field(column).Type)
	if t.given[column] {
		return fmt.Sprintf("correct the line, or give the column another type than %s by --types", is)
	}
	g := t.set.joined[name].clone()
	g.see(value, t.forms, false)
	if arrow.TypeEqual(g.dataType(), t.schema.Field(column).Type) { // no type has this value
		return "correct the line"
	}
	return fmt.Sprintf("correct the line, or give the column's type, which the first rows made %s, such as --types %s=%s",
		is, escapeName(name), TypeName(g.dataType()))
}

func (g *guess) clone() *guess {
	c := *g
	return &c
}

// Column is a column of files of lines, as Set.Columns lists them.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"` // as --types takes it
	// Given says that the job gives the type; otherwise Why says what it was inferred
	// from.
	Given bool   `json:"given"`
	Why   string `json:"why"`
}

// why says what a type was inferred from.
func (g *guess) because() string {
	rows := humanize.Comma(g.rows) + " " + english.PluralWord(int(g.rows), "row", "")
	switch {
	case g.rows == 0:
		return "there are no rows"
	case g.kind == nothing:
		return "no value in " + rows
	}
	parts := []string{"inferred from " + rows}
	if g.nulls > 0 {
		parts = append(parts, humanize.Comma(g.nulls)+" of them null")
	}
	return strings.Join(append(parts, "such as "+g.why), ", ")
}

// unknownTypes are given types of columns that no file has.
func (s *Set) unknownTypes() (names, known []string) {
	for _, c := range s.opts.Types {
		if s.joined[c.Name] == nil {
			names = append(names, c.Name)
		}
	}
	for name := range s.joined {
		known = append(known, name)
	}
	slices.Sort(known)
	return names, known
}
