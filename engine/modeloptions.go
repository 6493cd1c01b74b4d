package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"unicode/utf8"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/models"
)

// ModelOptions are one of several models of a run, in a job file's list of models. What
// it leaves out is as the run's own settings of the same names say.
type ModelOptions struct {
	Name         string              `json:"name"` // in columns, rejects and the summary
	Model        string              `json:"model,omitempty"`
	ModelSHA256  string              `json:"model_sha256,omitempty"`
	Features     []string            `json:"features,omitempty"` // by default the model's metadata, else the run's
	Bind         map[string][]string `json:"bind,omitempty"`     // by default the run's, for inputs that the model has
	Nulls        map[string]string   `json:"nulls,omitempty"`    // by column, and under * for all others
	ModelOutputs []string            `json:"model_outputs,omitempty"`
	OutputPrefix *string             `json:"output_prefix,omitempty"` // by default the run's, the model's name and _
	OutputLayout Layout              `json:"output_layout,omitempty"`
	// Compare is which prediction of the first model each of this one is compared with,
	// both without prefix; by default outputs of the same kind.
	Compare map[string]string `json:"compare,omitempty"`
}

// allNulls is the key of ModelOptions.Nulls that stands for all other columns.
const allNulls = "*"

// mostModels bounds the models of a run; every worker has tensors for each.
const mostModels = 64

// modelName is what a model may be called: a part of column names, and of flags.
var modelName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,63}$`)

// modelDigest is a SHA-256 in hex.
var modelDigest = regexp.MustCompile(`^[0-9A-Fa-f]{64}$`)

// plannedModel is one of a plan's models and what of the plan is its own.
type plannedModel struct {
	*models.Model // as it will run: after rewrites

	name    string // empty where the run has one model
	sha256  string // that pins it
	path    string
	bind    batcher.Options
	outputs []string
	prefix  string
	layout  Layout
	compare map[string]string

	inputs   []int // which of the plan's bindings its inputs are
	from, to int   // its outputs among the plan's
}

// planned are the run's models, of which none is open.
func (o *Options) planned() []plannedModel {
	own := plannedModel{
		path: o.Model, sha256: o.ModelSHA256, outputs: o.ModelOutputs, prefix: o.OutputPrefix, layout: o.Layout,
		bind: batcher.Options{Features: o.Features, Columns: o.Bind, Nulls: o.Nulls, Lossy: o.Lossy, Finite: o.Finite},
	}
	if len(o.Models) == 0 {
		return []plannedModel{own}
	}
	all := make([]plannedModel, len(o.Models))
	for i := range o.Models {
		all[i] = own.with(&o.Models[i])
	}
	return all
}

// with are the settings of a run with those of one of its models.
func (m plannedModel) with(o *ModelOptions) plannedModel {
	m.name, m.path, m.sha256, m.compare = o.Name, o.Model, o.ModelSHA256, o.Compare
	m.prefix += o.Name + "_"
	if o.OutputPrefix != nil {
		m.prefix = *o.OutputPrefix
	}
	m.layout = cmp.Or(o.OutputLayout, m.layout)
	if len(o.ModelOutputs) > 0 {
		m.outputs = o.ModelOutputs
	}
	// The run's own list is for models that have none.
	m.bind.Metadata = m.bind.Features
	m.bind.Features = o.Features
	if len(o.Bind) > 0 {
		m.bind.Columns = o.Bind
	}
	if len(o.Nulls) > 0 {
		nulls := batcher.NullPolicies{Default: m.bind.Nulls.Default, ByColumn: maps.Clone(m.bind.Nulls.ByColumn)}
		if nulls.ByColumn == nil {
			nulls.ByColumn = map[string]batcher.NullPolicy{}
		}
		for column, policy := range o.Nulls {
			if column == allNulls {
				nulls.Default = batcher.ParseNullPolicy(policy)
			} else {
				nulls.ByColumn[column] = batcher.ParseNullPolicy(policy)
			}
		}
		m.bind.Nulls = nulls
	}
	return m
}

// bindOptions are those to bind the model by, which is open. Of a list of inputs that
// is for all models each takes what it has.
func (m *plannedModel) bindOptions(own *ModelOptions) batcher.Options {
	opts := m.bind
	if names := m.FeatureNames(); len(names) > 0 {
		opts.Metadata = names
	}
	if own != nil && len(own.Bind) == 0 {
		opts.Columns = maps.Clone(opts.Columns)
		maps.DeleteFunc(opts.Columns, func(input string, _ []string) bool { return !m.hasInput(input) })
	}
	return opts
}

func (m *plannedModel) hasInput(name string) bool {
	return slices.ContainsFunc(m.Inputs, func(v models.Value) bool { return v.Name == name })
}

// checkBind refuses a list of inputs for several models that names one which none has: it
// would be passed over. What one model's own list names, that model must have.
func (p *Plan) checkBind() error {
	var problems []error
	for _, input := range slices.Sorted(maps.Keys(p.Options.Bind)) {
		if !slices.ContainsFunc(p.models, func(m plannedModel) bool { return m.hasInput(input) }) {
			problems = append(problems, fmt.Errorf("%w: --bind names input %q, which none of the models has", batcher.ErrBind, input))
		}
	}
	return errors.Join(problems...)
}

// open reads the model and rewrites it into what will run.
func (m *plannedModel) open(ctx context.Context, o *Options) (err error) {
	one := *o
	one.Model, one.ModelSHA256 = m.path, m.sha256
	m.Model, err = one.openModel(ctx, nil)
	return m.named(err)
}

// named puts the model's name on an error, where there are several.
func (m *plannedModel) named(err error) error { return namedError(m.name, err) }

// modelError is an error of one of several models.
type modelError struct {
	name string
	err  error
}

func (e *modelError) Error() string { return fmt.Sprintf("model %q: %v", e.name, e.err) }

// Unwrap gives the error without the name.
func (e *modelError) Unwrap() error { return e.err }

func namedError(name string, err error) error {
	if err == nil || name == "" {
		return err
	}
	return &modelError{name, err}
}

// validateModels calls bad for each problem of the run's models.
func (o *Options) validateModels(bad func(f string, args ...any)) {
	if err := secret.In(o.Model); err != nil {
		bad("--model: %w", err)
	}
	validatePath(o.Model, bad)
	pinned := func(sum string) {
		if sum != "" && !modelDigest.MatchString(sum) {
			bad("--model-sha256 (%.80q) must be a SHA-256 in hex, 64 digits", sum)
		}
	}
	pinned(o.ModelSHA256)
	if len(o.Models) == 0 {
		if o.Model == "" {
			bad("--model is missing: the path of an .onnx file")
		}
		return
	}
	if o.Model != "" {
		bad("--model (%s) names one model, and models lists others: list each in models, with its name", o.Model)
	}
	if o.ModelSHA256 != "" {
		bad("--model-sha256 is of one model, and there are several: say whose it is, by its name")
	}
	if len(o.Models) > mostModels {
		bad("%d models: at most %d are scored in one pass", len(o.Models), mostModels)
	}
	for i := range o.Models {
		m := &o.Models[i]
		switch {
		case !modelName.MatchString(m.Name):
			bad("models: name %.80q: a name has letters, digits, _ and -, a letter first, and 64 of them at most", m.Name)
		case slices.ContainsFunc(o.Models[:i], func(other ModelOptions) bool { return other.Name == m.Name }):
			bad("models: two are named %q; each needs a name of its own", m.Name)
		case m.Model == "":
			bad("models: %q has no model: the path of an .onnx file", m.Name)
		}
		validatePath(m.Model, bad)
		pinned(m.ModelSHA256)
		if err := secret.In(m.Model); err != nil {
			bad("models: %q: %w", m.Name, err)
		}
		switch m.OutputLayout {
		case "", LayoutAuto, LayoutList, LayoutColumns:
		default:
			bad("models: %q: output_layout (%s) must be auto, list or columns", m.Name, m.OutputLayout)
		}
		if i == 0 && len(m.Compare) > 0 {
			bad("models: %q is the first, which the others are compared with; put compare to those", m.Name)
		}
	}
}

// unplaced are the run's models without their paths and digests, as its settings have
// them: what decides the output whatever a file is called.
func (o *Options) unplaced() []ModelOptions {
	all := slices.Clone(o.Models)
	for i := range all {
		all[i].Model, all[i].ModelSHA256 = "", ""
	}
	return all
}

// placedModels puts the paths and digests back that a manifest has.
func placedModels(all []ModelOptions, files []ledger.NamedModel) ([]ModelOptions, error) {
	if len(all) != len(files) {
		return nil, fmt.Errorf("%d models, and the files of %d", len(all), len(files))
	}
	for i := range all {
		if all[i].Name != files[i].Name {
			return nil, fmt.Errorf("model %q is %q among the files", all[i].Name, files[i].Name)
		}
		all[i].Model, all[i].ModelSHA256 = files[i].Path, files[i].SHA256
	}
	return all, nil
}

// validatePath refuses a name that could not be known again: journal and manifest hold text.
func validatePath(path string, bad func(f string, args ...any)) {
	if !utf8.ValidString(path) {
		bad("%q is not UTF-8, as which journal and manifest hold it: rename it", secret.Hide(path))
	}
}
