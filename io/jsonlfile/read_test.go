package jsonlfile_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/jsonlfile"
	"github.com/millrace/millrace/io/lines"
)

// table is what a file was read as.
type table struct {
	columns  []string // NAME=TYPE
	rows     [][]string
	problems []format.Problem
}

// read reads a text as JSON Lines, all columns of it, and checks that each span has the
// rows that it announces.
func read(tb testing.TB, text []byte, opts lines.Options) (*table, error) {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "x.jsonl")
	if err := os.WriteFile(path, text, 0o666); err != nil {
		tb.Fatal(err)
	}
	alloc := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer alloc.AssertSize(tb, 0)
	set := lines.NewSet(opts, map[format.Name]lines.NewSyntaxFunc{format.JSONLines: jsonlfile.NewSyntax}, func() error { return nil })
	r, err := set.Open(context.Background(), path, format.JSONLines, format.ReadOptions{Allocator: alloc})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err := r.Close(); err != nil {
			tb.Error(err)
		}
	}()
	if err := set.Settle([]string{path}); err != nil {
		return nil, err
	}
	got := &table{}
	var columns []int
	for i, f := range r.Schema().Fields() {
		got.columns, columns = append(got.columns, f.Name+"="+lines.TypeName(f.Type)), append(columns, i)
	}
	columns = append(columns, len(columns)) // of problems
	for i, span := range r.Spans() {
		before := len(got.rows)
		if err := r.ReadSpan(context.Background(), i, columns, got.add); err != nil {
			return nil, err
		}
		if n := len(got.rows) - before; int64(n) != span.Rows {
			tb.Fatalf("span %d gives %d rows; it announces %d", i, n, span.Rows)
		}
	}
	return got, nil
}

func (g *table) add(b arrow.RecordBatch) error {
	problems := b.Column(int(b.NumCols()) - 1).(*array.String)
	for r := range int(b.NumRows()) {
		row := make([]string, 0, b.NumCols())
		for _, c := range b.Columns()[:b.NumCols()-1] {
			cell := "-"
			if c.IsValid(r) && c.DataType().ID() != arrow.NULL {
				cell = strings.Clone(c.ValueStr(r))
			}
			row = append(row, cell)
		}
		if problems.IsValid(r) {
			p, err := format.ParseProblem(problems.Value(r))
			if err != nil {
				return err
			}
			g.problems = append(g.problems, p)
		}
		g.rows = append(g.rows, row)
	}
	return nil
}

func TestReads(t *testing.T) {
	for _, tc := range []struct {
		name string
		text string
		opts lines.Options
		want string // columns, then rows
	}{
		{"numbers, text, truth and null", `{"a":1,"b":"x","c":true,"d":null}` + "\n" + `{"a":2,"b":"y","c":false,"d":2.5}`, lines.Options{}, "[a=int64 b=string c=bool d=float64] [[1 x true -] [2 y false 2.5]]"},
		{"a member that is missing is null", `{"a":1}` + "\n" + `{"b":2}` + "\n{}\n", lines.Options{}, "[a=int64 b=int64] [[1 -] [- 2] [- -]]"},
		{"members in any order, and spaces", "{\"a\":1, \"b\" : 2 }\r\n\t{ \"b\":3,\"a\":4}\n", lines.Options{}, "[a=int64 b=int64] [[1 2] [4 3]]"},
		{"blank lines are no rows", "\n{\"a\":1}\n  \n\r\n{\"a\":2}\n\n", lines.Options{}, "[a=int64] [[1] [2]]"},
		{"a byte-order mark", "\xef\xbb\xbf{\"a\":1}\n", lines.Options{}, "[a=int64] [[1]]"},
		{"integers beyond 2^53 are exact", `{"a":9007199254740993}` + "\n" + `{"a":-9223372036854775808}`, lines.Options{}, "[a=int64] [[9007199254740993] [-9223372036854775808]]"},
		{"escapes and surrogate pairs", `{"a":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"}`, lines.Options{}, "[a=string] [[\"\\/\b\f\n\r\té😀]]"},
		{"escapes in names", `{"\u0061":1}` + "\n" + `{"a":2}`, lines.Options{}, "[a=int64] [[1] [2]]"},
		{"text that looks like a number is text", `{"a":"12"}`, lines.Options{}, "[a=string] [[12]]"},
		{"numbers as text, where the type is given", `{"a":"12","b":"1.50"}`, lines.Options{Types: []lines.ColumnType{{Name: "a", Type: arrow.PrimitiveTypes.Int64}, {Name: "b", Type: &arrow.Decimal128Type{Precision: 4, Scale: 2}}}}, "[a=int64 b=decimal(4, 2)] [[12 1.5]]"},
		{"dates whose slashes are escaped, as PHP writes them", `{"a":"2020\/01\/02"}` + "\n" + `{"a":"2020\/01\/03"}` + "\n" + `{"a":"2020\/01\/04"}`, lines.Options{DateFormat: "%Y/%m/%d"}, "[a=date] [[2020-01-02] [2020-01-03] [2020-01-04]]"},
		{"dates and times", `{"a":"2013-01-31","b":"2013-01-31T10:00:00Z"}`, lines.Options{}, "[a=date b=timestamp[us, UTC]] [[2013-01-31 2013-01-31T10:00:00Z]]"},
		{"numbers and text together are text", `{"a":1}` + "\n" + `{"a":"x"}`, lines.Options{}, "[a=string] [[1] [x]]"},
		{"texts for no value", `{"a":"NA"}` + "\n" + `{"a":1}`, lines.Options{NullValues: []string{"NA"}}, "[a=int64] [[-] [1]]"},
		{"members of objects, by dots", `{"a":{"b":1,"c":{"d":"x"}},"e":2}` + "\n" + `{"e":3,"a":{"c":{}}}`, lines.Options{Nested: lines.NestedDots}, "[a.b=int64 a.c.d=string e=int64] [[1 x 2] [- - 3]]"},
		{"a type of a member that no line of the sample has", `{"a":1}`, lines.Options{Types: []lines.ColumnType{{Name: "z", Type: arrow.PrimitiveTypes.Int8}}}, "[a=int64 z=int8] [[1 -]]"},
		{"nothing", "", lines.Options{}, "[] []"},
	} {
		got, err := read(t, []byte(tc.text), tc.opts)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if s := fmt.Sprint(got.columns, " ", got.rows); s != tc.want || len(got.problems) > 0 {
			t.Errorf("%s: read(%q) = %s %+v; want %s", tc.name, tc.text, s, got.problems, tc.want)
		}
	}
}

func TestBadLines(t *testing.T) {
	for _, tc := range []struct{ name, line, reason string }{
		{"no JSON", `{"a":1`, "is no JSON"},
		{"no object", `[1]`, "is no JSON object"},
		{"text behind the object", `{"a":1} x`, "has text after its object"},
		{"a name twice", `{"a":1,"a":2}`, `has the name "a" twice`},
		{"no UTF-8", "{\"a\":1,\"b\":\"\xe9\"}", "is not UTF-8"},
		{"a number with a leading zero", `{"a":01}`, "is no JSON"},
		{"a number with a plus", `{"a":+1}`, "is no JSON"},
		{"NaN, as some programs write it", `{"a":NaN}`, "which has no NaN"},
		{"infinity", `{"a":-Infinity}`, "which has no NaN and no Infinity"},
		{"an escape that is none", `{"a":"\x"}`, "is no JSON"},
		{"a control character in text", "{\"a\":\"\x01\"}", "is no JSON"},
		{"a comma too many", `{"a":1,}`, "is no JSON"},
		{"a line that is too long", `{"b":"` + strings.Repeat("x", 300) + `"}`, "is longer than 300 bytes"},
		{"too deep", `{"b":` + strings.Repeat("[", 80) + strings.Repeat("]", 80) + `}`, "is nested too deep"},
		{"a value of another type", `{"a":"x"}`, `"x" is no int64`},
		{"a fraction for an integer", `{"a":1.5}`, `"1.5" is no int64`},
		{"half of a surrogate pair", `{"a":"\ud83d"}`, "half of a surrogate pair"},
		{"an object for a value", `{"a":{"b":1}}`, "--nested dots"},
		{"a list for a value", `{"a":[1]}`, "is a list or an object"},
	} {
		text := `{"a":1}` + "\n" + tc.line + "\n" + `{"a":3}` + "\n"
		got, err := read(t, []byte(text), lines.Options{MaxLineBytes: 300, Types: []lines.ColumnType{{Name: "a", Type: arrow.PrimitiveTypes.Int64}}})
		if err != nil || len(got.rows) != 3 || len(got.problems) != 1 {
			t.Errorf("%s: read(%q) = %+v, %v; want three rows, one bad", tc.name, text, got, err)
			continue
		}
		if p := got.problems[0]; p.Line != 2 || !strings.Contains(p.Reason, tc.reason) || got.rows[1][0] != "-" || p.Text != strings.ToValidUTF8(tc.line, "\uFFFD") {
			t.Errorf("%s: read(%q) = %v %+v; want line 2: %s", tc.name, text, got.rows, p, tc.reason)
		}
	}
}

// objects are the lines of a text by encoding/json; ok is false where one is no object
// for it, or for us: it takes half of a surrogate pair and a name twice.
func objects(text []byte) (all []map[string]any, ok bool) {
	for line := range bytes.SplitSeq(text, []byte("\n")) {
		if len(bytes.Trim(line, " \t\r")) == 0 {
			continue
		}
		d := json.NewDecoder(bytes.NewReader(line))
		d.UseNumber()
		var object map[string]any
		if err := d.Decode(&object); err != nil || object == nil || d.More() || !utf8.Valid(line) {
			return nil, false
		}
		all = append(all, object)
	}
	return all, true
}

// compare holds rows to what encoding/json reads.
func compare(t interface{ Fatalf(string, ...any) }, text []byte, got *table) {
	want, ok := objects(text)
	if !ok || len(got.problems) > 0 {
		return
	}
	if len(got.rows) != len(want) {
		t.Fatalf("%q: %d rows; encoding/json has %d", text, len(got.rows), len(want))
	}
	for i, row := range got.rows {
		for c, cell := range row {
			name, _, _ := strings.Cut(got.columns[c], "=")
			switch v := want[i][name].(type) {
			case nil:
				if cell != "-" {
					t.Fatalf("%q: row %d, %q is %q; encoding/json has none", text, i, name, cell)
				}
			case string, json.Number, bool:
				if cell != fmt.Sprint(v) {
					t.Fatalf("%q: row %d, %q is %q; encoding/json has %q", text, i, name, cell, v)
				}
			}
		}
	}
}

// Blocks of any size give the rows of the text as one block, and those of encoding/json.
func TestBlocksOfAnySize(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		pieces := rapid.SliceOfN(rapid.SampledFrom([]string{
			`{"a":1,"b":"x"}`, `{"b":"\n\"é😀","a":-2}`, `{"a":null}`, `{}`, `{"c":[1,{"x":"}\n"}],"a":3}`, `{"a":`, "\n", "\n", "\r\n", " ", `{"b":"` + strings.Repeat("y", 40) + `"}`, "x",
		}), 0, 30).Draw(r, "pieces")
		text := []byte(strings.Join(pieces, ""))
		opts := lines.Options{MaxLineBytes: rapid.SampledFrom([]int{0, 20}).Draw(r, "most"), Types: []lines.ColumnType{{Name: "a", Type: arrow.BinaryTypes.String}, {Name: "b", Type: arrow.BinaryTypes.String}}}
		whole, err := read(t, text, opts)
		if err != nil {
			r.Fatalf("%q: %v", text, err)
		}
		opts.BlockBytes = rapid.OneOf(rapid.IntRange(1, 40), rapid.SampledFrom([]int{16, 32, 64, 160})).Draw(r, "block")
		cut, err := read(t, text, opts)
		if err != nil {
			r.Fatalf("%q in blocks of %d: %v", text, opts.BlockBytes, err)
		}
		row := func(t *table) string { // columns that the sample finds may differ
			var all []string
			for _, r := range t.rows {
				for i, c := range t.columns {
					if c == "a=string" || c == "b=string" {
						all = append(all, c, r[i])
					}
				}
			}
			return fmt.Sprint(len(t.rows), all)
		}
		if row(cut) != row(whole) {
			r.Fatalf("%q in blocks of %d: %s\nas one: %s", text, opts.BlockBytes, row(cut), row(whole))
		}
		compare(r, text, whole)
	})
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{`{"a":1}` + "\n", `{"a":"\ud83d\ude00"}`, `{"a":{"b":[]}}`, "{}\n{}", `{"a":1e5,"b":true}`, `{"a":01}`, "\n\n", `{"a":1,"a":2}`} {
		f.Add([]byte(seed), uint8(5), true)
	}
	f.Fuzz(func(t *testing.T, text []byte, block uint8, dots bool) {
		opts := lines.Options{BlockBytes: int(block) + 1}
		if dots {
			opts.Nested = lines.NestedDots
		}
		inferred, err := read(t, text, opts)
		if err != nil {
			return
		}
		whole, err := read(t, text, lines.Options{Types: []lines.ColumnType{{Name: "a", Type: arrow.BinaryTypes.String}}})
		if err != nil {
			t.Fatalf("%q: %v, and in blocks of %d it was read", text, err, int(block)+1)
		}
		if len(whole.rows) != len(inferred.rows) {
			t.Fatalf("%q: %d rows, and in blocks of %d %d", text, len(whole.rows), int(block)+1, len(inferred.rows))
		}
		for i, c := range whole.columns { // others may be of a type that writes its values otherwise
			if c != "a=string" {
				continue
			}
			only := &table{columns: []string{c}, problems: whole.problems}
			for _, row := range whole.rows {
				only.rows = append(only.rows, row[i:i+1])
			}
			compare(t, text, only)
		}
	})
}
