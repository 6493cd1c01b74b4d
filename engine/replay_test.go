package engine_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// replayOf are the options of a replay of rows with an id.
func replayOf(t *testing.T, output string, id int) engine.ReplayOptions {
	t.Helper()
	return engine.ReplayOptions{
		Output: output, Where: []engine.Condition{{Column: "id", Value: strconv.Itoa(id)}}, Limit: 10,
		Load: func(ort.Provider) (*ort.Library, error) { return orttest.Library(t), nil },
	}
}

func replay(t *testing.T, opts engine.ReplayOptions) *engine.Replay {
	t.Helper()
	r, err := opts.Replay(t.Context())
	if err != nil {
		t.Fatalf("Replay(%v) = %v", opts.Where, err)
	}
	return r
}

// batchSum is a model whose prediction is the row's value plus the sum over its
// batch: y tells in which batch a row was scored.
func batchSum(t *testing.T) string {
	t.Helper()
	g := onnxtest.Graph(
		onnxtest.Values(onnxtest.Tensor("a", pb.TensorProto_FLOAT, "N", 1)),
		onnxtest.Values(onnxtest.Tensor("y", pb.TensorProto_FLOAT, "N", 1)),
		onnxtest.Node("ReduceSum", onnxtest.Names("a", "axes"), onnxtest.Names("sum")),
		onnxtest.Node("Add", onnxtest.Names("a", "sum"), onnxtest.Names("y")))
	g.Initializer = []*pb.TensorProto{onnxtest.Int64s("axes", []int64{1}, 0)}
	return onnxtest.Write(t, onnxtest.Model(g))
}

// powers writes a file of ids from first on and powers of two as values, so
// that sums of different rows differ.
func powers(t *testing.T, path string, first, rows int, spans ...int64) {
	t.Helper()
	ids, values := make([]string, rows), make([]string, rows)
	for i := range rows {
		ids[i], values[i] = strconv.Itoa(first+i), strconv.Itoa(1<<(i%20))
	}
	writeSpans(t, path, spans,
		named{"id", fromJSON(t, arrow.PrimitiveTypes.Int64, "["+strings.Join(ids, ",")+"]")},
		named{"a", fromJSON(t, arrow.PrimitiveTypes.Float32, "["+strings.Join(values, ",")+"]")})
}

// Every row of parts, short spans and long ones, two files and both kinds of
// output is found in its input and scored in the batch that it was in.
func TestReplayScoresTheBatchThatARowWasIn(t *testing.T) {
	slow(t)
	dir := t.TempDir()
	powers(t, filepath.Join(dir, "1.arrow"), 0, 31, 7, 3, 12, 2, 2)
	powers(t, filepath.Join(dir, "2.arrow"), 31, 20, 1, 2, 9)
	model := batchSum(t)
	for _, output := range []string{"out", "out.parquet", "out.arrow"} {
		out := filepath.Join(dir, output)
		mustRun(t, engine.Options{
			Model: model, Inputs: []string{filepath.Join(dir, "1.arrow"), filepath.Join(dir, "2.arrow")}, Output: out,
			IDs: []string{"id"}, BatchRows: 4, PartRows: 11, Workers: 2,
		})
		for id := range 51 {
			r := replay(t, replayOf(t, out, id))
			want := engine.ReplayedRow{Input: filepath.Join(dir, "1.arrow"), InputRow: int64(id)}
			if id >= 31 {
				want = engine.ReplayedRow{Input: filepath.Join(dir, "2.arrow"), InputRow: int64(id - 31)}
			}
			if len(r.Rows) != 1 || r.Equal != 1 || r.Err() != nil {
				t.Fatalf("%s, id %d: %+v; want one row, equal", output, id, r)
			}
			if got := r.Rows[0]; got.Input != want.Input || got.InputRow != want.InputRow {
				t.Errorf("%s, id %d is row %d of %s; want row %d of %s", output, id, got.InputRow, got.Input, want.InputRow, want.Input)
			}
		}
	}
}

// With rejected rows between them, rows are still found in their input, also where
// a file is read twice and the run was given relative paths; and the rejected ones
// are said to be.
func TestReplayPassesOverRejectedRows(t *testing.T) {
	slow(t)
	dir := t.TempDir()
	t.Chdir(dir)
	const rows = 40
	ids, values := make([]string, rows), make([]string, rows)
	for i := range rows {
		ids[i], values[i] = strconv.Itoa(i), strconv.Itoa(i)
		if i%3 == 1 || i%7 == 0 {
			values[i] = "null"
		}
	}
	model := onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N", 1))
	for i, test := range []struct {
		spans    []int64
		partRows int64
	}{
		{[]int64{6, 2, 9}, 9},
		{[]int64{6, 2, 9}, 1000}, // both readings of the file are one part
		{nil, 1000},              // and the file is one span
	} {
		out := fmt.Sprintf("out-%d", i)
		writeSpans(t, "in.arrow", test.spans,
			named{"id", fromJSON(t, arrow.PrimitiveTypes.Int64, "["+strings.Join(ids, ",")+"]")},
			named{"a", fromJSON(t, arrow.PrimitiveTypes.Float32, "["+strings.Join(values, ",")+"]")})
		mustRun(t, engine.Options{
			Model: model, Bind: map[string][]string{"x": {"a"}},
			Inputs: []string{"in.arrow", "./in.arrow"}, Output: out, IDs: []string{"id"}, BatchRows: 4, PartRows: test.partRows, MaxRejects: -1,
			Nulls: batcher.NullPolicies{Default: batcher.NullPolicy{Action: batcher.NullReject}},
		})
		for id := range rows {
			r := replay(t, replayOf(t, out, id))
			if values[id] == "null" {
				if len(r.Rows) != 0 || len(r.Rejected) != 2 || r.Rejected[0].Row != int64(id) || r.Rejected[1].Column != "a" {
					t.Errorf("%s, id %d: %+v; want it rejected twice, as row %d", out, id, r, id)
				}
				continue
			}
			if len(r.Rows) != 2 || r.Equal != 2 || len(r.Rejected) != 0 {
				t.Fatalf("%s, id %d: %+v; want two equal rows", out, id, r)
			}
			for _, row := range r.Rows {
				if row.InputRow != int64(id) || row.Predictions[0].Again != strconv.Itoa(id) {
					t.Errorf("%s, id %d: row %d, again %s", out, id, row.InputRow, row.Predictions[0].Again)
				}
			}
		}
	}
}

// A manifest that lists spans tells which inputs a row's batch needs: the others
// may be gone.
func TestReplayNeedsTheInputsOfTheBatchAlone(t *testing.T) {
	dir := t.TempDir()
	inputs := make([]string, 4)
	for i := range inputs {
		inputs[i] = filepath.Join(dir, fmt.Sprintf("%d.arrow", i))
		powers(t, inputs[i], 10*i, 10, 3)
	}
	out := filepath.Join(dir, "out.parquet") // one part, of all inputs
	mustRun(t, engine.Options{Model: batchSum(t), Inputs: inputs, Output: out, IDs: []string{"id"}, BatchRows: 8})
	listSpans(t, out)
	want := replay(t, replayOf(t, out, 22)).Rows[0]
	for i, kept := range [][]int{{1, 2}, {1, 2, 3}} { // its batch has rows of the file before
		for at, name := range inputs {
			if !slices.Contains(kept, at) {
				rename(t, name, name+".gone")
			}
		}
		r := replay(t, replayOf(t, out, 22))
		if diff := cmp.Diff(want, r.Rows[0]); r.Equal != 1 || diff != "" {
			t.Errorf("%d: %d equal; with all inputs, and with %v (-all +some):\n%s", i, r.Equal, kept, diff)
		}
		for at, name := range inputs {
			if !slices.Contains(kept, at) {
				rename(t, name+".gone", name)
			}
		}
	}
	rename(t, inputs[2], inputs[2]+".gone")
	if _, err := replayOf(t, out, 22).Replay(t.Context()); !errors.Is(err, format.ErrChanged) || !strings.Contains(err.Error(), "2.arrow") {
		t.Errorf("Replay() without the row's own input = %v; want ErrChanged that names it", err)
	}
	if r := replay(t, replayOf(t, out, 2)); r.Equal != 1 {
		t.Errorf("a row of the first input: %+v; want it equal", r)
	}
}

// listSpans has the newest manifest of a single file list the spans of inputs.
func listSpans(t *testing.T, out string) {
	t.Helper()
	editManifest(t, out, func(m *ledger.Manifest) {
		for i := range m.Inputs {
			data, err := dataset.Open(t.Context(), []string{m.Inputs[i].Path}, dataset.Options{})
			if err != nil {
				t.Fatal(err)
			}
			m.Inputs[i].Spans = nil
			for _, span := range data.Spans(0) {
				m.Inputs[i].Spans = append(m.Inputs[i].Spans, ledger.Rows{Read: span.Rows, Scored: span.Rows})
			}
			if err := data.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// editManifest changes the newest manifest of a single file.
func editManifest(t *testing.T, out string, change func(m *ledger.Manifest)) {
	t.Helper()
	h, err := ledger.ReadHistory(out)
	if err != nil {
		t.Fatal(err)
	}
	m := h.Newest().Manifest
	change(m)
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(filepath.Dir(out), "_"+filepath.Base(out)+".millrace", m.Run, "manifest.json"), data)
}

// A run on devices can be replayed where there are none.
func TestReplayOnTheCPU(t *testing.T) {
	out := filepath.Join(published(t), "out.arrow")
	editManifest(t, out, func(m *ledger.Manifest) {
		m.Settings["provider"], m.Settings["devices"], m.Settings["streams"], m.Settings["tf32"] = "cuda", []int{0}, 4, true
	})
	opts := replayOf(t, out, 3)
	opts.Provider = ort.CPU
	r := replay(t, opts)
	if r.Equal != 1 || !strings.Contains(strings.Join(r.Notes, "\n"), "was scored on cuda, and is on cpu now") {
		t.Errorf("%+v; want an equal row, and a note of the provider", r)
	}
}

func TestReplayOfReferenceModels(t *testing.T) {
	slow(t)
	for _, ref := range references(t) {
		out := filepath.Join(t.TempDir(), "out")
		mustRun(t, engine.Options{
			Model: "../" + ref.ONNX, Inputs: []string{"../" + ref.SampleParquet}, Output: out, IDs: []string{"id"}, Nulls: policies(ref), MaxRejects: -1, PartRows: 20000,
		})
		ids := readColumns(t, out, []string{"id"})["id"]
		for _, at := range []int{0, len(ids) / 2, len(ids) - 1} {
			r := replay(t, replayOf(t, out, int(ids[at])))
			if len(r.Rows) == 0 || r.Equal != len(r.Rows) || len(r.Rows[0].Predictions) == 0 {
				t.Errorf("%s, id %v: %+v; want rows, equal", ref.Name, ids[at], r)
			}
		}
	}
}

// published makes an Arrow output of five rows, which tests then change.
func published(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	powers(t, filepath.Join(dir, "in.arrow"), 0, 5)
	data, err := os.ReadFile(onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N", 1)))
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "m.onnx"), data)
	mustRun(t, engine.Options{
		Model: filepath.Join(dir, "m.onnx"), Bind: map[string][]string{"x": {"a"}}, Inputs: []string{filepath.Join(dir, "in.arrow")},
		Output: filepath.Join(dir, "out.arrow"), IDs: []string{"id"}, Kernels: engine.KernelsONNXRuntime,
	})
	return dir
}

func TestReplayTellsDifferences(t *testing.T) {
	dir := published(t)
	out := filepath.Join(dir, "out.arrow")
	original := readColumns(t, out, []string{"y"})["y"]
	writeSpans(t, out, nil,
		named{"id", fromJSON(t, arrow.PrimitiveTypes.Int64, "[0,1,2,3,4]")},
		named{"y", fromJSON(t, arrow.PrimitiveTypes.Float32, "[1,2.00001,4.5,8,16]")})
	tests := []struct {
		id        int
		tolerance float64
		want      engine.Outcome
	}{
		{0, 0, engine.OutcomeEqual},
		{1, 1e-5, engine.OutcomeWithin},
		{1, 0, engine.OutcomeDifferent},
		{2, 1e-5, engine.OutcomeDifferent},
		{2, 0.2, engine.OutcomeWithin}, // of the published 4.5
	}
	for _, test := range tests {
		opts := replayOf(t, out, test.id)
		opts.Tolerance = test.tolerance
		r := replay(t, opts)
		got := r.Rows[0].Predictions[0]
		if got.Outcome != test.want || errors.Is(r.Err(), engine.ErrReplayDiffers) != (test.want == engine.OutcomeDifferent) {
			t.Errorf("id %d, tolerance %g: %+v, Err() = %v; want %s", test.id, test.tolerance, got, r.Err(), test.want)
		}
		if want := fmt.Sprint(original[test.id]); got.Again != want {
			t.Errorf("id %d: again %s; want %s", test.id, got.Again, want)
		}
	}
	opts := replayOf(t, out, 0)
	opts.Where = []engine.Condition{{Column: "y", Value: "4.5"}}
	r := replay(t, opts)
	if p := r.Rows[0].Predictions[0]; p.Recorded != "4.5" || p.Difference == nil || *p.Difference != 0.5 {
		t.Errorf("y=4.5: %+v; want 4.5 with a difference of 0.5", p)
	}
}

func TestReplayLimit(t *testing.T) {
	out := filepath.Join(published(t), "out.arrow")
	writeSpans(t, out, nil,
		named{"id", fromJSON(t, arrow.PrimitiveTypes.Int64, "[0,1,2,3,4]")},
		named{"y", fromJSON(t, arrow.PrimitiveTypes.Float32, "[7,7,7,7,7]")})
	opts := replayOf(t, out, 0)
	opts.Where = []engine.Condition{{Column: "y", Value: "7"}}
	for limit, more := range map[int]bool{3: true, 5: false} {
		opts.Limit = limit
		if r := replay(t, opts); len(r.Rows) != limit || r.More != more {
			t.Errorf("limit %d: %d rows, more %v; want %d and %v", limit, len(r.Rows), r.More, limit, more)
		}
	}
	opts.Where = append(opts.Where, engine.Condition{Column: "id", Value: "3"}, engine.Condition{Column: "id", Value: "3"})
	if r := replay(t, opts); len(r.Rows) != 1 || r.Rows[0].InputRow != 3 {
		t.Errorf("y=7 and id=3: %+v; want row 3", r.Rows)
	}
}

func TestReplayWithAModelThatMoved(t *testing.T) {
	dir := published(t)
	rename(t, filepath.Join(dir, "m.onnx"), filepath.Join(dir, "moved.onnx"))
	opts := replayOf(t, filepath.Join(dir, "out.arrow"), 3)
	opts.Model = filepath.Join(dir, "moved.onnx")
	r := replay(t, opts)
	if diff := cmp.Diff([]engine.ColumnValue{{Column: "id", Value: "3"}}, r.Rows[0].Columns); r.Equal != 1 || diff != "" {
		t.Errorf("%+v; want one equal row; columns (-want +got):\n%s", r, diff)
	}
}
