package engine_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// TestPoliciesOfNames: a policy for a name by which no model takes anything is refused, and
// the message names what is meant; one for what a list leaves out for now is not.
func TestPoliciesOfNames(t *testing.T) {
	dir := t.TempDir()
	input := writeParquet(t, filepath.Join(dir, "in.parquet"), 20, featureRows(20)...)
	model := onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N", 1))
	const (
		another = `[{"name": "z", "column": "delay", "transforms": [{"abs": {}}]}]`
		through = `[{"name": "h", "column": "delay", "transforms": [{"abs": {}}], "hidden": true}, {"name": "z", "column": "h", "transforms": [{"abs": {}}]}]`
		bare    = `[{"name": "z", "column": "delay"}]`
		two     = `[{"name": "z", "column": "delay"}, {"name": "y", "column": "id"}]`
	)
	for _, c := range []struct {
		name, specs, column string
		features            []string
		nulls, finite       string // what is said of them; empty where it is nothing
	}{
		{"a feature", another, "z", nil, "", ""},
		{"the column of a feature of another name", another, "delay", nil, `--nulls names column "delay", which no model takes as it is: the models take "z", made of it; give the feature a transform that fills (fill)`, `--finite names column "delay", which no model takes as it is: the models take "z", made of it; name the feature`},
		{"a hidden feature", through, "h", nil, `--nulls names feature "h", which is hidden: the models take "z"`, `--finite names feature "h", which is hidden: the models take "z"`},
		{"the column of a hidden feature", through, "delay", nil, `--nulls names column "delay", which no model takes as it is: the models take "z"`, `--finite names column "delay"`},
		{"a column that nothing reads", another, "id", nil, `--nulls names column "id", which no model takes as it is: nothing is made of it that a model takes`, `--finite names column "id"`},
		{"a kept column without features", `[]`, "id", []string{"delay"}, `--nulls names column "id"`, `--finite names column "id"`},
		{"a feature that is a column, by its own name", bare, "z", nil, "", ""},
		{"a feature that is a column, by the column's", bare, "delay", nil, "", ""},
		{"a column that is an input and goes into a feature, too", another, "delay", []string{"delay"}, "", ""},
		{"a feature that the list leaves out", two, "y", []string{"z"}, "", ""},
	} {
		base := engine.Options{Model: model, Inputs: []string{input}, Output: filepath.Join(dir, "out"), Keep: []string{"id"}, FeatureSpecs: specsOf(t, c.specs), Features: c.features}
		base.Nulls.Default = batcher.NullPolicy{Action: batcher.NullNaN}
		nulls, finite := base, base
		nulls.Nulls.ByColumn = map[string]batcher.NullPolicy{c.column: {Action: batcher.NullFill, Value: "7"}}
		finite.Finite.Columns = []string{c.column}
		for _, one := range []struct {
			opts engine.Options
			want string
		}{{nulls, c.nulls}, {finite, c.finite}} {
			plan, err := engine.NewPlan(t.Context(), one.opts)
			if err == nil {
				err = plan.Close()
			}
			if (one.want != "") != errors.Is(err, batcher.ErrBind) || err != nil && !strings.Contains(err.Error(), one.want) {
				t.Errorf("%s: NewPlan() = %v; want %q", c.name, err, one.want)
			}
		}
	}
	one := engine.Options{
		Inputs: []string{input}, Output: filepath.Join(dir, "out"), Nulls: batcher.NullPolicies{ByColumn: map[string]batcher.NullPolicy{"delay": {Action: batcher.NullNaN}}},
		Models: []engine.ModelOptions{{Name: "a", Model: model, Features: []string{"delay"}}, {Name: "b", Model: model, Features: []string{"id"}}}, Lossy: batcher.AllowLossy,
	}
	plan, err := engine.NewPlan(t.Context(), one)
	if err == nil {
		err = plan.Close()
	}
	if err != nil {
		t.Errorf("a column that one of two models takes: NewPlan() = %v; want no error", err)
	}
}
