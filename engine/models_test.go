package engine_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/batcher/feature"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/models"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// flightModels are the reference models over the flights' 32 features, as one run.
func flightModels(t *testing.T) (refs []reference, opts engine.Options) {
	t.Helper()
	for _, ref := range references(t) {
		if !strings.HasPrefix(ref.Name, "flights_") {
			continue
		}
		refs = append(refs, ref)
		opts.Models = append(opts.Models, engine.ModelOptions{Name: ref.Name, Model: "../" + ref.ONNX})
	}
	opts.Inputs, opts.IDs, opts.Nulls, opts.MaxRejects = []string{"../" + refs[0].SampleParquet}, []string{"id"}, nanPolicy, -1
	return refs, opts
}

// Several models in one pass each give their training library's own predictions, under
// their prefixes; the same bytes whatever the number of workers, and whether they read
// columns where they lie or share one tensor of them.
func TestModelsOfOnePass(t *testing.T) {
	refs, opts := flightModels(t)
	opts.PartRows = 20000
	var want []string
	for _, workers := range []int{5, 2, 1}[:rounds(3)] {
		opts.Workers, opts.Output = workers, filepath.Join(t.TempDir(), "out")
		summary := mustRun(t, opts)
		for _, ref := range refs {
			ref.Outputs = slices.Clone(ref.Outputs)
			for i, o := range ref.Outputs {
				ref.Outputs[i].ONNXOutput = ref.Name + "_" + o.ONNXOutput
			}
			compareGolden(t, &ref, opts.Output)
		}
		if summary.BytesCopied != 0 || summary.BytesViewed != summary.Rows.Read*32*4 {
			t.Errorf("%d workers: %d bytes were copied into tensors, and %d read where they lay; want those of 32 features read once for all models",
				workers, summary.BytesCopied, summary.BytesViewed)
		}
		got := sums(t, summary, opts.Output)
		if want == nil {
			want = got
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d workers: digests = %q; want %q", workers, got, want)
		}
	}
}

// Models of one run have their own features, nulls, outputs and prefixes; what they do
// not say is the run's.
func TestModelsHaveSettingsOfTheirOwn(t *testing.T) {
	dir := t.TempDir()
	in := writeSpans(t, filepath.Join(dir, "in.arrow"), nil,
		named{"id", fromJSON(t, arrow.PrimitiveTypes.Int64, "[1,2,3]")}, named{"a", fromJSON(t, arrow.PrimitiveTypes.Float32, "[1,null,3]")}, named{"b", fromJSON(t, arrow.PrimitiveTypes.Float32, "[10,20,30]")})
	model := onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N", 1))
	none := ""
	out := filepath.Join(dir, "out.arrow")
	mustRun(t, engine.Options{
		Models: []engine.ModelOptions{
			{Name: "one", Model: model, OutputPrefix: &none},
			{Name: "two", Model: model, Nulls: map[string]string{"*": "-1"}},
			{Name: "three", Model: model, Bind: map[string][]string{"x": {"b"}}},
			{Name: "four", Model: model, Nulls: map[string]string{"a": "-2", "*": "error"}},
			{Name: "five", Model: batchSum(t)}, // of another input
		},
		Bind: map[string][]string{"x": {"a"}, "a": {"b"}}, Nulls: batcher.NullPolicies{Default: batcher.ParseNullPolicy("7")},
		Inputs: []string{in}, Output: out, IDs: []string{"id"}, OutputPrefix: "p_",
	})
	want := map[string][]float64{
		"id": {1, 2, 3}, "y": {1, 7, 3}, "p_two_y": {1, -1, 3}, "p_three_y": {10, 20, 30}, "p_four_y": {1, -2, 3}, "p_five_y": {70, 80, 90},
	}
	if diff := cmp.Diff(want, readColumns(t, out, []string{"id", "y", "p_two_y", "p_three_y", "p_four_y", "p_five_y"})); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}

// A row that one model cannot be run on, or gives NaN for, is bad for all of them, and
// its reject names the model.
func TestBadRowsOfOneModel(t *testing.T) {
	dir := t.TempDir()
	data := newBadData(100)
	data.i[55], data.x[8] = 9, -1
	in := writeSpans(t, filepath.Join(dir, "in.arrow"), []int64{40}, data.columns()...)
	identity := onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N", 1))
	bind := map[string][]string{"x": {"x"}}
	opts := engine.Options{
		Models: []engine.ModelOptions{
			{Name: "good", Model: identity, Bind: bind},
			{Name: "table", Model: badModel(t, "N")},
		},
		Inputs: []string{in}, Output: filepath.Join(dir, "out.arrow"), IDs: []string{"id"}, BatchRows: 16, MaxRejects: -1, OnBadRow: engine.BadReject, RefuseNaN: true,
	}
	summary := mustRun(t, opts)
	if summary.Rows.Rejected != 2 || summary.Rows.Scored != 98 {
		t.Errorf("rows = %+v; want 2 of 100 rejected", summary.Rows)
	}
	ids := readColumns(t, opts.Output, []string{"id", "good_y"})
	for i, id := range ids["id"] {
		if id == 55 || id == 8 || ids["good_y"][i] != float64(data.x[int(id)]) {
			t.Errorf("id %v: %v; want %v, and neither 8 nor 55", id, ids["good_y"][i], data.x[int(id)])
		}
	}
	opts.OnBadRow, opts.Output = engine.BadFail, filepath.Join(dir, "none.arrow")
	if _, err := run(t, opts); !errors.Is(err, engine.ErrBadRows) || !strings.Contains(err.Error(), `row 8: prediction "table_z" is NaN`) && !strings.Contains(err.Error(), `model "table": ONNX Runtime`) {
		t.Errorf("Run() = %v; want ErrBadRows that names the model", err)
	}
}

func TestModelsThatCannotBeOneRun(t *testing.T) {
	dir := t.TempDir()
	in := writeSpans(t, filepath.Join(dir, "in.arrow"), nil, named{"x", fromJSON(t, arrow.PrimitiveTypes.Float32, "[1,2]")})
	model := onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N", 1))
	four := onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, 4, 1))
	five := onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, 5, 1))
	none := ""
	m := func(name, path string) engine.ModelOptions { return engine.ModelOptions{Name: name, Model: path} }
	tests := []struct {
		name   string
		models []engine.ModelOptions
		set    func(*engine.Options)
		want   error
		says   string
	}{
		{"a name twice", []engine.ModelOptions{m("a", model), m("a", model)}, nil, engine.ErrUsage, `two are named "a"`},
		{"a name that is none", []engine.ModelOptions{m("1/a", model)}, nil, engine.ErrUsage, "a letter first"},
		{"no path", []engine.ModelOptions{m("a", "")}, nil, engine.ErrUsage, `"a" has no model`},
		{"a model beside the list", []engine.ModelOptions{m("a", model)}, func(o *engine.Options) { o.Model = model }, engine.ErrUsage, "list each in models, with its name"},
		{"another layout", []engine.ModelOptions{{Name: "a", Model: model, OutputLayout: "wide"}}, nil, engine.ErrUsage, "output_layout (wide)"},
		{"a file that is not there", []engine.ModelOptions{m("a", model), m("b", "no.onnx")}, nil, models.ErrModel, `model "b": `},
		{"another file than pinned", []engine.ModelOptions{m("a", model), {Name: "b", Model: model, ModelSHA256: strings.Repeat("0", 64)}}, nil, models.ErrModel, `model "b": `},
		{"a column that is not there", []engine.ModelOptions{m("a", model), {Name: "b", Model: model, Bind: map[string][]string{"x": {"xx"}}}}, nil, batcher.ErrBind, `model "b": `},
		{"an input that none has", []engine.ModelOptions{m("a", model), m("b", model)}, func(o *engine.Options) { o.Bind = map[string][]string{"y": {"x"}} }, batcher.ErrBind, `names input "y", which none of the models has`},
		{"two fixed batches", []engine.ModelOptions{m("a", four), m("b", five)}, nil, batcher.ErrBind, `model "b": model does not fit the data: it fixes its batch to 5 rows`},
		{"columns of one name", []engine.ModelOptions{m("a", model), {Name: "b", Model: model, OutputPrefix: &none}, {Name: "c", Model: model, OutputPrefix: &none}}, nil, engine.ErrUsage, `two columns "y"`},
		{"an output that one does not have", []engine.ModelOptions{m("a", model), {Name: "b", Model: model, ModelOutputs: []string{"z"}}}, nil, engine.ErrUsage, `model "b": usage: --model-outputs names "z"`},
	}
	for _, test := range tests {
		opts := engine.Options{Models: test.models, Inputs: []string{in}}
		if test.set != nil {
			test.set(&opts)
		}
		plan, err := engine.NewPlan(t.Context(), opts)
		if err == nil {
			_ = plan.Close()
		}
		if !errors.Is(err, test.want) || !strings.Contains(fmt.Sprint(err), test.says) {
			t.Errorf("%s: NewPlan() = %v; want %v that says %s", test.name, err, test.want, test.says)
		}
	}
}

// A run of several models is continued, replayed and verified as one of one model is,
// and its manifest has all of them.
func TestModelsAreReplayed(t *testing.T) {
	slow(t)
	refs, opts := flightModels(t)
	opts.Output = filepath.Join(t.TempDir(), "out")
	mustRun(t, opts)
	r := replay(t, replayOf(t, opts.Output, 60))
	if len(r.Rows) != 1 || r.Equal != 1 || len(r.Rows[0].Predictions) != 6 {
		t.Errorf("%+v; want one row of 6 predictions, equal", r.Rows)
	}
	h, err := ledger.ReadHistory(opts.Output)
	if err != nil {
		t.Fatal(err)
	}
	m := h.Newest().Manifest
	if len(m.Models) != len(refs) || m.Models[1].Name != refs[1].Name || !cmp.Equal(m.Model, m.Models[0].ModelFile) || len(m.Models[0].SHA256) != 64 {
		t.Errorf("models of the manifest = %+v, first %+v; want all %d", m.Models, m.Model, len(refs))
	}
	if again := mustRun(t, opts); !again.Already {
		t.Errorf("the same run again = %+v; want it published already", again)
	}
	opts.Models[0], opts.Models[1] = opts.Models[1], opts.Models[0]
	plan, err := engine.NewPlan(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = plan.Close() }()
	if _, err := plan.Run(t.Context(), orttest.Library(t), plan.NewProgress()); !errors.Is(err, ledger.ErrExists) {
		t.Errorf("with another order of models: %v; want another run, for which the output is in the way", err)
	}
}

// Trees, a run's ids and a model that fixes its batch: the others are padded with it.
func TestModelThatFixesTheBatchOfAll(t *testing.T) {
	dir := t.TempDir()
	values := make([]string, 10)
	for i := range values {
		values[i] = strconv.Itoa(i)
	}
	in := writeSpans(t, filepath.Join(dir, "in.arrow"), []int64{3}, named{"x", fromJSON(t, arrow.PrimitiveTypes.Float32, "["+strings.Join(values, ",")+"]")})
	out := filepath.Join(dir, "out.arrow")
	summary := mustRun(t, engine.Options{
		Models: []engine.ModelOptions{
			{Name: "open", Model: onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N", 1))},
			{Name: "fixed", Model: onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, 4, 1))},
		},
		Inputs: []string{in}, Output: out,
	})
	got := readColumns(t, out, []string{"open_y", "fixed_y"})
	want := []float64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
	if summary.BatchRows != 4 || !slices.Equal(got["open_y"], want) || !slices.Equal(got["fixed_y"], want) {
		t.Errorf("batches of %d, %v; want 4, and %v twice", summary.BatchRows, got, want)
	}
}

// Features are computed once for models that take them alike.
func TestModelsShareFeatures(t *testing.T) {
	dir := t.TempDir()
	in := writeSpans(t, filepath.Join(dir, "in.arrow"), nil,
		named{"a", fromJSON(t, arrow.PrimitiveTypes.Float32, "[1,null,-3]")}, named{"b", fromJSON(t, arrow.PrimitiveTypes.Float64, "[10,20,30]")})
	fill := feature.NumberOf(7)
	matrix := onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N", 2))
	one := onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N", 1))
	out := filepath.Join(dir, "out.arrow")
	summary := mustRun(t, engine.Options{
		Models: []engine.ModelOptions{
			{Name: "m", Model: matrix}, {Name: "n", Model: matrix}, {Name: "o", Model: one, Bind: map[string][]string{"x": {"ratio"}}},
		},
		FeatureSpecs: []feature.Feature{
			{Name: "size", Column: "a", Transforms: []feature.Step{{Fill: &fill}, {Abs: &feature.Plain{}}}},
			{Name: "ratio", Columns: []string{"b", "size"}, Transforms: []feature.Step{{Ratio: &feature.Ratio{}}}},
		},
		Inputs: []string{in}, Output: out, Layout: engine.LayoutColumns,
	})
	size, ratio := []float64{1, 7, 3}, []float64{10, float64(float32(20. / 7)), 10}
	want := map[string][]float64{"m_y_0": size, "m_y_1": ratio, "n_y_0": size, "n_y_1": ratio, "o_y": ratio}
	if diff := cmp.Diff(want, readColumns(t, out, []string{"m_y_0", "m_y_1", "n_y_0", "n_y_1", "o_y"})); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
	if summary.BytesCopied != 3*(2+1)*4 {
		t.Errorf("%d bytes were copied into tensors; want those of one [3,2] and one [3,1]", summary.BytesCopied)
	}
}
