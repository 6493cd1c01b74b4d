package dataset_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace/io/arrowfile"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/dataset/datasettest"
	"github.com/millrace/millrace/io/format"
)

// testStore is a store of the scheme box, with files that have a column x.
func testStore(t *testing.T) (*datasettest.Folder, dataset.Options) {
	t.Helper()
	store := &datasettest.Folder{Dir: t.TempDir(), Versions: map[string]string{}}
	t.Cleanup(func() {
		if store.Opened.Load() != 0 || store.Lent.Load() != 0 {
			t.Errorf("%d objects left open, %d local files kept", store.Opened.Load(), store.Lent.Load())
		}
	})
	return store, dataset.Options{Stores: map[string]dataset.Store{"box": store}}
}

// writeInts makes a file of a column x of ascending numbers, in spans.
func writeInts(t *testing.T, path string, from int64, spans ...int64) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	schema := arrow.NewSchema([]arrow.Field{{Name: "x", Type: arrow.PrimitiveTypes.Int64}}, nil)
	w, err := arrowfile.NewWriter(f, schema, format.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range spans {
		b := array.NewInt64Builder(memory.DefaultAllocator)
		for i := range n {
			b.Append(from + i)
		}
		from += n
		column := b.NewArray()
		batch := array.NewRecordBatch(schema, []arrow.Array{column}, n)
		if err := w.Write(batch); err != nil {
			t.Fatal(err)
		}
		column.Release()
		batch.Release()
	}
	if err := errors.Join(w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// Objects of a store are files of a dataset, under their URIs: partition columns too.
func TestStoredInput(t *testing.T) {
	store, opts := testStore(t)
	for i, day := range []string{"1", "2"} {
		writeInts(t, store.Dir+"/flights/day="+day+"/a.arrow", int64(10*i), 3, 2)
		store.Versions["box://flights/day="+day+"/a.arrow"] = "v" + day
	}
	opts.Partitions = dataset.Partitions{Auto: true}
	l, err := dataset.ListIn(t.Context(), []string{"box://flights/day=*/*.arrow"}, opts.Stores)
	want := []string{"box://flights/day=1/a.arrow", "box://flights/day=2/a.arrow"}
	if err != nil || !slices.Equal(l.Files, want) {
		t.Fatalf("ListIn() = %q, %v; want %q", l.Files, err, want)
	}
	d, err := dataset.Open(t.Context(), l.Files, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for i, info := range d.Files() {
		if info.Path != want[i] || info.Version != fmt.Sprintf("v%d", i+1) || info.Format != format.ArrowFile || info.Rows != 5 || info.Size == 0 {
			t.Errorf("file %d is %+v", i, info)
		}
	}
	var rows []string
	for _, s := range d.Parts(1 << 20)[0].Spans {
		err := d.ReadSpan(t.Context(), s, []string{"x", "day"}, func(b arrow.RecordBatch) error {
			for i := range int(b.NumRows()) {
				rows = append(rows, b.Column(0).ValueStr(i)+"/"+b.Column(1).ValueStr(i))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"0/1", "1/1", "2/1", "3/1", "4/1", "10/2", "11/2", "12/2", "13/2", "14/2"}, rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	data, err := d.OpenBytes(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	bytes, err := io.ReadAll(data)
	if err = errors.Join(err, data.Close()); err != nil || string(bytes[:6]) != "ARROW1" {
		t.Errorf("OpenBytes() gives %q, %v", bytes, err)
	}
	if err := d.Changed(); err != nil {
		t.Errorf("Changed() = %v", err)
	}
	store.Versions["box://flights/day=2/a.arrow"] = "v3"
	if err := d.Changed(); !errors.Is(err, format.ErrChanged) || !errors.Is(err, dataset.ErrInput) || !strings.Contains(err.Error(), "day=2") {
		t.Errorf("Changed() after a change = %v; want ErrChanged and ErrInput that name it", err)
	}
}

func TestStoredInputErrors(t *testing.T) {
	store, opts := testStore(t)
	for name, bytes := range map[string]string{"text": "some text", "broken.parquet": "PAR1 and no more", "broken.arrow": "ARROW1 and no more"} {
		if err := os.WriteFile(filepath.Join(store.Dir, name), []byte(bytes), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, input string
		is          error
		says        string
	}{
		{"no object", "box://none.parquet", dataset.ErrNoMatch, "box"},
		{"a scheme that no store has", "boy://user:secret@none", dataset.ErrScheme, `"boy://": URI scheme is not supported; give a path or a URI of file, box (did you mean "box"?)`},
		{"a file of another machine", "file://user:secret@none/x", dataset.ErrScheme, `"file://": URI scheme is not supported for another machine; give a path or file:///path`},
		{"an object of no format is named by its URI", "box://text", dataset.ErrUnknownFormat, `"box://text"`},
		{"a damaged Parquet object is named by its URI", "box://broken.parquet", format.ErrDamaged, "box://broken.parquet"},
		{"a damaged Arrow object is named by its URI", "box://broken.arrow", format.ErrDamaged, "box://broken.arrow"},
	} {
		l, err := dataset.ListIn(t.Context(), []string{c.input}, opts.Stores)
		if err == nil {
			_, err = dataset.Open(t.Context(), l.Files, opts)
		}
		if !errors.Is(err, c.is) || !errors.Is(err, dataset.ErrInput) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), store.Dir) {
			t.Errorf("%s: %v; want %v that says %q", c.name, err, c.is, c.says)
		}
	}
}

func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		"data/a@b:c.parquet":                   "data/a@b:c.parquet",
		"-":                                    "-",
		"s3://bucket/key":                      "s3://bucket/key",
		"s3://bucket/key?region=eu&endpoint=x": "s3://bucket/key?region=eu&endpoint=x",
		"pg://me:secret@host:5432/db":          "pg://me:xxxxx@host:5432/db",
		"pg://me:se/cr@et@host/db":             "pg://me:xxxxx@host/db",
		"postgres:/me:secret@host/db?table=t":  "postgres:xxxxx",
		"pg://me@host/db?password=secret&a=b":  "pg://me@host/db?password=xxxxx&a=b",
		"https://host/x?X-Amz-Signature=0f":    "https://host/x?X-Amz-Signature=xxxxx",
		// Settings of a session, as libpq's options have them.
		"postgres://h/d?options=-c%20search_path%3Dshop&table=t":                        "postgres://h/d?options=-c%20search_path%3Dshop&table=t",
		"postgres://h/d?options=-c%20x.token%3Dsecret":                                  "postgres://h/d?options=-c%20x.token%3Dxxxxx",
		"postgres://h/d?options=-cx.token=secret%20--app.jwt=secret":                    "postgres://h/d?options=-cx.token%3Dxxxxx%20--app.jwt%3Dxxxxx",
		`postgres://h/d?options=-c%20work_mem=1MB%20-c%20my_auth=se\%20cret%20-c%20a=b`: "postgres://h/d?options=-c%20work_mem%3D1MB%20-c%20my_auth%3Dxxxxx%20-c%20a%3Db",
		"postgres://h/d?%6fptions=-c%20x.y%3Dsecret":                                    "postgres://h/d?%6fptions=-c%20x.y%3Dxxxxx",
		"postgres://h/d?options=secret":                                                 "postgres://h/d?options=xxxxx",
		"postgres://h/d?options=-c%20x.y%20%3D%20secret":                                "postgres://h/d?options=xxxxx",
		"postgres://h/d?options=-c+x.y%3Dsecret":                                        "postgres://h/d?options=-c%2Bx.y%3Dxxxxx",
		"postgres://h/d?options=-c%20a%zz=secret":                                       "postgres://h/d?options=xxxxx",
		"postgres://h/d?options=-c%20x.t=secret&query=SELECT a?options=b":               "postgres://h/d?options=-c%20x.t%3Dxxxxx&query=SELECT a?options=b",
		"postgres://h/d?x.token=secret&y.z=secret":                                      "postgres://h/d?x.token=xxxxx&y.z=xxxxx",
	} {
		if got := dataset.Redact(in); got != want {
			t.Errorf("Redact(%q) = %q; want %q", in, got, want)
		}
	}
}

// What a reader knows of sizes is known of objects that are read by a local file, too.
func TestValueBytesOfObjects(t *testing.T) {
	store, opts := testStore(t)
	all, err := os.ReadFile("../arrowfile/testdata/pyarrow/all.arrow")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(store.Dir, "all.arrow"), all, 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := dataset.Open(t.Context(), []string{"box://all.arrow"}, opts)
	if err != nil {
		t.Fatal(err)
	}
	if got := d.ValueBytes("s"); got != 22 {
		t.Errorf("ValueBytes of texts = %d; want 22, as of a file", got)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}
