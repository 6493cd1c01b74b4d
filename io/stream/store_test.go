package stream

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/io/arrowfile"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/spool"
)

// numbers is a stream of record batches of the given sizes, of numbers from 0 on.
func numbers(t *testing.T, end bool, sizes ...int) []byte {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int64}}, nil)
	var out bytes.Buffer
	w, err := arrowfile.StartStream(&out, schema, format.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n := int64(0)
	for _, size := range sizes {
		b := array.NewInt64Builder(memory.DefaultAllocator)
		for range size {
			b.Append(n)
			n++
		}
		a := b.NewArray()
		record := array.NewRecordBatch(schema, []arrow.Array{a}, int64(size))
		err = errors.Join(err, w.Write(record), w.Flush())
		record.Release()
		a.Release()
		b.Release()
	}
	finish := w.Drop
	if end {
		finish = w.End
	}
	if err := errors.Join(err, finish()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// open opens a dataset of a stream.
func open(t *testing.T, in io.Reader) (*dataset.Dataset, error) {
	t.Helper()
	stores := map[string]dataset.Store{Name: NewStore(in, spool.Options{Dir: t.TempDir()})}
	data, err := dataset.Open(t.Context(), []string{Name}, dataset.Options{Stores: stores})
	if err == nil {
		t.Cleanup(func() {
			if err := data.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return data, err
}

// A stream is a file of its rows, whose version follows from the rows and not from how
// they came.
func TestStreamIsAFile(t *testing.T) {
	versions := map[string]bool{}
	for _, sizes := range [][]int{{1000}, {1, 0, 999}, {500, 500}} {
		data, err := open(t, bytes.NewReader(numbers(t, true, sizes...)))
		if err != nil {
			t.Fatal(err)
		}
		f := data.Files()[0]
		if f.Path != Name || f.Rows != 1000 || f.Version == "" {
			t.Errorf("sizes %v: file %+v; want %q of 1000 rows, with a version", sizes, f, Name)
		}
		versions[f.Version] = true
		want := int64(0)
		for range 2 { // it can be read again
			want = 0
			for _, part := range data.Parts(1) {
				for _, span := range part.Spans {
					err := data.ReadSpan(t.Context(), span, []string{"n"}, func(r arrow.RecordBatch) error {
						for _, n := range r.Column(0).(*array.Int64).Int64Values() {
							if n != want {
								t.Fatalf("row %d = %d", want, n)
							}
							want++
						}
						return nil
					})
					if err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		if want != 1000 {
			t.Errorf("sizes %v: %d rows were read; want 1000", sizes, want)
		}
	}
	if len(versions) != 1 {
		t.Errorf("versions of the same rows: %v; want one", versions)
	}
	other, err := open(t, bytes.NewReader(numbers(t, true, 999)))
	if err != nil {
		t.Fatal(err)
	}
	if versions[other.Files()[0].Version] {
		t.Error("other rows have the same version")
	}
}

// What is no whole stream is no input, and names itself.
func TestStreamRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		data []byte
		want error
	}{
		{"a stream without its end mark", numbers(t, false, 10), arrowfile.ErrNoEnd},
		{"no stream", []byte("id,n\n1,2\n"), format.ErrDamaged},
		{"nothing", nil, format.ErrDamaged},
	} {
		if _, err := open(t, bytes.NewReader(c.data)); !errors.Is(err, c.want) || !errors.Is(err, dataset.ErrInput) || !strings.Contains(err.Error(), "standard input") {
			t.Errorf("%s: %v; want %v of standard input", c.name, err, c.want)
		}
	}
	store := NewStore(bytes.NewReader(numbers(t, true, 10)), spool.Options{Dir: "/nowhere"})
	if _, err := store.Open(t.Context(), Name); !errors.Is(err, spool.ErrSpool) {
		t.Errorf("no folder for the spool: %v; want ErrSpool", err)
	}
}

// A context that ends interrupts a read that waits.
func TestStreamInterrupted(t *testing.T) {
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer out.Close()
	if _, err := out.Write(numbers(t, false, 10)); err != nil {
		t.Fatal(err)
	}
	why := errors.New("asked to stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	go cancel(why)
	if _, err := NewStore(in, spool.Options{Dir: t.TempDir()}).Open(ctx, Name); !errors.Is(err, why) {
		t.Errorf("%v; want %v", err, why)
	}
}
