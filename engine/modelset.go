package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/batcher/feature"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/models"
)

// A plan of several models is a plan of one: its binding has the inputs of all, each
// that several take alike once, and its outputs are those of all, one after the other.
// So everything from the reader to the written row knows nothing of models but the Run,
// which is one of each: see sessions.

// openModels reads the plan's models, at the same time: a large one takes a while to
// check.
func (p *Plan) openModels(ctx context.Context) error {
	errs := make([]error, len(p.models))
	var all sync.WaitGroup
	for i := range p.models {
		all.Go(func() { errs[i] = guarded(func() error { return p.models[i].open(ctx, &p.Options) }) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	p.Model = p.models[0].Model
	p.OwnKernels = slices.ContainsFunc(p.models, func(m plannedModel) bool { return m.OwnKernels() })
	return nil
}

// openExported reads the plan's models again and leaves their operators to ONNX
// Runtime's own kernels. No plan keeps them: a run has no use for a second copy of
// a large model.
func (p *Plan) openExported(ctx context.Context) ([]*models.Model, error) {
	o := p.Options
	o.Kernels = KernelsONNXRuntime
	all := make([]*models.Model, len(p.models))
	for i := range p.models {
		m := p.models[i]
		m.sha256 = m.SHA256
		if err := m.open(ctx, &o); err != nil {
			return nil, err
		}
		all[i] = m.Model
	}
	return all, nil
}

// overwrittenModel says which model's weights, in a file beside it, were written to under the run.
func (p *Plan) overwrittenModel() error {
	for i := range p.models {
		if err := p.models[i].Overwritten(); err != nil {
			return p.models[i].named(fmt.Errorf("model %s: %w", p.models[i].Path, err))
		}
	}
	return nil
}

// asRun are the models as the plan rewrote them.
func (p *Plan) asRun() []*models.Model {
	all := make([]*models.Model, len(p.models))
	for i := range p.models {
		all[i] = p.models[i].Model
	}
	return all
}

// bindModels fits the inputs of all models to the columns.
func (p *Plan) bindModels(schema *arrow.Schema) error {
	p.Binding = &batcher.Plan{}
	// Once for all models, so that they share what they make of columns alike. Features that no model
	// takes need not fit the data: it may be rejected rows, or text that is read again for a replay,
	// which have the columns and types that a run needed.
	programs, unfit, err := feature.Fit(p.Options.FeatureSpecs, schema)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUsage, err)
	}
	var problems []error
	if len(p.Options.Models) > 0 {
		problems = append(problems, p.checkBind())
	}
	unused := newUnusedFeatures(p.Options.FeatureSpecs)
	var called []string
	for i := range p.models {
		m := &p.models[i]
		var own *ModelOptions
		if len(p.Options.Models) > 0 {
			own = &p.Options.Models[i]
		}
		names, err := p.bindModel(m, own, programs, unused)
		problems, called = append(problems, m.named(err)), append(called, names...)
	}
	if err := errors.Join(problems...); err != nil {
		if unfit != nil { // what the data lacks of a feature, it lacks for what was written
			return fmt.Errorf("%w: %w", ErrUsage, unfit)
		}
		return err
	}
	if err := p.checkPolicyNames(called); err != nil {
		return err
	}
	p.unused = unused.names
	if err := unused.check(); err != nil {
		return err
	}
	return p.findColumnar()
}

// bindModel gives the names by which policies call what the model takes.
func (p *Plan) bindModel(m *plannedModel, own *ModelOptions, programs []*feature.Program, unused *unusedFeatures) (called []string, err error) {
	if err := rowsFirst(m.Model, m.outputs); err != nil {
		return nil, err
	}
	opts := m.bindOptions(own)
	opts.Read, opts.Programs = p.Binding.Columns, programs
	binding, err := batcher.Bind(m.Inputs, p.Dataset.Schema(), opts)
	if text := m.UnreadFeatureNames(); err != nil && text != "" {
		err = fmt.Errorf("%w\n  the model's metadata has feature_names that are neither a JSON array of texts nor names with commas between: %.80q", err, text)
	}
	if err != nil {
		return nil, err
	}
	unused.by(m.Model, binding)
	if m.inputs, err = p.Binding.Join(binding); err != nil {
		return nil, err
	}
	specs, err := newOutputSpecs(m.Model, m.outputs, m.layout, m.prefix)
	m.from, m.to = len(p.outputs), len(p.outputs)+len(specs)
	p.outputs = append(p.outputs, specs...)
	return binding.Called, err
}

// rowElements is the most elements of a row that a model's trees as tensor operators
// have between nodes; 0 where none has such trees.
func (p *Plan) rowElements() (most int) {
	for i := range p.models {
		most = max(most, p.models[i].RowElements())
	}
	return most
}

// modelBytes is what the models take in memory: the file, and its weights in a session.
func (p *Plan) modelBytes() (bytes int64) {
	for i := range p.models {
		for _, e := range p.models[i].External {
			bytes += e.Bytes
		}
	}
	return bytes + 2*p.fileBytes()
}

// fileBytes is the part of modelBytes that lies in Go's heap, in which a session can be
// made anew: the .onnx files.
func (p *Plan) fileBytes() (bytes int64) {
	for i := range p.models {
		bytes += p.models[i].Bytes
	}
	return bytes
}

// What a file is as it is parsed, in multiples of its size, measured: weights are bytes
// there and then. Of trees the numbers take a byte or two in the file: millrace reads them from there, tree by
// tree, and ONNX Runtime makes 8 bytes of each for its own operators.
const (
	parsedOnce       = 1
	parsedTreesByORT = 13
)

// ParsedBytes is what comes to modelBytes while a model is parsed, by millrace and then, for
// a session, by ONNX Runtime: of the one that takes most, since they come one after the other.
func (p *Plan) ParsedBytes() (bytes int64) {
	for i := range p.models {
		times := int64(parsedOnce)
		if slices.ContainsFunc(p.models[i].Operators, func(o models.Operator) bool { return strings.HasPrefix(o.Name, "TreeEnsemble") }) {
			times = parsedTreesByORT
		}
		bytes = max(bytes, times*p.models[i].Bytes)
	}
	return bytes
}

// Rewrites says what became of the models' graphs, each with its model's name where
// there are several.
func (p *Plan) Rewrites() []string {
	all := []string{}
	for i := range p.models {
		m := &p.models[i]
		for _, r := range m.Rewrites {
			if m.name != "" {
				r = m.name + ": " + r
			}
			all = append(all, r)
		}
	}
	return all
}

// modelsDigest stands for all models in a profile's key: the digest of one, and of
// several that of their digests in order.
func (p *Plan) modelsDigest() string {
	if len(p.models) == 1 {
		return p.Model.SHA256
	}
	h := sha256.New()
	for i := range p.models {
		fmt.Fprintln(h, p.models[i].SHA256)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// modelFacts are what of the models decides what is written.
func (p *Plan) modelFacts() []ledger.Fact {
	if len(p.Options.Models) == 0 {
		return []ledger.Fact{{Name: "the model's sha256", Value: p.Model.SHA256}}
	}
	facts := make([]ledger.Fact, len(p.models))
	for i := range p.models {
		facts[i] = ledger.Fact{Name: fmt.Sprintf("the sha256 of model %d, %s", i+1, p.models[i].name), Value: p.models[i].SHA256}
	}
	return facts
}

// modelFiles are the models of a run of several, for its manifest.
func (p *Plan) modelFiles() []ledger.NamedModel {
	if len(p.Options.Models) == 0 {
		return nil
	}
	all := make([]ledger.NamedModel, len(p.models))
	for i := range p.models {
		m := &p.models[i]
		all[i] = ledger.NamedModel{
			Name:      m.name,
			ModelFile: modelFile(m.Model),
			Rewrites:  append([]string{}, m.Rewrites...),
		}
	}
	return all
}

// takers are the names of the models that take a binding; none where the run has one
// model.
func (p *Plan) takers(binding int) (names []string) {
	for i := range p.models {
		if m := &p.models[i]; m.name != "" && slices.Contains(m.inputs, binding) {
			names = append(names, m.name)
		}
	}
	return names
}
