package dataset_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/lines"
)

const linesFolder = "../../testdata/lines"

// linesOf gives the named columns of all rows as text, those without a value as nil, in
// the words of testdata/lines/make.py.
func linesOf(t *testing.T, opts dataset.Options, columns []string, paths ...string) (rows [][]*string, err error) {
	t.Helper()
	data, err := dataset.Open(t.Context(), paths, opts)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, data.Close()) }()
	for _, part := range data.Parts(1) {
		for _, span := range part.Spans {
			err := data.ReadSpan(t.Context(), span, columns, func(b arrow.RecordBatch) error {
				for r := range int(b.NumRows()) {
					row := make([]*string, b.NumCols())
					for c, column := range b.Columns() {
						row[c] = wordOf(column, r)
					}
					rows = append(rows, row)
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return rows, nil
}

func wordOf(a arrow.Array, row int) *string {
	if a.IsNull(row) {
		return nil
	}
	switch a := a.(type) {
	case *array.Float64:
		return new(strconv.FormatFloat(a.Value(row), 'g', -1, 64))
	case *array.Timestamp:
		return new(a.Value(row).ToTime(arrow.Microsecond).Format("2006-01-02 15:04:05.000000"))
	}
	return new(strings.Clone(a.ValueStr(row)))
}

// What is read is what pyarrow and DuckDB read of the same files.
func TestLinesAreThoseOfPyarrowAndDuckDB(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(linesFolder, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	var expected map[string]struct {
		Columns []string
		Rows    [][]*string
	}
	if err := json.Unmarshal(text, &expected); err != nil {
		t.Fatal(err)
	}
	for name, want := range expected {
		for _, block := range []int{0, 64} {
			opts := dataset.Options{Lines: lines.Options{BlockBytes: block}}
			got, err := linesOf(t, opts, append(slices.Clone(want.Columns), format.ProblemField.Name), filepath.Join(linesFolder, name))
			if err != nil || len(got) != len(want.Rows) {
				t.Errorf("%s in blocks of %d: %d rows, %v; want %d", name, block, len(got), err, len(want.Rows))
				continue
			}
			for i, row := range got {
				problem := row[len(row)-1]
				for c, cell := range row[:len(row)-1] {
					if w := want.Rows[i][c]; problem != nil || !sameWord(cell, w) {
						t.Fatalf("%s in blocks of %d: row %d, column %q is %s (problem %s); want %s", name, block, i, want.Columns[c], shown(cell), shown(problem), shown(w))
					}
				}
			}
		}
	}
}

func shown(word *string) string {
	if word == nil {
		return "null"
	}
	return strconv.Quote(*word)
}

// sameWord says that two words are the same, or the same float64.
func sameWord(a, b *string) bool {
	if a == nil || b == nil || *a == *b {
		return a == b || a != nil && b != nil
	}
	x, errX := strconv.ParseFloat(*a, 64)
	y, errY := strconv.ParseFloat(*b, 64)
	return errX == nil && errY == nil && x == y && strings.ContainsAny(*b, ".e")
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func zstandard(t *testing.T, text string) string {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	return string(z.EncodeAll([]byte(text), nil))
}

// Several files are one table: types are those of all their rows together, and readers
// that are closed and opened again give the same.
func TestLinesOfSeveralFiles(t *testing.T) {
	dir := t.TempDir()
	paths := []string{
		write(t, filepath.Join(dir, "a", "date=2013-01-01", "1.csv"), "x,s\n1,\n2,\n"),
		write(t, filepath.Join(dir, "a", "date=2013-01-02", "2.csv.zst"), zstandard(t, "x,s\n2.5,a\n")+zstandard(t, "-3,b\n")),
		write(t, filepath.Join(dir, "a", "date=2013-01-03", "3.tsv"), "s\tx\nc\t4\n"),
		write(t, filepath.Join(dir, "a", "date=2013-01-04", "4.csv"), ""),
	}
	write(t, filepath.Join(dir, "a", "README.txt"), "hello, world\n")
	listing, err := dataset.List([]string{filepath.Join(dir, "a")})
	if err != nil || !slices.Equal(listing.Files, paths) || len(listing.Skipped) != 1 {
		t.Fatalf("List() = %+v, %v; want %v", listing, err, paths)
	}
	opts := dataset.Options{IdleFiles: 1, Partitions: dataset.Partitions{Auto: true}}
	for range 2 {
		got, err := linesOf(t, opts, []string{"x", "s", "date", format.ProblemField.Name}, paths...)
		if err != nil {
			t.Fatal(err)
		}
		text := make([]string, 0, len(got))
		for _, row := range got {
			text = append(text, fmt.Sprint(shown(row[0]), " ", shown(row[1]), " ", shown(row[2]), " ", shown(row[3])))
		}
		want := []string{`"1" null "2013-01-01" null`, `"2" null "2013-01-01" null`, `"2.5" "a" "2013-01-02" null`, `"-3" "b" "2013-01-02" null`, `"4" "c" "2013-01-03" null`}
		if diff := cmp.Diff(want, text); diff != "" {
			t.Errorf("rows (-want +got):\n%s", diff)
		}
	}
}

// In files of other formats no row has a problem.
func TestLinesBesideOtherFormats(t *testing.T) {
	dir := t.TempDir()
	ints := filepath.Join(dir, "a.parquet")
	writeInts(t, ints, 0, 2)
	text := write(t, filepath.Join(dir, "b.csv"), "x\n2\nz\n")
	opts := dataset.Options{Lines: lines.Options{Types: []lines.ColumnType{{Name: "x", Type: arrow.PrimitiveTypes.Int64}}}}
	got, err := linesOf(t, opts, []string{format.ProblemField.Name, "x"}, ints, text)
	if err != nil || len(got) != 4 {
		t.Fatalf("rows = %v, %v; want four", got, err)
	}
	for i, row := range got {
		if bad := row[0] != nil; bad != (i == 3) || bad != (row[1] == nil) {
			t.Errorf("row %d has the problem %s and the value %s", i, shown(row[0]), shown(row[1]))
		}
	}
}

func TestLinesThatAreRefused(t *testing.T) {
	dir := t.TempDir()
	packed := zstandard(t, strings.Repeat("a,b\n1,2\n", 1000))
	for _, tc := range []struct {
		name, file, text string
		opts             dataset.Options
		want             error
		says             string
	}{
		{"text without a name that says so", "x.txt", "a,b\n1,2\n", dataset.Options{}, dataset.ErrUnknownFormat, ""},
		{"compressed text without one", "x.zst", packed, dataset.Options{}, dataset.ErrUnknownFormat, "x.csv.zst"},
		{"JSON Lines without one", "x.json", "{\"a\": 1}\n", dataset.Options{}, dataset.ErrUnknownFormat, "--input-format jsonl or the name x.jsonl"},
		{"a JSON array", "x.json", "\n[{\"a\": 1}]", dataset.Options{}, dataset.ErrUnknownFormat, "jq -c '.[]'"},
		{"another format than asked for", "x.dat", "ARROW1\x00\x00", dataset.Options{Format: format.CSV}, dataset.ErrUnknownFormat, "--input-format csv"},
		{"zstd that is cut off", "x.csv.zst", packed[:len(packed)-5], dataset.Options{}, format.ErrDamaged, "cut off"},
		{"no gzip", "x.csv.gz", "a,b\n1,2\n", dataset.Options{}, format.ErrDamaged, "its name says gzip"},
		{"a name twice", "x.csv", "a,a\n1,2\n", dataset.Options{}, format.ErrUnsupported, `names column "a" twice`},
		{"a type of no column", "x.csv", "day,b\n1,2\n", dataset.Options{Lines: lines.Options{Types: []lines.ColumnType{{Name: "dya", Type: arrow.Null}}}}, lines.ErrOptions, `did you mean "day"?`},
	} {
		_, err := dataset.Open(context.Background(), []string{write(t, filepath.Join(dir, tc.name, tc.file), tc.text)}, tc.opts)
		if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.says) || !errors.Is(tc.want, lines.ErrOptions) && !errors.Is(err, dataset.ErrInput) {
			t.Errorf("%s: Open() = %v; want %v with %q", tc.name, err, tc.want, tc.says)
		}
	}
}

// A file that changes between two reads is noticed.
func TestLinesThatChange(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "x.csv"), "a\n"+strings.Repeat("1\n", 1000))
	data, err := dataset.Open(t.Context(), []string{path}, dataset.Options{Lines: lines.Options{BlockBytes: 100}})
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	if err := os.Truncate(path, 500); err != nil {
		t.Fatal(err)
	}
	last := dataset.SpanRef{Span: len(data.Spans(0)) - 1}
	if err := data.ReadSpan(t.Context(), last, []string{"a"}, func(arrow.RecordBatch) error { return nil }); !errors.Is(err, format.ErrChanged) {
		t.Errorf("ReadSpan() of a file that was cut off = %v; want ErrChanged", err)
	}
	if err := data.Changed(); !errors.Is(err, format.ErrChanged) {
		t.Errorf("Changed() = %v; want ErrChanged", err)
	}
}
