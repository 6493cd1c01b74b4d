package parquetfile

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/io/format"
)

// pieceOf is a file of rows first to first+n of two columns, a number and, if text is
// set, a text with nulls.
func pieceOf(t *testing.T, first, n int, text bool) []byte {
	t.Helper()
	numbers, words := "[", "["
	for i := first; i < first+n; i++ {
		if i > first {
			numbers, words = numbers+",", words+","
		}
		numbers += strconv.Itoa(i)
		if i%7 == 3 {
			words += "null"
		} else {
			words += fmt.Sprintf(`"word %d"`, i%31)
		}
	}
	fields := []arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int64}}
	columns := []arrow.Array{fromJSON(t, memory.DefaultAllocator, fields[0].Type, numbers+"]")}
	if text {
		fields = append(fields, arrow.Field{Name: "s", Type: arrow.BinaryTypes.String, Nullable: true})
		columns = append(columns, fromJSON(t, memory.DefaultAllocator, fields[1].Type, words+"]"))
	}
	batch := array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, int64(n))
	defer batch.Release()
	defer release(columns)
	var out bytes.Buffer
	w, err := NewWriter(&out, batch.Schema(), format.WriteOptions{RowGroupRows: 2000})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Write(batch), w.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func joined(t *testing.T, pieces ...[]byte) ([]byte, error) {
	t.Helper()
	var out bytes.Buffer
	j, err := NewJoiner(&out)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pieces {
		if _, err := j.Add(bytes.NewReader(p), int64(len(p))); err != nil {
			return nil, fmt.Errorf("%w; Close() = %w", err, j.Close())
		}
	}
	err = j.Close()
	return out.Bytes(), err
}

// TestJoin joins files of numbers, which this package encodes, and of text, which the
// library does; pyarrow reads the rows of all, in order.
func TestJoin(t *testing.T) {
	const script = `
import sys, pyarrow.parquet as pq
f = pq.ParquetFile(sys.argv[1])
t = f.read()
m = f.metadata
print(f.num_row_groups, t.num_rows, t["n"].to_pylist() == list(range(t.num_rows)),
      all(m.row_group(i).num_rows > 0 for i in range(m.num_row_groups)),
      [None if i % 7 == 3 else "word %d" % (i % 31) for i in range(t.num_rows)] == t["s"].to_pylist() if "s" in t.column_names else "-",
      sum(m.row_group(i).column(0).statistics.min for i in range(m.num_row_groups)),
      all(m.row_group(i).column(c).path_in_schema == name for i in range(m.num_row_groups) for c, name in enumerate(t.column_names)))
`
	python := pythonWithPyarrow(t)
	for _, text := range []bool{false, true} {
		data, err := joined(t, pieceOf(t, 0, 1000, text), pieceOf(t, 1000, 1, text), pieceOf(t, 1001, 4000, text))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "joined.parquet")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Open(path, format.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var rows int64
		for span := range r.Spans() {
			columns := []int{0, 1}[:r.Schema().NumFields()]
			err := r.ReadSpan(t.Context(), span, columns, func(b arrow.RecordBatch) error {
				rows += b.NumRows()
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
		if err := r.Close(); err != nil || rows != 5001 {
			t.Errorf("%d rows read, %v; want 5001", rows, err)
		}
		got, err := exec.CommandContext(t.Context(), python, "-c", script, path).CombinedOutput()
		want := "4 5001 True True - 5002 True\n" // row groups begin at 0, 1000, 1001, 3001
		if text {
			want = "4 5001 True True True 5002 True\n"
		}
		if err != nil || string(got) != want {
			t.Errorf("pyarrow says %q, %v; want %q", got, err, want)
		}
	}
}

func TestJoinRefuses(t *testing.T) {
	good := pieceOf(t, 0, 10, false)
	if _, err := joined(t); err == nil {
		t.Error("no file: want an error")
	}
	if _, err := joined(t, good, pieceOf(t, 0, 10, true)); err == nil {
		t.Error("files of different schemas: want an error")
	}
	if _, err := joined(t, good, good[:len(good)-1]); err == nil {
		t.Error("half a file: want an error")
	}
}
