package dataset

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/io/format"
)

var (
	idField   = arrow.Field{Name: "id", Type: arrow.PrimitiveTypes.Int64}
	nameField = arrow.Field{Name: "name", Type: arrow.BinaryTypes.String, Nullable: true}
)

func open(t *testing.T, f *fakes, paths ...string) *Dataset {
	t.Helper()
	d, err := Open(t.Context(), paths, f.options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// ids reads the first column, int64, of one span.
func ids(ctx context.Context, d *Dataset, ref SpanRef, columns ...string) ([]int64, error) {
	var got []int64
	err := d.ReadSpan(ctx, ref, columns, func(b arrow.RecordBatch) error {
		got = append(got, b.Column(0).(*array.Int64).Int64Values()...)
		return nil
	})
	return got, err
}

func TestOneTableOfManyFiles(t *testing.T) {
	f := newFakes(t)
	id := idField
	id.Metadata = arrow.NewMetadata([]string{"k"}, []string{"v"})
	nullableID := idField
	nullableID.Nullable = true
	a := f.add(t, "a", fakeFile{fields: []arrow.Field{id, nameField}, spans: []int64{3, 0, 2}})
	b := f.add(t, "b", fakeFile{fields: []arrow.Field{nameField, nullableID}, spans: []int64{4}, base: 100})
	d := open(t, f, a, b, a)

	if d.Rows() != 14 {
		t.Errorf("Rows() = %d; want 14", d.Rows())
	}
	want := arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: arrow.PrimitiveTypes.Int64, Nullable: true, Metadata: id.Metadata}, nameField,
	}, nil)
	if !d.Schema().Equal(want) {
		t.Errorf("Schema() = %v; want %v", d.Schema(), want)
	}
	infos := d.Files()
	if len(infos) != 3 || infos[1].Path != b || infos[0].Rows != 5 || infos[0].Spans != 3 || infos[0].Bytes != 40 || infos[0].Size == 0 {
		t.Errorf("Files() = %+v", infos)
	}
	// The fake says column's position as its count: 1 + 0 + 1.
	if n, ok := d.NullCount("name"); n != 2 || !ok {
		t.Errorf("NullCount(name) = %d, %v; want 2, true", n, ok)
	}
	if _, ok := d.NullCount("id"); ok {
		t.Error("NullCount(id) is known; want unknown, since one file does not say")
	}
	if _, ok := d.NullCount("gone"); ok {
		t.Error("NullCount(gone) is known")
	}
	err := d.ReadSpan(t.Context(), SpanRef{File: 1}, []string{"id", "name"}, func(b arrow.RecordBatch) error {
		if !b.Schema().Field(0).Equal(want.Field(0)) || b.ColumnName(1) != "name" {
			t.Errorf("batch schema = %v", b.Schema())
		}
		if b.Column(0).(*array.Int64).Value(0) < 100 || b.Column(1).ValueStr(0) != b.Column(0).ValueStr(0) {
			t.Errorf("batch = %v", b)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	var rows int64
	err = d.ReadSpan(t.Context(), SpanRef{File: 0}, nil, func(b arrow.RecordBatch) error {
		rows += b.NumRows()
		return nil
	})
	if err != nil || rows != 3 {
		t.Errorf("no columns: %d rows, %v; want 3", rows, err)
	}
}

func TestSchemaDifferencesAreAllListed(t *testing.T) {
	f := newFakes(t)
	intName := arrow.Field{Name: "name", Type: arrow.PrimitiveTypes.Int32}
	extra := arrow.Field{Name: "extra", Type: arrow.PrimitiveTypes.Float32}
	a := f.add(t, "a", fakeFile{fields: []arrow.Field{idField, nameField}})
	b := f.add(t, "b", fakeFile{fields: []arrow.Field{intName, extra}})
	c := f.add(t, "c", fakeFile{fields: []arrow.Field{idField}})
	_, err := Open(t.Context(), []string{a, b, c}, f.options())
	var mismatch *SchemaError
	if !errors.As(err, &mismatch) || !errors.Is(err, ErrSchema) || !errors.Is(err, ErrInput) {
		t.Fatalf("Open() = %v; want a *SchemaError", err)
	}
	want := fmt.Sprintf(`files have different schemas: compared with %[1]q:
  column "id" (int64) is missing in %[2]q
  column "name" is utf8 in the first file, and int32 in %[2]q
  column "extra" (float32) is not in the first file, and is in %[2]q
  column "name" (utf8) is missing in %[3]q`, a, b, c)
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("message (-want +got):\n%s", diff)
	}
}

// A column that one file has more often than the first does is not said to be missing there.
func TestSchemaDifferencesOfDoubledColumns(t *testing.T) {
	f := newFakes(t)
	a := f.add(t, "a", fakeFile{fields: []arrow.Field{idField, nameField, nameField}})
	b := f.add(t, "b", fakeFile{fields: []arrow.Field{idField, nameField, idField, idField}})
	_, err := Open(t.Context(), []string{a, b}, f.options())
	want := fmt.Sprintf(`files have different schemas: compared with %[1]q:
  column "id" stands once in the first file, and 3 times in %[2]q
  column "name" stands twice in the first file, and once in %[2]q`, a, b)
	if diff := cmp.Diff(want, fmt.Sprint(err)); diff != "" {
		t.Errorf("message (-want +got):\n%s", diff)
	}
}

// Files that differ alike share a line, and every difference has one.
func TestSchemaDifferencesOfManyFiles(t *testing.T) {
	f := newFakes(t)
	first := fakeFile{}
	for i := range 300 {
		first.fields = append(first.fields, arrow.Field{Name: fmt.Sprintf("c%03d", i), Type: arrow.PrimitiveTypes.Int64})
	}
	paths := make([]string, 1, 13)
	paths[0] = f.add(t, "first", first)
	for i := range 12 {
		paths = append(paths, f.add(t, fmt.Sprintf("other%02d", i), fakeFile{fields: []arrow.Field{idField}}))
	}
	_, err := Open(t.Context(), paths, f.options())
	if err == nil {
		t.Fatal("Open() = nil; want a *SchemaError")
	}
	text := err.Error()
	for i := range 300 {
		want := fmt.Sprintf("\n  column \"c%03d\" (int64) is missing in %q, %q, %q, and 9 more", i, paths[1], paths[2], paths[3])
		if strings.Count(text, want) != 1 {
			t.Fatalf("Open() = %.200s...; want %s once", text, want)
		}
	}
}

// A column that another file has in other capitals is another column, and is named beside the
// one that is missing, also where nobody reads it.
func TestDriftNamesOtherCapitals(t *testing.T) {
	f := newFakes(t)
	capitals := nameField
	capitals.Name = "NAME"
	a := f.add(t, "a", fakeFile{fields: []arrow.Field{idField, nameField}, spans: []int64{2}})
	b := f.add(t, "b", fakeFile{fields: []arrow.Field{capitals, idField}, spans: []int64{3}})
	opts := f.options()
	opts.Drift = DriftIsKept
	d, err := Open(t.Context(), []string{a, b}, opts)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("column \"name\" (utf8) is missing, and there is \"NAME\", in %q", b)
	if err := d.Differs([]string{"id", "name"}); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Differs(id, name) = %v; want %s", err, want)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// Where the caller keeps files that differ, the columns that do not are read of all of
// them, and the others are said.
func TestDriftIsKept(t *testing.T) {
	f := newFakes(t)
	extra := arrow.Field{Name: "extra", Type: arrow.PrimitiveTypes.Float32}
	nullable := idField
	nullable.Nullable = true
	a := f.add(t, "a", fakeFile{fields: []arrow.Field{idField, nameField}, spans: []int64{2}})
	b := f.add(t, "b", fakeFile{fields: []arrow.Field{extra, nullable}, spans: []int64{3}})
	opts := f.options()
	opts.Drift = DriftIsKept
	d, err := Open(t.Context(), []string{a, b}, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := d.Differs([]string{"id"}); err != nil {
		t.Errorf("Differs(id) = %v; want nil", err)
	}
	if err := d.Differs([]string{"id", "name"}); !errors.Is(err, ErrSchema) || strings.Contains(err.Error(), "extra") {
		t.Errorf("Differs(id, name) = %v; want ErrSchema, about name alone", err)
	}
	if lines := d.Drifted().Lines(); len(lines) != 2 {
		t.Errorf("Drifted() = %q; want name and extra", lines)
	}
	if f := d.Schema().Field(0); !f.Nullable {
		t.Errorf("%v is not nullable, and is in a file that differs elsewhere", f)
	}
	for file, want := range []int64{2, 3} {
		var rows int64
		err := d.ReadSpan(t.Context(), SpanRef{File: file}, []string{"id"}, func(r arrow.RecordBatch) error {
			rows += r.NumRows()
			return nil
		})
		if err != nil || rows != want {
			t.Errorf("file %d: %d rows, %v; want %d", file, rows, err, want)
		}
	}
	err = d.ReadSpan(t.Context(), SpanRef{File: 1}, []string{"name"}, func(arrow.RecordBatch) error { return nil })
	if !errors.Is(err, ErrNoSuchColumn) {
		t.Errorf("reading a column that a file has not = %v; want ErrNoSuchColumn", err)
	}
}

func TestColumnNames(t *testing.T) {
	f := newFakes(t)
	a := f.add(t, "a", fakeFile{fields: []arrow.Field{idField, nameField, nameField}, spans: []int64{1}})
	d := open(t, f, a)
	if err := d.Columns([]string{"id"}); err != nil {
		t.Errorf("Columns(id) = %v; the duplicate is not asked for", err)
	}
	err := d.Columns([]string{"name", "idd"})
	if !errors.Is(err, ErrDuplicateColumn) || !errors.Is(err, ErrNoSuchColumn) || !strings.Contains(err.Error(), `"idd"`) {
		t.Errorf("Columns(name, idd) = %v; want both problems", err)
	}
	if _, err := ids(t.Context(), d, SpanRef{}, "name"); !errors.Is(err, ErrDuplicateColumn) {
		t.Errorf("ReadSpan(name) = %v; want ErrDuplicateColumn", err)
	}
}

func TestOpenReportsEveryFile(t *testing.T) {
	f := newFakes(t)
	good := f.add(t, "good", fakeFile{fields: []arrow.Field{idField}})
	bad := f.add(t, "bad", fakeFile{openErr: fmt.Errorf("read bad: %w", format.ErrDamaged)})
	odd := f.add(t, "odd", fakeFile{openErr: fmt.Errorf("read odd: %w", format.ErrUnsupported)})
	negative := f.add(t, "negative", fakeFile{fields: []arrow.Field{idField}, spans: []int64{-1}})
	_, err := Open(t.Context(), []string{good, bad, odd, negative, f.dir + "/gone"}, f.options())
	for _, want := range []error{ErrInput, format.ErrDamaged, format.ErrUnsupported, ErrNoSuchFile} {
		if !errors.Is(err, want) {
			t.Errorf("Open() = %v; want it to wrap %v", err, want)
		}
	}
	if err == nil || !strings.Contains(err.Error(), "-1 rows") {
		t.Errorf("Open() = %v; want it to name the negative span", err)
	}
}

func TestOpenCanceled(t *testing.T) {
	f := newFakes(t)
	a := f.add(t, "a", fakeFile{fields: []arrow.Field{idField}})
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if _, err := Open(ctx, []string{a}, f.options()); !errors.Is(err, why) || errors.Is(err, ErrInput) {
		t.Errorf("Open() = %v; want the cause, and not ErrInput", err)
	}
}

func TestReadSpanErrors(t *testing.T) {
	f := newFakes(t)
	a := f.add(t, "a", fakeFile{fields: []arrow.Field{idField}, spans: []int64{3}, lose: 1})
	d := open(t, f, a)
	if _, err := ids(t.Context(), d, SpanRef{}, "id"); !errors.Is(err, format.ErrDamaged) || !errors.Is(err, ErrInput) {
		t.Errorf("a row is lost: %v; want ErrDamaged", err)
	}
	mine := errors.New("mine")
	err := d.ReadSpan(t.Context(), SpanRef{}, []string{"id"}, func(arrow.RecordBatch) error { return mine })
	if !errors.Is(err, mine) || errors.Is(err, ErrInput) {
		t.Errorf("yield's error: %v; want it as it is", err)
	}
	for _, ref := range []SpanRef{{File: 1}, {Span: 1}, {File: -1}, {Span: -1}} {
		if _, err := ids(t.Context(), d, ref, "id"); err == nil {
			t.Errorf("ReadSpan(%+v): want an error", ref)
		}
	}
	if err := errors.Join(d.Close(), d.Close()); err != nil {
		t.Errorf("Close() twice = %v", err)
	}
	if _, err := ids(t.Context(), d, SpanRef{}, "id"); !errors.Is(err, ErrClosed) {
		t.Errorf("ReadSpan() after Close() = %v; want ErrClosed", err)
	}
}

func TestChanged(t *testing.T) {
	changes := map[string]func(path string) error{
		"grew":      func(p string) error { return os.WriteFile(p, []byte("PAR1 and much more than before"), 0o666) },
		"rewritten": func(p string) error { return os.Chtimes(p, time.Time{}, time.Unix(1, 0)) },
		"removed":   os.Remove,
		"replaced": func(p string) error {
			data, err := os.ReadFile(p)
			info, serr := os.Stat(p)
			if err := errors.Join(err, serr, os.WriteFile(p+".new", data, 0o666)); err != nil {
				return err
			}
			return errors.Join(os.Chtimes(p+".new", time.Time{}, info.ModTime()), os.Rename(p+".new", p))
		},
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			f := newFakes(t)
			paths := make([]string, 0, 6)
			for i := range 6 { // more than stay open
				paths = append(paths, f.add(t, strconv.Itoa(i), fakeFile{fields: []arrow.Field{idField}, spans: []int64{1}}))
			}
			d := open(t, f, paths...)
			if err := d.Changed(); err != nil {
				t.Fatalf("Changed() = %v; want nil", err)
			}
			for _, ref := range []int{0, 5, 4} { // so that 2 is closed
				if _, err := ids(t.Context(), d, SpanRef{File: ref}, "id"); err != nil {
					t.Fatal(err)
				}
			}
			if err := change(paths[2]); err != nil {
				t.Fatal(err)
			}
			err := d.Changed()
			if !errors.Is(err, format.ErrChanged) || !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), paths[2]) {
				t.Errorf("Changed() = %v; want ErrChanged naming the file", err)
			}
			if _, err := ids(t.Context(), d, SpanRef{File: 2}, "id"); !errors.Is(err, format.ErrChanged) {
				t.Errorf("ReadSpan() = %v; want ErrChanged", err)
			}
		})
	}
}

// TestFewReadersOpen reads many files from several goroutines.
func TestFewReadersOpen(t *testing.T) {
	f := newFakes(t)
	var paths []string
	for i := range 200 {
		paths = append(paths, f.add(t, strconv.Itoa(i), fakeFile{fields: []arrow.Field{idField}, spans: []int64{3, 2}, base: int64(i) * 10}))
	}
	d := open(t, f, append(paths, paths...)...)
	const workers = 4
	group, ctx := errgroup.WithContext(t.Context())
	for w := range workers {
		group.Go(func() error {
			for i := w; i < 2*len(paths); i += workers - 1 { // overlapping
				got, err := ids(ctx, d, SpanRef{File: i, Span: 1}, "id")
				if err != nil {
					return err
				}
				if want := int64(i%len(paths))*10 + 3; len(got) != 2 || got[0] != want {
					return fmt.Errorf("file %d: %v; want %d first", i, got, want)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	// Parallel or workers in use, IdleFiles idle, and as many being evicted.
	if f.mu.most > workers+2+workers {
		t.Errorf("%d readers open at once", f.mu.most)
	}
}

func TestSameFileStaysOpen(t *testing.T) {
	f := newFakes(t)
	a := f.add(t, "a", fakeFile{fields: []arrow.Field{idField}, spans: []int64{1, 1, 1}})
	d := open(t, f, a, a, a)
	for _, part := range d.Parts(1) {
		if _, err := ids(t.Context(), d, part.Spans[0], "id"); err != nil {
			t.Fatal(err)
		}
	}
	if f.mu.opened != 1 {
		t.Errorf("file was opened %d times; want once", f.mu.opened)
	}
}

func TestParts(t *testing.T) {
	tests := []struct {
		name   string
		files  [][]int64
		target int64
		want   string // rows of spans, parts in brackets
	}{
		{"spans fill parts, the last takes what is left", [][]int64{{3, 3, 3, 1}}, 5, "[3 3][3 1]"},
		{"parts cross files", [][]int64{{3}, {3}, {3}}, 5, "[3 3][3]"},
		{"a span is never split", [][]int64{{100, 1}}, 5, "[100][1]"},
		{"spans without rows start no part", [][]int64{{0, 5, 0}, {0}}, 5, "[0 5 0 0]"},
		{"a target below one", [][]int64{{1, 1}}, 0, "[1][1]"},
		{"a large target", [][]int64{{1, 1}}, 1 << 62, "[1 1]"},
		{"no rows", [][]int64{{0}}, 5, "[0]"},
		{"no spans", [][]int64{{}, {}}, 5, "[]"},
	}
	for _, test := range tests {
		d := &Dataset{}
		for _, rows := range test.files {
			d.files = append(d.files, sourceOf(rows))
		}
		var got strings.Builder
		for _, part := range d.Parts(test.target) {
			rows := make([]int64, len(part.Spans))
			for i, ref := range part.Spans {
				rows[i] = ref.Rows
			}
			fmt.Fprint(&got, rows)
		}
		if got.String() != test.want {
			t.Errorf("%s: Parts(%d) = %s; want %s", test.name, test.target, got.String(), test.want)
		}
	}
}

func sourceOf(rows []int64) *source {
	src := &source{}
	for _, n := range rows {
		src.spans = append(src.spans, format.Span{Rows: n})
	}
	return src
}

func TestPartsHoldEverySpanOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		files := rapid.SliceOfN(rapid.SliceOfN(rapid.Int64Range(0, 20), 0, 6), 1, 6).Draw(t, "files")
		target := rapid.Int64Range(1, 50).Draw(t, "target")
		d := &Dataset{}
		var want []SpanRef
		for i, rows := range files {
			d.files = append(d.files, sourceOf(rows))
			var first int64
			for s, n := range rows {
				want = append(want, SpanRef{File: i, Span: s, Rows: n, FirstRow: first})
				first += n
			}
		}
		var got []SpanRef
		parts := d.Parts(target)
		for i, part := range parts {
			got = append(got, part.Spans...)
			var rows int64
			for _, ref := range part.Spans {
				rows += ref.Rows
			}
			if part.Index != i || part.Rows != rows || (rows < target && i < len(parts)-1) || (rows == 0 && len(parts) > 1) {
				t.Fatalf("part %d of %d, target %d: %+v", i, len(parts), target, part)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("spans (-want +got):\n%s", diff)
		}
	})
}

// TestEqualSchemasAreKeptOnce: files share a schema from when they are looked at, but for the
// first, whose metadata is the dataset's.
func TestEqualSchemasAreKeptOnce(t *testing.T) {
	f := newFakes(t)
	opts := f.options()
	opts.EnsureDefaults()
	d := &Dataset{pool: newPool(opts)}
	d.pool.lines = newLines(t.Context(), &opts)
	for i := range 4 {
		src := &source{path: f.add(t, fmt.Sprint(i, ".parquet"), fakeFile{fields: []arrow.Field{idField, nameField}, spans: []int64{1}}), first: i == 0}
		d.unique = append(d.unique, src)
		if err := d.pool.load(t.Context(), src); err != nil {
			t.Fatal(err)
		}
	}
	if all := d.unique; all[0].shape == all[1].shape || all[1].shape != all[2].shape || all[2].shape != all[3].shape {
		t.Error("the second to the fourth file do not share a schema, or the first has theirs")
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}
