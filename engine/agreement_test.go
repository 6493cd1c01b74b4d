package engine_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/agreement"
	"github.com/millrace/millrace/engine/ort/orttest"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// challenged is a run of the flights' boosted trees beside the neural network and the
// linear model.
func challenged(t *testing.T) engine.Options {
	t.Helper()
	opts := engine.Options{
		Inputs: []string{"../testdata/flights-sample.parquet"}, IDs: []string{"id"}, Nulls: nanPolicy, MaxRejects: -1, PartRows: 10000,
		Output: filepath.Join(t.TempDir(), "out"),
	}
	for _, name := range []string{"gbdt", "mlp", "linear"} {
		opts.Models = append(opts.Models, engine.ModelOptions{Name: name, Model: "../models/reference/flights_" + name + ".onnx"})
	}
	return opts
}

// How far models agree is what scipy says of their training libraries' own predictions.
func TestAgreementOfReferenceModels(t *testing.T) {
	slow(t)
	text, err := os.ReadFile("agreement/testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Flights map[string]struct {
			Mean            float64   `json:"mean"`
			MeanAbsolute    float64   `json:"mean_absolute"`
			Max             float64   `json:"max"`
			Quantiles       []float64 `json:"quantiles"`
			Correlation     float64   `json:"correlation"`
			RankCorrelation float64   `json:"rank_correlation"`
			PSI             float64   `json:"psi"`
		} `json:"flights"`
	}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	summary := mustRun(t, challenged(t))
	if len(summary.Agreement) != 2 || len(summary.NotCompared) != 0 {
		t.Fatalf("%d predictions compared, and not %q; want 2 and none", len(summary.Agreement), summary.NotCompared)
	}
	for i, name := range []string{"mlp", "linear"} {
		s, want := summary.Agreement[i], golden.Flights[name]
		if s.Pair != (agreement.Pair{Model: name, Challenger: name + "_variable", Champion: "gbdt_variable", Kind: agreement.Number}) || s.Rows != summary.Rows.Scored {
			t.Errorf("%s: %+v, %d rows; want it beside gbdt's, %d rows", name, s.Pair, s.Rows, summary.Rows.Scored)
		}
		d := s.Difference
		for what, pair := range map[string][2]float64{
			"mean": {d.Mean, want.Mean}, "mean size": {d.MeanAbsolute, want.MeanAbsolute}, "largest": {d.Max, want.Max}, "correlation": {*s.Correlation, want.Correlation},
		} {
			if math.Abs(pair[0]-pair[1]) > 1e-4*max(1, math.Abs(pair[1])) {
				t.Errorf("%s: %s = %v; want %v", name, what, pair[0], pair[1])
			}
		}
		// These are of a sample: within 4 standard errors, and of psi as much.
		r := want.RankCorrelation
		if math.Abs(*s.RankCorrelation-r) > 4*(1-r*r)*math.Sqrt(1+r*r/2)/181 || math.Abs(*s.PSI-want.PSI) > 4*0.0005 {
			t.Errorf("%s: rank correlation %v, psi %v; want about %v and %v", name, *s.RankCorrelation, *s.PSI, r, want.PSI)
		}
		for k, q := range d.Quantiles {
			if math.Abs(q.Value-want.Quantiles[k]) > math.Abs(want.Quantiles[k])/128+1e-4 {
				t.Errorf("%s: quantile %v = %v; want %v", name, q.Q, q.Value, want.Quantiles[k])
			}
		}
	}
}

// The summary is the same to the last bit whatever the number of workers, and where the
// run was stopped and continued.
func TestAgreementIsTheSameHoweverItRuns(t *testing.T) {
	slow(t)
	lib := orttest.Library(t)
	var want []agreement.Summary
	for _, run := range []struct {
		name    string
		workers int
		output  string
		stop    func(*engine.Options)
	}{
		{"one worker", 1, "out", nil},
		{"two", 2, "out", nil},
		{"five", 5, "out.parquet", nil},
		{"stopped and continued", 2, "out", func(o *engine.Options) { halfDone(t, lib, *o) }},
		{"stopped and continued into one file", 5, "out.arrow", func(o *engine.Options) { halfDone(t, lib, *o) }},
		{"a part scored apart", 2, "out", func(o *engine.Options) {
			killedIn(t, lib, *o, 2, 4)
			o.ScoreApart = apart(t, lib, *o)
		}},
	} {
		opts := challenged(t)
		opts.Workers, opts.Output = run.workers, filepath.Join(filepath.Dir(opts.Output), run.output)
		if run.stop != nil {
			run.stop(&opts)
		}
		summary := mustRun(t, opts)
		if run.stop != nil && summary.RowsTaken == 0 {
			t.Errorf("%s: nothing was taken from the start before", run.name)
		}
		if want == nil {
			want = summary.Agreement
		}
		if diff := cmp.Diff(want, summary.Agreement); diff != "" {
			t.Errorf("%s (-one worker +this):\n%s", run.name, diff)
		}
		opts.Restart = false
		if again := mustRun(t, opts); !again.Already || cmp.Diff(want, again.Agreement) != "" {
			t.Errorf("%s: the same run again = %+v; want the summary that is published", run.name, again.Agreement)
		}
	}
}

// Beyond a limit nothing is published, the numbers are said, and what is scored is kept:
// the same run with another limit scores nothing again.
func TestAgreementLimits(t *testing.T) {
	slow(t)
	x := func(v float64) *float64 { return &v }
	tests := []struct {
		name   string
		beyond engine.AgreementLimits
		within engine.AgreementLimits
		says   string
	}{
		{"mean difference", engine.AgreementLimits{MaxMeanDifference: x(0.5)}, engine.AgreementLimits{MaxMeanDifference: x(100)}, "mlp_variable beside gbdt_variable: max_mean_difference is 0.5, and it is "},
		{"difference", engine.AgreementLimits{MaxDifference: x(1)}, engine.AgreementLimits{MaxDifference: x(1e4)}, "max_difference is 1, and it is "},
		{"rank correlation", engine.AgreementLimits{MinRankCorrelation: x(0.999)}, engine.AgreementLimits{MinRankCorrelation: x(0.1)}, "linear_variable beside gbdt_variable: min_rank_correlation is 0.999, and it is 0."},
		{"psi", engine.AgreementLimits{MaxPSI: x(0.0001)}, engine.AgreementLimits{MaxPSI: x(10)}, "max_psi is 0.0001, and it is "},
	}
	for i, test := range tests {
		opts := challenged(t)
		opts.AgreementLimits = test.beyond
		if i == 1 {
			opts.Output += ".parquet"
		}
		if _, err := run(t, opts); !errors.Is(err, engine.ErrDisagree) || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), "with other limits publishes it") {
			t.Errorf("%s: Run() = %v; want ErrDisagree that says %q", test.name, err, test.says)
		}
		opts.AgreementLimits = test.within
		summary := mustRun(t, opts)
		if summary.RowsTaken != summary.Rows.Read || summary.Already {
			t.Errorf("%s: with a limit that holds, %d of %d rows were taken; want all", test.name, summary.RowsTaken, summary.Rows.Read)
		}
		opts.AgreementLimits = test.beyond
		plan, err := engine.NewPlan(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := plan.Run(t.Context(), orttest.Library(t), plan.NewProgress()); !errors.Is(err, engine.ErrDisagree) || !strings.Contains(err.Error(), "was published by an equal run") {
			t.Errorf("%s: with the limit again = %v; want ErrDisagree", test.name, err)
		}
		_ = plan.Close()
	}
}

// labelled gives a label, from a table by its input, beside scores of two classes.
func labelled(t *testing.T, labels ...int64) string {
	t.Helper()
	g := onnxtest.Graph(
		onnxtest.Values(onnxtest.Tensor("i", pb.TensorProto_INT64, "N")),
		onnxtest.Values(onnxtest.Tensor("label", pb.TensorProto_INT64, "N"), onnxtest.Tensor("half", pb.TensorProto_FLOAT, "N", 1), onnxtest.Tensor("pair", pb.TensorProto_FLOAT, "N", 2)),
		onnxtest.Node("Gather", onnxtest.Names("table", "i"), onnxtest.Names("label")),
		onnxtest.Node("Gather", onnxtest.Names("halves", "i"), onnxtest.Names("half")),
		onnxtest.Node("Concat", onnxtest.Names("half", "half"), onnxtest.Names("pair"), onnxtest.Int("axis", 1)))
	halves := make([]float32, len(labels))
	for i, l := range labels {
		halves[i] = float32(l) / 2
		if l == 9 {
			halves[i] = float32(math.NaN())
		}
	}
	g.Initializer = append(g.Initializer, onnxtest.Int64s("table", []int64{int64(len(labels))}, labels...), onnxtest.Floats32("halves", []int64{int64(len(labels)), 1}, halves...))
	return onnxtest.Write(t, onnxtest.Model(g))
}

// Labels are equal or not; a row that is rejected does not count; a number that only one
// model has is none that a limit lets pass.
func TestAgreementOfLabels(t *testing.T) {
	dir := t.TempDir()
	in := writeSpans(t, filepath.Join(dir, "in.arrow"), nil, named{"i", fromJSON(t, arrow.PrimitiveTypes.Int64, "[0,1,2,3,4,5,null,1]")})
	opts := engine.Options{
		Models: []engine.ModelOptions{{Name: "a", Model: labelled(t, 0, 2, 4, 6, 9, 3)}, {Name: "b", Model: labelled(t, 0, 2, 5, 6, 9, 9)}},
		Inputs: []string{in}, Output: filepath.Join(dir, "out.arrow"), MaxRejects: -1, OnBadRow: engine.BadNull, BatchRows: 3,
	}
	summary := mustRun(t, opts)
	label, half := summary.Agreement[0], summary.Agreement[1]
	if label.Kind != agreement.Label || label.Rows != 7 || label.Equal != 5 {
		t.Errorf("labels: %+v; want 5 of 7 equal", label)
	}
	if half.Rows != 7 || half.Equal != 5 || half.NotFinite != 1 || half.Difference.Max != 0.5 || half.Difference.MaxRow != 2 || half.Difference.MaxFile != in {
		t.Errorf("numbers: %+v %+v; want 5 of 7 equal, one not finite, and 0.5 in row 2", half, half.Difference)
	}
	if diff := cmp.Diff([]string{}, summary.NotCompared, cmp.Transformer("none", func(s []string) string { return fmt.Sprint(s) })); diff != "" {
		t.Errorf("not compared (-want +got):\n%s", diff)
	}
	x := func(v float64) *float64 { return &v }
	for says, limits := range map[string]engine.AgreementLimits{
		"min_equal_labels is 0.75, and it is 0.714286": {MinEqualLabels: x(0.75)},
		"max_difference is 7, and it is not a number, as in 1 rows a prediction is NaN or infinite and the other model's is another": {MaxDifference: x(7)},
	} {
		opts.AgreementLimits, opts.Output = limits, filepath.Join(t.TempDir(), "out.arrow")
		if _, err := run(t, opts); !errors.Is(err, engine.ErrDisagree) || !strings.Contains(err.Error(), says) {
			t.Errorf("Run() = %v; want ErrDisagree that says %s", err, says)
		}
	}
}

// Of filtered rows, too, the row of the largest difference is that of the file.
func TestAgreementOfFilteredRows(t *testing.T) {
	dir := t.TempDir()
	in := writeSpans(t, filepath.Join(dir, "in.arrow"), nil, named{"i", fromJSON(t, arrow.PrimitiveTypes.Int64, "[0,1,2,3,4,5,2,1]")})
	summary := mustRun(t, engine.Options{
		Models: []engine.ModelOptions{{Name: "a", Model: labelled(t, 0, 2, 4, 6, 8, 3)}, {Name: "b", Model: labelled(t, 20, 2, 5, 7, 8, 7)}},
		Inputs: []string{in}, Output: filepath.Join(dir, "out.arrow"), Where: "i > 1",
	})
	if half := summary.Agreement[1]; half.Rows != 5 || half.Equal != 1 || half.Difference.Max != 2 || half.Difference.MaxRow != 5 {
		t.Errorf("%+v %+v; want 1 of 5 equal, and 2 in row 5", half, half.Difference)
	}
}

// Where no row is scored nothing differs, and every limit holds; of one row a correlation
// cannot be said, and is beyond any limit.
func TestAgreementOfNoRows(t *testing.T) {
	dir := t.TempDir()
	in := writeSpans(t, filepath.Join(dir, "in.arrow"), nil, named{"i", fromJSON(t, arrow.PrimitiveTypes.Int64, "[0,1,2]")})
	none := writeSpans(t, filepath.Join(dir, "none.arrow"), nil, named{"i", fromJSON(t, arrow.PrimitiveTypes.Int64, "[]")})
	x := func(v float64) *float64 { return &v }
	opts := engine.Options{
		Models:          []engine.ModelOptions{{Name: "a", Model: labelled(t, 0, 2, 4)}, {Name: "b", Model: labelled(t, 0, 2, 4)}},
		AgreementLimits: engine.AgreementLimits{MaxMeanDifference: x(0), MaxDifference: x(0), MinRankCorrelation: x(0.9), MaxPSI: x(0), MinEqualLabels: x(1)},
	}
	for i, c := range []struct {
		input, where string
		rows         int64 // that are scored
		says         string
	}{{in, "i > 5", 0, ""}, {none, "", 0, ""}, {in, "i > 1", 1, "min_rank_correlation is 0.9, and it is not a number"}, {in, "", 3, ""}} {
		opts.Inputs, opts.Where, opts.Output = []string{c.input}, c.where, filepath.Join(dir, fmt.Sprint("out", i, ".arrow"))
		if c.says == "" {
			if summary := mustRun(t, opts); summary.Rows.Scored != c.rows {
				t.Errorf("%s where %q: %+v; want %d scored", c.input, c.where, summary.Rows, c.rows)
			}
		} else if _, err := run(t, opts); !errors.Is(err, engine.ErrDisagree) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s where %q: Run() = %v; want ErrDisagree that says %q", c.input, c.where, err, c.says)
		}
	}
}

// Which prediction is compared with which: those of one kind and name, then the only
// ones of a kind, or what a model's compare says.
func TestWhatIsCompared(t *testing.T) {
	dir := t.TempDir()
	in := writeSpans(t, filepath.Join(dir, "in.arrow"), nil, named{"i", fromJSON(t, arrow.PrimitiveTypes.Int64, "[0,1]")}, named{"x", fromJSON(t, arrow.PrimitiveTypes.Float32, "[0,1]")})
	numbers := labelled(t, 0, 1)
	identity := onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N", 1))
	rankLimit := func(o *engine.Options) { o.AgreementLimits.MinRankCorrelation = new(float64) }
	tests := []struct {
		name    string
		models  []engine.ModelOptions
		set     func(*engine.Options)
		want    []string
		left    []string
		fails   error
		message string
	}{
		{"by name", []engine.ModelOptions{{Name: "a", Model: numbers}, {Name: "b", Model: numbers}}, nil, []string{"b_label beside a_label", "b_half beside a_half"}, nil, nil, ""},
		{"the only number of both", []engine.ModelOptions{{Name: "a", Model: numbers}, {Name: "b", Model: identity}}, nil, []string{"b_y beside a_half"}, nil, nil, ""},
		{"each with the first", []engine.ModelOptions{{Name: "a", Model: identity}, {Name: "b", Model: identity}, {Name: "c", Model: numbers}}, nil, []string{"b_y beside a_y", "c_half beside a_y"}, []string{"c_label"}, nil, ""},
		{"as asked", []engine.ModelOptions{{Name: "a", Model: numbers}, {Name: "b", Model: numbers, Compare: map[string]string{"half": "half"}}}, nil, []string{"b_half beside a_half"}, []string{"b_label"}, nil, ""},
		{
			"asked for what is not there",
			[]engine.ModelOptions{{Name: "a", Model: numbers}, {Name: "b", Model: numbers, Compare: map[string]string{"halv": "half"}}},
			nil, nil, nil, engine.ErrUsage, `model "b": usage: compare names "halv", which is no number, score of a class or label of the model (did you mean "half"?)`,
		},
		{
			"a label beside a number",
			[]engine.ModelOptions{{Name: "a", Model: numbers}, {Name: "b", Model: numbers, Compare: map[string]string{"half": "label"}}},
			nil, nil, nil, engine.ErrUsage, `"half" is a number and "label" of the first model a label`,
		},
		{
			"a limit with nothing to compare",
			[]engine.ModelOptions{{Name: "a", Model: numbers}, {Name: "b", Model: numbers, ModelOutputs: []string{"label"}}},
			rankLimit, nil, nil, engine.ErrUsage, `limit min_rank_correlation: no number that model "b" gives can be compared with one of "a"`,
		},
		{"a limit of one model", []engine.ModelOptions{{Name: "a", Model: numbers}}, rankLimit, nil, nil, engine.ErrUsage, "the run has one"},
		{
			"a limit that is none",
			[]engine.ModelOptions{{Name: "a", Model: numbers}, {Name: "b", Model: numbers}},
			func(o *engine.Options) { nan := math.NaN(); o.AgreementLimits.MaxPSI = &nan }, nil, nil, engine.ErrUsage, "max_psi (NaN) must be a number of 0 or more",
		},
	}
	for _, test := range tests {
		opts := engine.Options{Models: test.models, Inputs: []string{in}}
		if test.set != nil {
			test.set(&opts)
		}
		plan, err := engine.NewPlan(t.Context(), opts)
		if test.fails != nil {
			if !errors.Is(err, test.fails) || !strings.Contains(fmt.Sprint(err), test.message) {
				t.Errorf("%s: NewPlan() = %v; want %v that says %s", test.name, err, test.fails, test.message)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: NewPlan() = %v", test.name, err)
			continue
		}
		var got []string
		e := plan.Explain()
		for _, p := range e.Compared {
			got = append(got, p.Challenger+" beside "+p.Champion)
		}
		if cmp.Diff(test.want, got) != "" || cmp.Diff(test.left, e.NotCompared) != "" {
			t.Errorf("%s: compared %q, and not %q; want %q and %q", test.name, got, e.NotCompared, test.want, test.left)
		}
		_ = plan.Close()
	}
}
