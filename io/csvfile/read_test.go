package csvfile_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/io/csvfile"
	"github.com/millrace/millrace/io/csvfile/kernel"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/lines"
)

// nullCell is a null in the rows that read gives: no text of a test is it.
const nullCell = "<null>"

// table is what a file of CSV was read as.
type table struct {
	names    []string
	types    []string
	rows     [][]string // of text, by ValueStr
	problems []format.Problem
	bad      []int // rows that have them
	spans    []format.Span
}

// read reads a text as CSV, all columns of it, and checks that each span has the rows
// that it announces.
func read(tb testing.TB, text []byte, opts lines.Options) (*table, error) {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "x.csv")
	if err := os.WriteFile(path, text, 0o666); err != nil {
		tb.Fatal(err)
	}
	return readFile(tb, path, opts)
}

func readFile(tb testing.TB, path string, opts lines.Options) (*table, error) {
	tb.Helper()
	alloc := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer alloc.AssertSize(tb, 0)
	set := lines.NewSet(opts, map[format.Name]lines.NewSyntaxFunc{format.CSV: csvfile.NewSyntax}, func() error { return nil })
	defer func() {
		if err := set.Close(); err != nil {
			tb.Error(err)
		}
	}()
	r, err := set.Open(context.Background(), path, format.CSV, format.ReadOptions{Allocator: alloc})
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
	got := &table{spans: r.Spans()}
	columns := []int{}
	for i, f := range r.Schema().Fields() {
		got.names, got.types, columns = append(got.names, f.Name), append(got.types, lines.TypeName(f.Type)), append(columns, i)
	}
	columns = append(columns, len(columns)) // of problems
	for i, span := range got.spans {
		before := len(got.rows)
		err := r.ReadSpan(context.Background(), i, columns, func(b arrow.RecordBatch) error { return got.add(b) })
		if err != nil {
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
		row := make([]string, 0, b.NumCols()-1)
		for _, c := range b.Columns()[:b.NumCols()-1] {
			cell := nullCell
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
			g.problems, g.bad = append(g.problems, p), append(g.bad, len(g.rows))
		}
		g.rows = append(g.rows, row)
	}
	return nil
}

// A file of a few bytes takes no room for a large one: of 20,000 of them, that would be most
// of the run's work.
func TestSmallFilesTakeLittle(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.csv")
	if err := os.WriteFile(path, []byte("id,x\n1,2.5\n2,3.5\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	allocated := func(files int) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range files {
			if _, err := readFile(t, path, lines.Options{}); err != nil {
				t.Fatal(err)
			}
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	allocated(1) // what is made once
	if each := allocated(20) / 20; each > 128<<10 {
		t.Errorf("a file of 18 bytes takes %d bytes of memory; want at most 128 KiB", each)
	}
}

// compare holds what was read to what encoding/csv reads, where that accepts the text:
// it drops a CR before the LF within quotes, and does not tell a null from an empty text.
func compare(tb testing.TB, text []byte, got *table) {
	tb.Helper()
	want := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))))
	all, err := want.ReadAll()
	if err != nil || len(got.bad) > 0 || len(all) == 0 {
		return
	}
	if len(all)-1 != len(got.rows) {
		tb.Fatalf("%q: %d rows; encoding/csv has %d", text, len(got.rows), len(all)-1)
	}
	for i, row := range got.rows {
		for c, cell := range row {
			if cell == nullCell {
				cell = ""
			}
			if cell = strings.ReplaceAll(cell, "\r\n", "\n"); cell != all[i+1][c] {
				tb.Fatalf("%q: row %d, column %d is %q; encoding/csv has %q", text, i, c, cell, all[i+1][c])
			}
		}
	}
}

// Blocks of any size give the rows of the text as one block.
func TestBlocksOfAnySize(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		pieces := rapid.SliceOfN(rapid.SampledFrom([]string{
			"a", "bc", "é", "😀", `"`, `""`, `"x"`, `"x,y"`, "\"p\nq\"", "\"p\r\nq\"", `"d""q"`, ",", ",", "\n", "\n", "\r\n", "\r", "1", "-2.5", " ", "",
		}), 0, 60).Draw(r, "pieces")
		text := []byte("a,b\n" + strings.Join(pieces, ""))
		most := rapid.SampledFrom([]int{0, 4, 9, 30, 64, 90}).Draw(r, "most")
		opts := lines.Options{Header: lines.HeaderFirst, MaxLineBytes: most, Types: []lines.ColumnType{{Name: "a", Type: arrow.BinaryTypes.String}, {Name: "b", Type: arrow.BinaryTypes.String}}}
		whole, err := read(t, text, opts)
		if err != nil {
			r.Fatalf("%q: %v", text, err)
		}
		compare(t, text, whole)
		opts.BlockBytes = rapid.OneOf(rapid.IntRange(1, 40), rapid.SampledFrom([]int{16, 32, 64, 160})).Draw(r, "block")
		sameInBlocks(t, r, text, opts, whole)
	})
}

// sameInBlocks reads a text in blocks of opts.BlockBytes, and compares what comes with what
// came of it as one.
func sameInBlocks(t *testing.T, r *rapid.T, text []byte, opts lines.Options, whole *table) {
	t.Helper()
	cut, err := read(t, text, opts)
	if err != nil {
		r.Fatalf("%q in blocks of %d: %v", text, opts.BlockBytes, err)
	}
	if fmt.Sprint(cut.rows, cut.problems, cut.bad) != fmt.Sprint(whole.rows, whole.problems, whole.bad) {
		r.Fatalf("%q in blocks of %d, lines of %d:\n%q %+v\nas one:\n%q %+v", text, opts.BlockBytes, opts.MaxLineBytes, cut.rows, cut.problems, whole.rows, whole.problems)
	}
}

// Wherever in a block of 64 bytes quotes are, they mean the same.
func TestQuotesAtAnyOffset(t *testing.T) {
	opts := lines.Options{Header: lines.HeaderFirst, Types: []lines.ColumnType{{Name: "a", Type: arrow.BinaryTypes.String}, {Name: "b", Type: arrow.BinaryTypes.String}}}
	for _, c := range []struct {
		field, want string // read; empty where the line is bad
	}{
		{`"y"`, "y"},
		{`"y""z"`, `y"z`},
		{"\"y\r\n,z\"", "y\r\n,z"},
		{`y"z"`, `y"z"`},
		{`y""z`, `y""z`},
		{`"y"z`, ""},
		{`"y"z"`, ""},
		{"\"y\"\rz", ""},
		{`"y" `, ""},
	} {
		for lead := range 2 * kernel.Block {
			for _, newline := range []string{"\n", "\r\n"} {
				text := "a,b\n" + strings.Repeat("x", lead) + "," + c.field + newline + "1,2" + newline
				got, err := read(t, []byte(text), opts)
				if err != nil {
					t.Fatal(err)
				}
				last := got.rows[len(got.rows)-1]
				if c.want == "" && (len(got.bad) != 1 || got.bad[0] != 0 || !strings.HasPrefix(got.problems[0].Reason, "the line has text after a closing quote")) {
					t.Errorf("%q: bad rows %v, %v; want the first", text, got.bad, got.problems)
				}
				if c.want != "" && (len(got.bad) > 0 || got.rows[0][1] != c.want) {
					t.Errorf("%q: %q, %v; want %q", text, got.rows[0], got.problems, c.want)
				}
				if len(got.rows) != 2 || last[0] != "1" || last[1] != "2" {
					t.Errorf("%q: rows %q", text, got.rows)
				}
			}
		}
	}
}

// Long texts, whose records are most of them found by their marks and some not, are read
// as encoding/csv reads them, and as they are in blocks.
func TestLongTexts(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 12))
	filler := strings.Repeat("a long text, and its end\r\n", 1000)
	for i := range 60 {
		text := []byte("a,b,c\n")
		if i%5 == 0 {
			text = []byte("\xef\xbb\xbfa,b,c\r\n")
		}
		newline := []string{"\n", "\r\n"}[i%2]
		for len(text) < 60_000 {
			for c := range 3 {
				switch k := random.IntN(400); {
				case k < 150:
					text = strconv.AppendInt(text, random.Int64()>>random.IntN(60), 10)
				case k < 250:
					text = append(text, `"`+filler[:random.IntN(40)]+`"`...)
				case k < 300:
					text = append(text, `"he said ""no"", and """""`...)
				case k == 300: // longer than a window
					text = append(text, `"`+filler[:random.IntN(len(filler))]+`"`...)
				case k < 340:
					text = append(text, filler[2:2+random.IntN(8)]...)
				}
				if c < 2 {
					text = append(text, ',')
				}
			}
			text = append(text, newline...)
			if random.IntN(50) == 0 {
				text = append(text, newline...)
			}
		}
		opts := lines.Options{Header: lines.HeaderFirst, Types: []lines.ColumnType{
			{Name: "a", Type: arrow.BinaryTypes.String}, {Name: "b", Type: arrow.BinaryTypes.String}, {Name: "c", Type: arrow.BinaryTypes.String},
		}}
		whole, err := read(t, text, opts)
		if err != nil {
			t.Fatal(err)
		}
		if len(whole.bad) > 0 || len(whole.rows) < 100 {
			t.Fatalf("text %d: %d rows, and problems %v", i, len(whole.rows), whole.problems)
		}
		compare(t, text, whole)
		opts.BlockBytes = 1000 + random.IntN(30_000)
		cut, err := read(t, text, opts)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(cut.rows, whole.rows, slices.Equal) {
			t.Fatalf("text %d in blocks of %d: other rows than in one", i, opts.BlockBytes)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		"a,b\n1,2\n", "a,b\r\n1,\"x\r\ny\"\r\n", "\xef\xbb\xbfa,b\n1,2", "a\n\n\"\"\n", "a,b\n1,\"2\n3,4\n", "a,b\n1,\"2\"x\n3,4\n", "a,b\n1,2,3\n4\n", "a,b\n\"1\"\r", "a\n\r\n\r",
		"a,b\n2013-01-01,2013-01-01T00:00:00.5Z\n", "a,b\n0x1,1e999\n-0,.5\n", "\xff\xfea", "", "\n\n", "a,a\n",
	} {
		f.Add([]byte(seed), uint8(7))
	}
	f.Fuzz(func(t *testing.T, text []byte, block uint8) {
		opts := lines.Options{Header: lines.HeaderFirst, BlockBytes: int(block) + 1}
		inferred, err := read(t, text, opts)
		if err != nil {
			return
		}
		opts.Types = nil
		for _, name := range inferred.names {
			opts.Types = append(opts.Types, lines.ColumnType{Name: name, Type: arrow.BinaryTypes.String})
		}
		opts.BlockBytes = 0
		whole, err := read(t, text, opts)
		if err != nil {
			t.Fatalf("%q: %v, and with types inferred it was read", text, err)
		}
		if len(whole.rows) != len(inferred.rows) {
			t.Fatalf("%q: %d rows, and in blocks of %d %d", text, len(whole.rows), int(block)+1, len(inferred.rows))
		}
		compare(t, text, whole)
	})
}

// TestTypesBehindALongRow: a first row that is longer than what is looked at for types, or
// than a row may be, leaves them to those after it.
func TestTypesBehindALongRow(t *testing.T) {
	for _, length := range []int{3 << 20, 5 << 20} {
		text := "id,x,s\n1,1.5," + strings.Repeat("z", length) + "\n2,2.5,b\n"
		got, err := read(t, []byte(text), lines.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if want := []string{"int64", "float64", "string"}; !slices.Equal(got.types, want) || len(got.rows) != 2 {
			t.Errorf("%d bytes: types %v of %d rows; want %v of 2", length, got.types, len(got.rows), want)
		}
	}
}

func TestReads(t *testing.T) {
	for _, tc := range []struct {
		name string
		text string
		opts lines.Options
		want string // types, then rows
	}{
		{"numbers, text and nulls", "a,b,c\n1,x,2.5\n,,\n-3,\"\",4\n", lines.Options{}, `[int64 string float64] [[1 x 2.5] [<null> <null> <null>] [-3  4]]`},
		{"CRLF and no end of the last line", "a,b\r\n1,2\r\n3,4", lines.Options{}, `[int64 int64] [[1 2] [3 4]]`},
		{"a byte-order mark", "\xef\xbb\xbfa\n1\n", lines.Options{}, `[int64] [[1]]`},
		{"lines and doubled quotes in quotes", "a,b\n\"x\n\"\"y\"\"\",1\n", lines.Options{}, "[string int64] [[x\n\"y\" 1]]"},
		{"blank lines are no rows", "a\n\n1\n\r\n2\n\n", lines.Options{}, `[int64] [[1] [2]]`},
		{"an empty text in quotes is a row", "a\n\"\"\nx\n", lines.Options{}, `[string] [[] [x]]`},
		{"booleans, dates and times", "a,b,c,d\ntrue,2013-01-31,2013-01-31 10:00,2013-01-31T10:00:00+01:00\nFALSE,,,\n", lines.Options{}, `[bool date timestamp[us] timestamp[us, UTC]] [[true 2013-01-31 2013-01-31T10:00:00 2013-01-31T09:00:00Z] [false <null> <null> <null>]]`},
		{"nanoseconds", "a\n2013-01-31T10:00:00.123456789\n", lines.Options{}, `[timestamp[ns]] [[2013-01-31T10:00:00.123456789]]`},
		{"nanoseconds, and a time that they do not count as far as", "a\n2013-01-31 10:00:00.123456789\n9999-12-31 00:00:00\n", lines.Options{}, `[string] [[2013-01-31 10:00:00.123456789] [9999-12-31 00:00:00]]`},
		{"a day that nanoseconds do not count as far as", "a\n9999-12-31\n2013-01-31 10:00:00.123456789\n", lines.Options{}, `[string] [[9999-12-31] [2013-01-31 10:00:00.123456789]]`},
		{"a time far away", "a\n9999-12-31 00:00:00\n", lines.Options{}, `[timestamp[us]] [[9999-12-31T00:00:00]]`},
		{"the first day of all", "a\n0001-01-01\n2013-01-31\n", lines.Options{}, `[date] [[0001-01-01] [2013-01-31]]`},
		{"a code with a leading zero stays one", "a\n01234\n5\n", lines.Options{}, `[string] [[01234] [5]]`},
		{"integers beyond int64", "a\n18446744073709551615\n1\n", lines.Options{}, `[uint64] [[18446744073709551615] [1]]`},
		{"integers beyond 64 bits keep their digits", "a\n184467440737095516150\n1\n", lines.Options{}, `[string] [[184467440737095516150] [1]]`},
		{"no-break spaces and line ends are no blanks", "a,b,c\n\"1\n\",2\u00a0, \t3\t\n", lines.Options{}, "[string string int64] [[1\n 2\u00a0 3]]"},
		{"fractions without a zero before them", "a,b,c\n.5,-.5,5.\n.25,+.5,1\n", lines.Options{}, `[float64 float64 float64] [[0.5 -0.5 5] [0.25 0.5 1]]`},
		{"a number beyond all, before others and behind", "a,b,c\n1e400,1.5,0.1e308\n1.5,1e400,1e307\n", lines.Options{}, `[string string float64] [[1e400 1.5 1e+307] [1.5 1e400 1e+307]]`},
		{"no value at all", "a,b\n,1\n,2\n", lines.Options{}, `[null int64] [[<null> 1] [<null> 2]]`},
		{"no header", "1,x\n2,y\n", lines.Options{Header: lines.HeaderNone}, `[int64 string] [[1 x] [2 y]]`},
		{"another delimiter", "a;b\n1;2,5\n", lines.Options{Delimiter: ";"}, `[int64 string] [[1 2,5]]`},
		{"texts for no value", "a,b\nNA,NA\n1,\"NA\"\n", lines.Options{NullValues: []string{"NA"}}, `[int64 null] [[<null> <null>] [1 <null>]]`},
		{"a number for no value", "a\n-999\n1\n", lines.Options{NullValues: []string{"-999"}}, `[int64] [[<null>] [1]]`},
		{"quoted numbers and spaces", "a,b\n\"1\", 2\n\"\",3 \n", lines.Options{}, `[int64 int64] [[1 2] [<null> 3]]`},
		{"quotes within a field without are text", "a,b\n5\" x 3\",1\n", lines.Options{}, "[string int64] [[5\" x 3\" 1]]"},
		{"an unnamed column has its place's name", ",b\n1,2\n", lines.Options{}, `[int64 int64] [[1 2]]`},
		{"types that are given", "a,b,c\n1,2,1.50\n", lines.Options{Types: []lines.ColumnType{{Name: "a", Type: arrow.BinaryTypes.String}, {Name: "b", Type: arrow.PrimitiveTypes.Uint8}, {Name: "c", Type: &arrow.Decimal128Type{Precision: 5, Scale: 3}}}}, `[string uint8 decimal(5, 3)] [[1 2 1.5]]`},
		{"Excel's line is no header", "sep=;\na;b\n1;2,5\n", lines.Options{}, `[int64 string] [[1 2,5]]`},
		{"Excel's line of a tab, and no names", "sep=\t\r\n1\tx\r\n", lines.Options{Header: lines.HeaderNone}, `[int64 string] [[1 x]]`},
		{"Excel's line beside a delimiter that is given", "sep=;\na|b\n1|2\n", lines.Options{Delimiter: "|"}, `[int64 int64] [[1 2]]`},
		{"Excel's line is among those that are skipped", "sep=;\nBank X\na;b\n1;2\n", lines.Options{SkipLines: 2}, `[int64 int64] [[1 2]]`},
		{"a header that begins like Excel's line", "sep=;,b\n1,2\n", lines.Options{}, `[int64 int64] [[1 2]]`},
		{"blank lines alone", "\n\r\n\n", lines.Options{}, `[] []`},
		{"nothing at all", "", lines.Options{}, `[] []`},
		{"a byte-order mark alone", "\xef\xbb\xbf", lines.Options{}, `[] []`},
		{"a header alone", "a,b\n", lines.Options{}, `[null null] []`},
	} {
		got, err := read(t, []byte(tc.text), tc.opts)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if s := fmt.Sprint(got.types, " ", got.rows); s != tc.want || len(got.problems) > 0 {
			t.Errorf("%s: read(%q) = %s %+v; want %s", tc.name, tc.text, s, got.problems, tc.want)
		}
	}
}

// A line that is no row is one of nulls, with its number and what is wrong.
func TestBadLines(t *testing.T) {
	int64s := lines.Options{Types: []lines.ColumnType{{Name: "a", Type: arrow.PrimitiveTypes.Int64}}, MaxLineBytes: 40}
	for _, tc := range []struct{ name, text, rows, line, reason, kept string }{
		{"a value of another type", "a,b\n1,2\nx,3\n", "[[1 2] [<null> 3]]", "3", `a: "x" is no int64`, "x,3"},
		{"too many fields", "a,b\n1,2,3\n4,5\n", "[[<null> <null>] [4 5]]", "2", ": the line has 3 fields and not 2", "1,2,3"},
		{"too few fields, quoted", "a,b\n\"1\"\n4,5\n", "[[<null> <null>] [4 5]]", "2", ": the line has 1 field and not 2", `"1"`},
		{"a quote that is not closed takes its line alone", "a,b\n1,\"x\n2,3\n4,5\n", "[[<null> <null>] [2 3] [4 5]]", "2", ": the line has a quote that is not closed", `1,"x`},
		{"text after a closing quote", "a,b\n1,\"x\"y\n4,5\n", "[[<null> <null>] [4 5]]", "2", ": the line has text after a closing quote", `1,"x"y`},
		{"quotes as Spark writes them", "a,b\n1,\"x \\\"y\\\"\"\n4,5\n", "[[<null> <null>] [4 5]]", "2", `: the line has text after a closing quote, before which is a backslash; a quote within a field is to be written twice (""), in Spark by option("escape", "\""), and not \"`, `1,"x \"y\""`},
		{"lines that end with CR", "a,b\n1,\"x\"\r2,y\r\n4,5\n", "[[<null> <null>] [4 5]]", "2", `: the line has text after a closing quote: a CR alone; if lines end with it, they have to be converted first, such as by tr '\r' '\n'`, "1,\"x\"\r2,y"},
		{"fields between other characters", "a,b\n1,\"x\";\"y\"\n4,5\n", "[[<null> <null>] [4 5]]", "2", `: the line has text after a closing quote: ';'; if it stands between fields, --delimiter says so`, `1,"x";"y"`},
		{"a line that is too long", "a,b\n1," + strings.Repeat("9", 50) + "\n4,5\n", "[[<null> <null>] [4 5]]", "2", ": the line is longer than 40 bytes", "1," + strings.Repeat("9", 50)},
		{"lines are counted within quotes", "a,b\n1,\"p\nq\"\nx,3\n", "[[1 p\nq] [<null> 3]]", "4", `a: "x" is no int64`, "x,3"},
		{"a number beyond its type", "a,b\n9223372036854775808,3\n", "[[<null> 3]]", "2", `a: "9223372036854775808" is no int64`, "9223372036854775808,3"},
		{"text whose last character is cut off by the file's end", "a,b\n1,x\n2,caf\xc3", "[[1 x] [2 <null>]]", "3", `b: "caf\xc3" is no UTF-8; say what it is, such as by --encoding windows-1252 or latin-1`, "2,caf\uFFFD"},
		{"text in another encoding", "a,b\n1,caf\xe9\n2,x\n", "[[1 <null>] [2 x]]", "2", `b: "caf\xe9" is no UTF-8; say what it is, such as by --encoding windows-1252 or latin-1`, "1,caf\uFFFD"},
	} {
		got, err := read(t, []byte(tc.text), int64s)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if len(got.problems) != 1 {
			t.Errorf("%s: read(%q) has the problems %+v; want one", tc.name, tc.text, got.problems)
			continue
		}
		p := got.problems[0]
		if s := fmt.Sprint(got.rows); s != tc.rows || strconv.FormatInt(p.Line, 10) != tc.line || p.Column+": "+p.Reason != tc.reason && ": "+p.Reason != tc.reason || p.Text != tc.kept || p.Advice == "" {
			t.Errorf("%s: read(%q) = %s %+v; want %s, line %s, %s", tc.name, tc.text, s, p, tc.rows, tc.line, tc.reason)
		}
	}
}

// What is no CSV of ours is refused with what to do.
func TestRefused(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		opts       lines.Options
		want       string
	}{
		{"UTF-16", "\xff\xfea\x00", lines.Options{}, "--encoding utf-16"},
		{"UTF-16 without a mark", "a\x00,\x00b\x00\n\x00", lines.Options{}, "--encoding utf-16le"},
		{"a name twice", "a,b,a\n", lines.Options{}, `names column "a" twice, at 1 and 3`},
		{"a name in another encoding", "x,pr\xe9nom\n1,2\n", lines.Options{}, `the name "pr\xe9nom" of column 2 is no UTF-8; say what the text is, such as by --encoding windows-1252`},
		{"numbers for names", "1,2\n3,4\n", lines.Options{}, "--header none"},
		{"lines that end with CR alone", "a,b\r1,2\r", lines.Options{}, "tr '\\r' '\\n'"},
		{"an open quote in the header", "a,\"b\n1,2\n", lines.Options{}, "first line"},
		{"a type of no column", "a\n1\n", lines.Options{Types: []lines.ColumnType{{Name: "A1", Type: arrow.Null}}}, `no column "A1"`},
	} {
		_, err := read(t, []byte(tc.text), tc.opts)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: read(%q) = %v; want an error with %q", tc.name, tc.text, err, tc.want)
		}
	}
}

// The rows and their problems do not depend on which columns are read.
func TestProblemsOfColumnsThatAreNotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.csv")
	if err := os.WriteFile(path, []byte("a,b\n1,2\nx,y\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	opts := lines.Options{Types: []lines.ColumnType{{Name: "a", Type: arrow.PrimitiveTypes.Int64}, {Name: "b", Type: arrow.PrimitiveTypes.Int64}}}
	set := lines.NewSet(opts, map[format.Name]lines.NewSyntaxFunc{format.CSV: csvfile.NewSyntax}, func() error { return nil })
	defer set.Close()
	r, err := set.Open(context.Background(), path, format.CSV, format.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := set.Settle([]string{path}); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name    string
		checked []string
		columns []int
		want    []string // columns of problems
	}{
		{"of b, which is read", nil, []int{1, 2}, []string{"b"}},
		{"of a, which is checked and not read", []string{"a"}, []int{1, 2}, []string{"a"}},
		{"of nothing but problems", []string{"b"}, []int{2}, []string{"b"}},
	} {
		set.Check(tc.checked)
		var got []string
		err := r.ReadSpan(context.Background(), 0, tc.columns, func(b arrow.RecordBatch) error {
			var table table
			err := table.add(b)
			for _, p := range table.problems {
				got = append(got, p.Column)
			}
			return err
		})
		if err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("%s: problems of %v, %v; want %v", tc.name, got, err, tc.want)
		}
	}
	if err := r.ReadSpan(context.Background(), 0, []int{1}, func(arrow.RecordBatch) error { return nil }); !errors.Is(err, format.ErrDamaged) {
		t.Errorf("ReadSpan() of a bad line to whom does not ask for problems = %v; want ErrDamaged", err)
	}
}
