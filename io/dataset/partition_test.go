package dataset

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace/io/format"
)

// openPartitioned opens files of one column "id" at paths below the fakes' folder.
func openPartitioned(t *testing.T, f *fakes, partitions string, paths ...string) (*Dataset, error) {
	t.Helper()
	for i, path := range paths {
		paths[i] = f.add(t, path, fakeFile{fields: []arrow.Field{idField}, spans: []int64{3}})
	}
	opts := f.options()
	var err error
	if opts.Partitions, err = ParsePartitions(partitions); err != nil {
		t.Fatal(err)
	}
	d, err := Open(t.Context(), paths, opts)
	if err == nil {
		t.Cleanup(func() {
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return d, err
}

// table reads columns of all files, a row a line.
func table(t *testing.T, d *Dataset, columns ...string) string {
	t.Helper()
	var b strings.Builder
	for _, part := range d.Parts(1) {
		for _, span := range part.Spans {
			err := d.ReadSpan(t.Context(), span, columns, func(r arrow.RecordBatch) error {
				for row := range int(r.NumRows()) {
					for c, column := range r.Columns() {
						if c > 0 {
							b.WriteByte(' ')
						}
						b.WriteString(column.ValueStr(row))
					}
					b.WriteByte('\n')
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return b.String()
}

func TestTypesOfPartitions(t *testing.T) {
	for _, c := range []struct {
		sentence, partitions string
		folders              []string
		want                 string // the schema's last field
		values               string
	}{
		{"whole numbers are int64", "auto", []string{"p=1", "p=-07"}, "int64", "1 -7"},
		{"dates are dates", "auto", []string{"p=2026-11-22", "p=1969-12-31"}, "date", "2026-11-22 1969-12-31"},
		{"one that is no date makes all texts", "auto", []string{"p=2026-11-22", "p=2026-02-30"}, "string", "2026-11-22 2026-02-30"},
		{"so does a date among numbers", "auto", []string{"p=20261122", "p=2026-11-22"}, "string", "20261122 2026-11-22"},
		{"and a number that is too large", "auto", []string{"p=9223372036854775807", "p=9223372036854775808"}, "string", "9223372036854775807 9223372036854775808"},
		{"and signs that numbers have elsewhere", "auto", []string{"p=+1", "p=1_000"}, "string", "+1 1_000"},
		{"and a fraction", "auto", []string{"p=1.5"}, "string", "1.5"},
		{"null is of any type", "auto", []string{"p=1", "p=__HIVE_DEFAULT_PARTITION__"}, "int64", "1 (null)"},
		{"nulls alone are texts", "auto", []string{"p=__HIVE_DEFAULT_PARTITION__"}, "string", "(null)"},
		{"the empty text is one", "auto", []string{"p=1", "p="}, "string", "1 "},
		{"a given type wins", "p=string", []string{"p=01", "p=2"}, "string", "01 2"},
		{"a smaller one too", "p=int8", []string{"p=127", "p=-128"}, "int8", "127 -128"},
		{"and one that is never found", "p=float64", []string{"p=1.5", "p=2"}, "float64", "1.5 2"},
		{"or a bit", "p=bool", []string{"p=true", "p=false", "p=__HIVE_DEFAULT_PARTITION__"}, "bool", "true false (null)"},
		{"or a time", "p=timestamp", []string{"p=2026-11-22 08%3A15%3A00"}, "timestamp", "2026-11-22T08:15:00"},
		{"other folders are no columns then", "p=int64", []string{"q=x/p=1"}, "int64", "1"},
		{"the inner of two counts then", "p=int64", []string{"p=1/p=2"}, "int64", "2"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			f := newFakes(t)
			paths := make([]string, len(c.folders))
			for i, folder := range c.folders {
				paths[i] = filepath.Join(folder, fmt.Sprintf("%d.parquet", i))
			}
			d, err := openPartitioned(t, f, c.partitions, paths...)
			if err != nil {
				t.Fatal(err)
			}
			if got := d.Partitions().String(); got != "p="+c.want {
				t.Errorf("Partitions() = %s; want p=%s", got, c.want)
			}
			if last := d.Schema().Field(d.Schema().NumFields() - 1); last.Name != "p" || !arrow.TypeEqual(last.Type, PartitionType(c.want)) || last.Nullable != strings.Contains(c.values, "(null)") {
				t.Errorf("Schema() ends with %v; want p of %s", last, c.want)
			}
			var want strings.Builder
			for value := range strings.SplitSeq(c.values, " ") {
				want.WriteString(strings.Repeat(value+"\n", 3))
			}
			if diff := cmp.Diff(want.String(), table(t, d, "p")); diff != "" {
				t.Errorf("values (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPartitionColumnsAmongOthers(t *testing.T) {
	d, err := openPartitioned(t, newFakes(t), "auto", "region=EU/day=1/a.parquet", "day=2/region=__HIVE_DEFAULT_PARTITION__/b.parquet")
	if err != nil {
		t.Fatal(err)
	}
	want := "1 0 EU\n1 1 EU\n1 2 EU\n2 0 (null)\n2 1 (null)\n2 2 (null)\n"
	if diff := cmp.Diff(want, table(t, d, "day", "id", "region")); diff != "" {
		t.Errorf("columns in the order asked for (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff("0\n1\n2\n0\n1\n2\n", table(t, d, "id")); diff != "" {
		t.Errorf("the files' columns alone (-want +got):\n%s", diff)
	}
	if n, ok := d.NullCount("region"); n != 3 || !ok {
		t.Errorf("NullCount(region) = %d, %v; want the 3 rows of the second file", n, ok)
	}
	if v, ok := d.PartitionValue(1, "day"); !ok || v.ValueStr(0) != "2" || v.Len() != 1 {
		t.Errorf("PartitionValue(1, day) = %v, %v; want 2", v, ok)
	}
	if _, ok := d.PartitionValue(0, "id"); ok {
		t.Error("PartitionValue(0, id) is one; the file has it")
	}
	if err := d.Columns([]string{"regio"}); !errors.Is(err, ErrNoSuchColumn) || !strings.Contains(err.Error(), `"region"`) {
		t.Errorf("Columns(regio) = %v; want ErrNoSuchColumn that lists region", err)
	}
}

// A column that stands in a file too: the file's own type decides whether it can be
// meant, and the paths' values count.
func TestPartitionsThatFilesHaveToo(t *testing.T) {
	id := func(name string, is arrow.DataType) []arrow.Field {
		return []arrow.Field{{Name: name, Type: is}, idField}
	}
	for _, c := range []struct {
		sentence, partitions, folder string
		own                          arrow.DataType
		want, problem                string
	}{
		{"a number for a number", "auto", "p=7", arrow.PrimitiveTypes.Int32, "0 7", ""},
		{"a text for a text", "auto", "p=x", arrow.BinaryTypes.String, "0 x", ""},
		{"a text that looks like a number is the file's", "auto", "p=7", arrow.BinaryTypes.String, "", "--partitions p=int64 takes the folder's"},
		{"a day is no time", "auto", "p=2026-11-22", arrow.FixedWidthTypes.Timestamp_us, "", "--partitions none the file's"},
		{"what is given is taken", "p=date", "p=2026-11-22", arrow.FixedWidthTypes.Timestamp_us, "0 2026-11-22", ""},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			f := newFakes(t)
			path := f.add(t, c.folder+"/a.parquet", fakeFile{fields: id("p", c.own), spans: []int64{1}})
			opts := f.options()
			opts.Partitions, _ = ParsePartitions(c.partitions)
			d, err := Open(t.Context(), []string{path}, opts)
			if c.problem != "" {
				if !errors.Is(err, ErrPartitions) || !strings.Contains(err.Error(), c.problem) {
					t.Fatalf("Open() = %v; want ErrPartitions with %q", err, c.problem)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := table(t, d, "id", "p"); got != c.want+"\n" {
				t.Errorf("values = %q; want %q", got, c.want)
			}
			if diff := cmp.Diff([]string{"p"}, d.Shadowed()); diff != "" || d.Schema().NumFields() != 2 {
				t.Errorf("Shadowed() = %v of the columns %v; want p alone", d.Shadowed(), d.Schema())
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A column that some files have and others not is no difference where the paths give it.
func TestPartitionsThatSomeFilesHave(t *testing.T) {
	f := newFakes(t)
	a := f.add(t, "p=1/a.parquet", fakeFile{fields: []arrow.Field{{Name: "p", Type: arrow.PrimitiveTypes.Int64}, idField}, spans: []int64{1}})
	b := f.add(t, "p=2/b.parquet", fakeFile{fields: []arrow.Field{idField}, spans: []int64{1}})
	opts := f.options()
	opts.Partitions = Partitions{Auto: true}
	d, err := Open(t.Context(), []string{a, b}, opts)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("1 0\n2 0\n", table(t, d, "p", "id")); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func TestPartitionsRefused(t *testing.T) {
	for _, c := range []struct {
		sentence, partitions string
		paths                []string
		want                 []string
	}{
		{"a file without the keys of the first", "auto", []string{"d=1/r=x/a", "d=2/b", "c"}, []string{`/d=1/r=x/a" has "d", "r"`, `/d=2/b" has "d"`, `/c" has no KEY=VALUE folder`, "--partitions none"}},
		{"a file that alone has keys", "auto", []string{"a", "d=2/b"}, []string{`/a" has no KEY=VALUE folder`, `/d=2/b" has "d"`}},
		{"a key twice in a path", "auto", []string{"d=1/d=2/a"}, []string{`two folders say "d"`, "--partitions d=TYPE takes the inner one"}},
		{"a named column that a path lacks", "d=int64,r=string", []string{"d=1/r=x/a", "d=2/b"}, []string{`/d=2/b" lacks "r"`}},
		{"a value that is none of the type", "d=date", []string{"d=2026-11-22/a", "d=20261122/b"}, []string{`/d=20261122/b"`, `partition column "d": "20261122" is no date: it must be YYYY-MM-DD`}},
		{"one that is too large for it", "d=int8", []string{"d=128/a"}, []string{`"128" is no int8: value out of range`}},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			_, err := openPartitioned(t, newFakes(t), c.partitions, c.paths...)
			if !errors.Is(err, ErrInput) {
				t.Fatalf("Open() = %v; want ErrInput", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Open() = %v; want %q", err, want)
				}
			}
		})
	}
	if _, err := openPartitioned(t, newFakes(t), "none", "d=1/a", "b"); err != nil {
		t.Errorf("Open() = %v; want no error where folders make no columns", err)
	}
}

// A reader that gives fewer columns than it was asked for is damaged, and no crash.
func TestPartitionsBesideADamagedReader(t *testing.T) {
	f := newFakes(t)
	path := f.add(t, "p=1/a.parquet", fakeFile{fields: []arrow.Field{idField, nameField}, spans: []int64{1}})
	opts := f.options()
	opts.Partitions = Partitions{Auto: true}
	opts.Openers = map[format.Name]OpenFunc{format.Parquet: func(path string, read format.ReadOptions) (format.Reader, error) {
		r, err := f.openFile(path, read)
		return &columnLoser{r}, err
	}}
	d, err := Open(t.Context(), []string{path}, opts)
	if err != nil {
		t.Fatal(err)
	}
	_, err = ids(t.Context(), d, SpanRef{}, "id", "p", "name")
	if !errors.Is(err, format.ErrDamaged) {
		t.Errorf("ReadSpan() = %v; want ErrDamaged", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}
