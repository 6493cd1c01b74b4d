package arrowfile

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/io/format"
)

// rowsOf renders each row of an array as text, the same as rows in
// testdata/expect.py. It looks at the values through arrow-go's own methods,
// as consumers do.
func rowsOf(a arrow.Array) []string {
	out := make([]string, a.Len())
	switch a := a.(type) {
	case array.ExtensionArray:
		return rowsOf(a.Storage())
	case *array.Null:
		for i := range out {
			out[i] = "n"
		}
		return out
	case *array.RunEndEncoded:
		values := rowsOf(a.Values())
		for i := range out {
			out[i] = values[a.GetPhysicalIndex(i)]
		}
		return out
	case array.Union:
		children := make([][]string, a.NumFields())
		for i := range children {
			children[i] = rowsOf(a.Field(i))
		}
		for i := range out {
			at := i
			if dense, ok := a.(*array.DenseUnion); ok {
				at = int(dense.ValueOffset(i))
			}
			out[i] = fmt.Sprintf("%d:%s", a.TypeCode(i), children[a.ChildID(i)][at])
		}
		return out
	}
	text := textOf(a)
	for i := range out {
		out[i] = "n"
		if a.IsValid(i) {
			out[i] = text(i)
		}
	}
	return out
}

// textOf renders a row that is not null.
func textOf(a arrow.Array) func(i int) string {
	switch a := a.(type) {
	case *array.Dictionary:
		values := rowsOf(a.Dictionary())
		return func(i int) string { return values[a.GetValueIndex(i)] }
	case *array.Boolean:
		return func(i int) string { return map[bool]string{true: "t", false: "f"}[a.Value(i)] }
	case interface{ Value(i int) string }:
		return func(i int) string { return hex.EncodeToString([]byte(a.Value(i))) + "." }
	case *array.FixedSizeBinary: // as a number is: without the point
		return func(i int) string { return hex.EncodeToString(a.Value(i)) }
	case interface{ Value(i int) []byte }:
		return func(i int) string { return hex.EncodeToString(a.Value(i)) + "." }
	case *array.Map:
		keys, items := rowsOf(a.Keys()), rowsOf(a.Items())
		pairs := make([]string, len(keys))
		for i := range pairs {
			pairs[i] = "{" + keys[i] + ";" + items[i] + "}"
		}
		return spans(a, pairs)
	case array.ListLike:
		return spans(a, rowsOf(a.ListValues()))
	case *array.Struct:
		children := make([][]string, a.NumField())
		for i := range children {
			children[i] = rowsOf(a.Field(i))
		}
		return func(i int) string {
			row := make([]string, len(children))
			for c := range row {
				row[c] = children[c][i]
			}
			return "{" + strings.Join(row, ";") + "}"
		}
	default:
		width := a.DataType().(arrow.FixedWidthDataType).Bytes()
		data := a.Data().Buffers()[1].Bytes()[a.Data().Offset()*width:]
		return func(i int) string { return hex.EncodeToString(data[i*width : (i+1)*width]) }
	}
}

func spans(a array.ListLike, values []string) func(i int) string {
	return func(i int) string {
		start, end := a.ValueOffsets(i)
		return "[" + strings.Join(values[start:end], ",") + "]"
	}
}

// expected is what pyarrow says about a file: the lines of expect.py.
func expected(t *testing.T, tsv string) map[string][][]string {
	t.Helper()
	f, err := os.Open(tsv)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	files := make(map[string][][]string)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, rest, _ := strings.Cut(lines.Text(), "\t")
		files[name] = append(files[name], strings.Split(rest, "\t"))
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return files
}

// compare reads a file and says where it differs from what pyarrow read.
func compare(t *testing.T, r format.Reader, want [][]string) {
	t.Helper()
	if len(want[0]) < 6 { // no columns
		want = [][]string{want[0]}
	} else if n := r.Schema().NumFields(); n != len(want) {
		t.Errorf("%d columns; pyarrow has %d", n, len(want))
		return
	}
	var rows int64
	nulls, digests := make([]int, len(want)), make([]hash.Hash, len(want))
	for i := range digests {
		digests[i] = sha256.New()
	}
	readAll(t, r, func(b arrow.RecordBatch) {
		rows += b.NumRows()
		for i, c := range b.Columns() {
			nulls[i] += c.NullN()
			for _, text := range rowsOf(c) {
				digests[i].Write([]byte(text + "\n"))
			}
			if err := array.ValidateFull(c); err != nil {
				t.Errorf("column %d: arrow-go's own validation: %v", i, err)
			}
		}
	})
	for i, line := range want {
		got := []string{strconv.Itoa(len(r.Spans())), strconv.FormatInt(rows, 10)}
		if len(line) > 2 {
			got = append(got, strconv.Itoa(i), r.Schema().Field(i).Name, strconv.Itoa(nulls[i]), hex.EncodeToString(digests[i].Sum(nil)))
			line = append([]string(nil), line...)
			if err := json.Unmarshal([]byte(line[3]), &line[3]); err != nil {
				t.Fatal(err)
			}
			if n, ok := r.NullCount(i); ok && n != int64(nulls[i]) {
				t.Errorf("NullCount(%d) = %d; want %d", i, n, nulls[i])
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(line) {
			t.Errorf("column %d, %s: batches, rows, index, name, nulls, digest = %q; pyarrow has %q", i, r.Schema(), got, line)
		}
	}
}

// Files that pyarrow wrote read the same as pyarrow reads them.
func TestExpected(t *testing.T) {
	files := expected(t, "testdata/pyarrow.tsv")
	for name := range seeds(t) {
		t.Run(name, func(t *testing.T) {
			want, ok := files[name]
			if !ok {
				t.Fatal("testdata/pyarrow.tsv does not have it")
			}
			compare(t, mustOpen(t, filepath.Join("testdata/pyarrow", name), format.ReadOptions{Allocator: checkedAllocator(t), ChunkRows: 5}), want)
		})
	}
}
