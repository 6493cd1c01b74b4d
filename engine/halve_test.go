package engine_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ort"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// choosyModel takes rows of i and s to 100/i and to whether s is "a", a list of
// two. ONNX Runtime fails for a batch with an i of 0, and for one with another s than "a" and
// "b": a model that takes neither zeros nor empty texts.
func choosyModel(t *testing.T, rows any) string {
	t.Helper()
	g := onnxtest.Graph(onnxtest.Values(onnxtest.Tensor("i", pb.TensorProto_INT64, rows), onnxtest.Tensor("s", pb.TensorProto_STRING, rows)),
		onnxtest.Values(onnxtest.Tensor("y", pb.TensorProto_INT64, rows), onnxtest.Tensor("which", pb.TensorProto_FLOAT, rows, 2)),
		onnxtest.Node("Div", onnxtest.Names("hundred", "i"), onnxtest.Names("y")),
		onnxtest.DomainNode("ai.onnx.ml", "OneHotEncoder", onnxtest.Names("s"), onnxtest.Names("which"), onnxtest.Strings("cats_strings", "a", "b"), onnxtest.Int("zeros", 0)))
	g.Initializer = append(g.Initializer, onnxtest.Int64s("hundred", []int64{1}, 100))
	return onnxtest.Write(t, onnxtest.Model(g))
}

// choosy are rows for choosyModel: "-" is a null.
func choosy(t *testing.T, i []int64, s string) []named {
	t.Helper()
	id, numbers, texts := array.NewInt64Builder(memory.DefaultAllocator), array.NewInt64Builder(memory.DefaultAllocator), array.NewStringBuilder(memory.DefaultAllocator)
	for row, v := range i {
		id.Append(int64(row))
		numbers.Append(v)
		if s[row] == '-' {
			texts.AppendNull()
		} else {
			texts.Append(s[row : row+1])
		}
	}
	return []named{{"id", id.NewArray()}, {"i", numbers.NewArray()}, {"s", texts.NewArray()}}
}

// Which rows are bad, and how a run ends, follows from the rows, whatever the batches are,
// whether the model fixes them, and who scores them.
func TestBadRowsWhateverTheBatches(t *testing.T) {
	count := func(n int, bad ...int) []int64 {
		i := make([]int64, n)
		for row := range i {
			if !slices.Contains(bad, row) {
				i[row] = int64(row + 1)
			}
		}
		return i
	}
	repeat := strings.Repeat
	for _, c := range []struct {
		why   string
		i     []int64
		s     string
		spans []int64
		nulls string
		bad   []int // rows; nil with fault
		fault bool  // of the model
	}{
		{why: "good rows", i: count(10), s: "abbaabbaab"},
		{why: "rejected nulls", i: count(10), s: "-bbaa-baa-", nulls: "reject", bad: []int{0, 5, 9}},
		{why: "a null alone in its span", i: count(7), s: "abba-ab", spans: []int64{4, 1}, nulls: "reject", bad: []int{4}},
		{why: "rejected nulls alone", i: count(5), s: "-----", nulls: "reject", bad: []int{0, 1, 2, 3, 4}},
		{why: "rejected nulls, and rows that fail", i: count(6, 0, 3, 4), s: "a-z-b-", nulls: "reject", bad: []int{0, 1, 2, 3, 4, 5}, fault: true},
		{why: "a number and a text that fail", i: count(10, 3), s: "abbaabzaab", bad: []int{3, 6}},
		{why: "the last row", i: count(10), s: "abbaabbaaz", bad: []int{9}},
		{why: "the first rows", i: count(12, 0, 1, 2, 3, 4, 5), s: repeat("a", 12), bad: []int{0, 1, 2, 3, 4, 5}},
		{why: "the first spans", i: count(12), s: repeat("z", 9) + "aba", spans: []int64{3}, bad: []int{0, 1, 2, 3, 4, 5, 6, 7, 8}},
		{why: "all rows", i: count(10), s: repeat("z", 10), fault: true},
	} {
		for _, batch := range []any{1, 3, 4, 9, 100, "1 fixed", "3 fixed", "64 fixed"} {
			opts := engine.Options{IDs: []string{"id"}, MaxRejects: -1, OnBadRow: engine.BadReject, Nulls: nullPolicies(c.nulls)}
			if c.nulls == "" {
				opts.Nulls = nullPolicies("error")
			}
			dir := t.TempDir()
			opts.Inputs = []string{writeSpans(t, filepath.Join(dir, "in.arrow"), c.spans, choosy(t, c.i, c.s)...)}
			if rows, fixed := batch.(string); fixed {
				n, _ := strconv.ParseInt(strings.Fields(rows)[0], 10, 64)
				opts.Model = choosyModel(t, n)
			} else {
				opts.Model, opts.BatchRows = choosyModel(t, "N"), batch.(int)
			}
			for _, workers := range []int{1, 3} {
				opts.Workers, opts.Output = workers, filepath.Join(dir, fmt.Sprint(workers, ".arrow"))
				what := fmt.Sprintf("%s, batches of %v, %d workers", c.why, batch, workers)
				summary, err := run(t, opts)
				if _, status := errors.AsType[*ort.StatusError](err); c.fault {
					if !status || !strings.Contains(err.Error(), "the model is taken to be at fault") {
						t.Errorf("%s: run = %v; want ONNX Runtime's error, and whose fault it is", what, err)
					}
					continue
				}
				if err != nil || summary.Rows.Rejected != int64(len(c.bad)) {
					t.Errorf("%s: run = %+v, %v; want %d rejected", what, summary, err, len(c.bad))
					continue
				}
				var ids, y, which []string
				for row := range c.i {
					if !slices.Contains(c.bad, row) {
						ids, y = append(ids, strconv.Itoa(row)), append(y, strconv.FormatInt(100/c.i[row], 10))
						which = append(which, map[byte]string{'a': "[1,0]", 'b': "[0,1]"}[c.s[row]])
					}
				}
				schema, records := readBack(t, opts.Output)
				checkColumn(t, schema, records, "id", fromJSON(t, arrow.PrimitiveTypes.Int64, "["+strings.Join(ids, ",")+"]"))
				checkColumn(t, schema, records, "y", fromJSON(t, arrow.PrimitiveTypes.Int64, "["+strings.Join(y, ",")+"]"))
				checkColumn(t, schema, records, "which", fromJSON(t, arrow.FixedSizeListOfField(2, arrow.Field{Name: "item", Type: arrow.PrimitiveTypes.Float32}), "["+strings.Join(which, ",")+"]"))
			}
		}
	}
}

// Of a stream, the rows of its first record batch tell a bad row that is alone in a
// batch from a model that takes none.
func TestBadRowsOfAStream(t *testing.T) {
	for _, c := range []struct {
		why   string
		i     []int64
		s     string
		sizes []int
		bad   int64 // below 0: the model's fault
	}{
		{"a bad row by itself", []int64{1, 2, 3, 4, 0, 6}, "ababab", []int{0, 4, 1, 1}, 1},
		{"a null by itself, that is rejected", []int64{1, 2, 3, 4, 5}, "aba-a", []int{3, 1, 1}, 1},
		{"rows that are rejected, before there are others", []int64{1, 2, 3, 4}, "--aa", []int{1, 1, 2}, 2},
		{"bad rows before there are others", []int64{0, 0, 3, 4}, "abab", []int{2, 2}, -1},
	} {
		record := recordOf(choosy(t, c.i, c.s))
		var in, out bytes.Buffer
		w := ipc.NewWriter(&in, ipc.WithSchema(record.Schema()))
		at := 0
		for _, n := range c.sizes {
			batch := record.NewSlice(int64(at), int64(at+n))
			if err := w.Write(batch); err != nil {
				t.Fatal(err)
			}
			batch.Release()
			at += n
		}
		record.Release()
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		summary, err := run(t, engine.Options{
			Model: choosyModel(t, "N"), Inputs: []string{"-"}, Output: "-", Piped: engine.Piped{In: &in, Out: &out, Rejects: engine.NoRejects},
			MaxRejects: -1, OnBadRow: engine.BadReject, Nulls: nullPolicies("reject"), Workers: 2,
		})
		switch {
		case c.bad < 0:
			if err == nil || !strings.Contains(err.Error(), "and the 2 rows tried from all over the input: the model is taken to be at fault") {
				t.Errorf("%s: run = %v; want the model to be at fault", c.why, err)
			}
		case err != nil || summary.Rows.Rejected != c.bad || summary.Rows.Scored != int64(len(c.i))-c.bad:
			t.Errorf("%s: run = %+v, %v; want %d rejected", c.why, summary, err, c.bad)
		}
	}
}
