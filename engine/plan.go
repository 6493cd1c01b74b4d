package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/batcher/filter"
	"github.com/millrace/millrace/engine/agreement"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/engine/unique"
	"github.com/millrace/millrace/internal/nearest"
	"github.com/millrace/millrace/io/arrowfile"
	"github.com/millrace/millrace/io/blobstore"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/models"
)

// Plan is what a run will do, fixed before it does it. It is immutable but for
// Close, and for Run, which freezes what was left to it to choose.
type Plan struct {
	Options Options
	Model   *models.Model // as it will run, after rewrites; of several the first
	// OwnKernels says that millrace's kernels are among those rewrites.
	OwnKernels bool
	Dataset    *dataset.Dataset
	Skipped    []string // files in input directories that are no data
	// Selection says which files the run reads; nil where it is all that the input names.
	Selection *Selection
	Binding   *batcher.Plan
	Parts     []dataset.Part
	// Columns are the columns that are read: those of the binding, then ids, kept
	// columns, and those of the filter and of rules that are not among them.
	Columns []string
	// Passed are the fields that pass through to the output, ids first, and
	// PassedAt their indexes into Columns.
	Passed   []arrow.Field
	PassedAt []int

	// asked says which settings the user gave, so that no choice overrules them.
	asked struct{ batch, workers, readers, intraOpThreads, streams bool }
	// unused are features that the job defines and no model takes.
	unused  []string
	columns []bool // bindings whose columns can be taken as they lie; see columnar
	// follows is the manifest from which new files were told; see StageOptions.Follows.
	follows *string
	// choice is what the run was frozen to; nil before it starts.
	choice  *Choice
	learned []arrow.Field // the prediction columns, where only a Run tells them; see learnFields
	// digested is how the inputs were digested; nil before everything is read.
	digested *DigestChoice
	// duplicates are those of --unique; nil before they are looked for, and without it.
	duplicates *DuplicatesFound
	// rewriteCheck is how the rewritten model compares; nil unless it was checked.
	rewriteCheck *RewriteCheck

	// loadDeaths is how many starts died while the model was loaded and tried.
	loadDeaths int
	// agreement is how far models agree; nil before everything is compared, and of one.
	agreement []agreement.Summary

	// held is what models hold of a row while they score it, in bytes, once a session is open.
	held int64
	// limit is the memory limit in bytes, 0 for none, and lowered what it changed.
	limit       int64
	limitSource LimitSource
	lowered     []Lowered
	chunkRows   int   // of a decoded record batch
	waitingRows int64 // scored rows that may wait to be written

	// cores has a token for each goroutine that is at work, so that a span's
	// columns are decoded by several while there are few, large spans and
	// workers wait; its capacity is as many as there should be.
	cores chan struct{}

	passedSchema *arrow.Schema // of Passed, as they are read
	where        *where        // nil without a filter
	rules        *rules        // nil without rules
	keys         *unique.Keys  // nil without --unique
	lines        *lineReading  // nil where no file is one of lines

	stopping *stopping
	stream   *arrowfile.Stream // of a run that scores it as it comes; nil otherwise
	received hash.Hash         // of its bytes; nil where nobody asks

	listed []string // what the input names, of which a selection takes some

	ids     int // how many of the passed columns are ids
	models  []plannedModel
	outputs []outputSpec // of all models
	joining batcher.Joining
}

// NewPlan reads the model and the metadata of the input, and fits them to each
// other. It reads no rows and writes nothing; the caller closes the plan.
func NewPlan(ctx context.Context, opts Options) (*Plan, error) {
	given := opts
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	p := &Plan{Options: opts, models: opts.planned(), cores: make(chan struct{}, max(opts.Readers, opts.Workers)), stopping: &stopping{}}
	// Model and data at the same time: each can take tens of milliseconds.
	var both sync.WaitGroup
	var noModel error
	both.Go(func() {
		noModel = guarded(func() error { return p.openModels(ctx) })
	})
	noData := p.openData(ctx)
	both.Wait()
	if err := cmp.Or(noModel, noData); err != nil { // one at a time, the model's first
		if noData == nil {
			err = errors.Join(err, p.Close())
		}
		return nil, err
	}
	p.asked.batch, p.asked.workers, p.asked.intraOpThreads = given.BatchRows != 0, given.Workers != 0, given.IntraOpThreads != 0
	p.asked.streams, p.asked.readers = given.Streams != 0, given.Readers != 0
	if err := cmp.Or(p.checkPiped(), p.checkReplaced(), p.fit()); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// openData lists the input's files and reads their metadata.
func (p *Plan) openData(ctx context.Context) error {
	switch {
	case p.Options.StreamsIn() && p.Options.Piped.In == nil:
		return fmt.Errorf("%w: --input -: only score reads a stream, which passes once; name files of the same schema", ErrUsage)
	case p.Options.StreamsIn() && p.Options.StreamsOut():
		return p.openStream(ctx)
	}
	as, err := p.Options.inputFormat()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUsage, err)
	}
	listing, err := dataset.Lister{Stores: p.Options.Stores, Format: as}.List(ctx, p.Options.Inputs)
	if err != nil {
		return err
	}
	if err := outside(p.Options.Output, append(endOf(p.Options.Piped.In), listing.Files...)); err != nil {
		return err
	}
	p.listed = listing.Files
	if listing.Files, err = p.selectFiles(ctx, listing.Files); err != nil {
		return err
	}
	p.Skipped = listing.Skipped
	partitions, err := dataset.ParsePartitions(p.Options.Partitions)
	if err != nil {
		return fmt.Errorf("%w: --%w", ErrUsage, err)
	}
	p.Dataset, err = dataset.Open(ctx, listing.Files, dataset.Options{
		Read: format.ReadOptions{Decoders: p.cores}, Statistics: filter.Names(p.Options.Where), Partitions: partitions,
		Drift:  dataset.DriftIsKept, // checkDrift knows which columns the run needs
		Stores: p.Options.Stores, Format: as, Lines: p.Options.Lines,
	})
	return usage(err)
}

// openModel reads the model and rewrites it into what will run; left, unless nil, is
// where nodes are named that a device would need rewritten and that stay.
func (o *Options) openModel(ctx context.Context, left *[]string) (*models.Model, error) {
	return models.OpenRewritten(o.Model, models.Options{SHA256: o.ModelSHA256, Fetch: FetchModel(ctx, o.Stores)}, models.Rewrites{
		ZipMap: true, Kernels: o.Kernels == KernelsAuto && o.Provider != ort.TensorRT, // which compiles tensor operators alone
		Device: o.Provider != ort.CPU, Tensors: o.Provider != ort.CPU, Left: left,
	})
}

// outside refuses an output that would replace a file or an object it is made from.
func outside(output string, inputs []string) error {
	holds := holder(output)
	for _, in := range inputs {
		if holds(in) {
			return fmt.Errorf("%w: --output %s holds the input %s; write elsewhere", ErrUsage, output, in)
		}
	}
	return nil
}

// holder tells which inputs an output holds.
func holder(output string) func(input string) bool {
	none := func(string) bool { return false }
	if at, err := blobstore.ParseURI(output); err == nil && slices.Contains(blobstore.Schemes(), at.Scheme) {
		return func(input string) bool {
			in, err := blobstore.ParseURI(input)
			return err == nil && in.Scheme == at.Scheme && in.Bucket == at.Bucket && below(in.Key, strings.TrimSuffix(at.Key, "/"), "/")
		}
	}
	if _, elsewhere := sink.Scheme(output); output == "" || output == StreamName || elsewhere {
		return none
	}
	place, err := filepath.EvalSymlinks(output)
	if err != nil { // what is not there yet holds no input
		return none
	}
	place = absolute(place)
	return func(input string) bool {
		if dataset.Scheme(input) != "" {
			return false
		}
		file := absolute(input)
		if target, err := filepath.EvalSymlinks(file); err == nil {
			file = target
		}
		return below(file, place, string(filepath.Separator))
	}
}

// below says that a name is another, or lies in the folder of that name; all do in that without one.
func below(name, folder, separator string) bool {
	return folder == "" || name == folder || strings.HasPrefix(name, folder+separator)
}

// fit matches model and data, and cuts the input into parts.
func (p *Plan) fit() error {
	opts := &p.Options
	schema := p.Dataset.Schema()
	for _, step := range []func(*arrow.Schema) error{p.aboutTypes(p.bindModels), p.pass, p.aboutTypes(p.fitWhere), p.aboutTypes(p.fitRules), p.fitUnique} {
		if err := step(schema); err != nil {
			return p.besideDrift(err)
		}
	}
	p.fitLines()
	if _, _, err := p.knownPairs(); err != nil {
		return err
	}
	if err := p.checkDrift(); err != nil {
		return err
	}
	if err := p.chooseBatch(); err != nil {
		return err
	}
	p.Parts = p.Dataset.Parts(opts.PartRows)
	if err := p.fitMemory(); err != nil {
		return err
	}
	if err := p.fitStream(); err != nil {
		return err
	}
	return p.knownNulls()
}

// pass finds ids and kept columns, and lists the columns to read.
func (p *Plan) pass(schema *arrow.Schema) error {
	p.Columns = slices.Clone(p.Binding.Columns)
	var problems []error
	var fields []arrow.Field
	add := func(flag string, names []string) {
		for _, name := range names {
			at := schema.FieldIndices(name)
			if len(at) != 1 {
				problems = append(problems, p.noColumn(flag, name, len(at)))
				continue
			}
			if slices.ContainsFunc(p.Passed, func(f arrow.Field) bool { return f.Name == name }) {
				continue
			}
			fields = append(fields, schema.Field(at[0]))
			p.Passed = append(p.Passed, p.passedField(schema.Field(at[0])))
			p.PassedAt = append(p.PassedAt, p.addColumn(name))
		}
	}
	add("--ids", p.Options.IDs)
	p.ids = len(p.Passed)
	add("--keep", p.Options.Keep)
	p.passedSchema = arrow.NewSchema(fields, nil)
	if len(problems) > 0 {
		return fmt.Errorf("%w: %w", ErrUsage, errors.Join(problems...))
	}
	// Outputs of unknown shape are checked again when their columns are known.
	if err := p.checkNames(p.knownFields()); err != nil {
		return err
	}
	if err := cmp.Or(p.checkPartitionBy(), p.checkStreams()); err != nil {
		return err
	}
	return p.checkTypes()
}

func (p *Plan) noColumn(flag, name string, found int) error {
	if found > 1 {
		return fmt.Errorf("%s: column %q stands %d times in the data", flag, name, found)
	}
	names := make([]string, 0, p.Dataset.Schema().NumFields())
	for _, f := range p.Dataset.Schema().Fields() {
		names = append(names, f.Name)
	}
	if list := listOf(name, names); list != "" {
		return fmt.Errorf("%s: no column %q in the data: a job file has a list in brackets, [%s]", flag, name, list)
	}
	return fmt.Errorf("%s: no column %q in the data%s", flag, name, nearest.DidYouMean(name, names))
}

// listOf is a text as a list, where it is several columns with commas between; else empty.
func listOf(text string, columns []string) string {
	several := strings.Split(text, ",")
	for i := range several {
		if several[i] = strings.TrimSpace(several[i]); !slices.Contains(columns, several[i]) {
			return ""
		}
	}
	if len(several) < 2 {
		return ""
	}
	return strings.Join(several, ", ")
}

// knownFields are the prediction columns whose shape the signature gives.
func (p *Plan) knownFields() []arrow.Field { return knownFieldsOf(p.outputs) }

func knownFieldsOf(outputs []outputSpec) []arrow.Field {
	var fields []arrow.Field
	for i := range outputs {
		if outputs[i].item != nil {
			fields = append(fields, outputs[i].fields()...)
		}
	}
	return fields
}

// checkNames refuses two output columns of one name.
func (p *Plan) checkNames(predictions []arrow.Field) error {
	seen := map[string]bool{}
	for _, f := range p.Passed {
		seen[f.Name] = true
	}
	for _, f := range predictions {
		if seen[f.Name] {
			return fmt.Errorf("%w: the output would have two columns %q; %s", ErrUsage, f.Name, p.otherName(f.Name))
		}
		seen[f.Name] = true
	}
	return nil
}

// otherName says what to do about two columns of a name. Of one output's classes no
// prefix makes two names.
func (p *Plan) otherName(column string) string {
	for i := range p.outputs {
		if s := &p.outputs[i]; s.classColumns(column) > 1 {
			return fmt.Sprintf("output %q has that class twice: have its scores in one column by --output-layout list, or leave it out by --model-outputs", s.value.Name)
		}
	}
	return "give predictions another name by --output-prefix, such as --output-prefix pred_, or by output_prefix of one of several models"
}

// chooseBatch fixes the rows of a batch: the model's own number, the one asked
// for, or the default bounded by the memory of a row.
func (p *Plan) chooseBatch() error {
	opts := &p.Options
	if fixed := p.Binding.FixedRows; fixed > 0 {
		if opts.BatchRows != 0 && opts.BatchRows != fixed {
			return fmt.Errorf("%w: --batch-size is %d, but the model fixes its batch to %d rows; leave the flag out", ErrUsage, opts.BatchRows, fixed)
		}
		opts.BatchRows, p.joining = fixed, batcher.JoinSpans
		return nil
	}
	// ONNX Runtime's kernels on devices count elements in 32 bits.
	most := math.MaxInt
	if elements := p.rowElements(); elements > 0 && opts.Provider != ort.CPU {
		most = max(math.MaxInt32/elements, 1)
	}
	if opts.BatchRows > most {
		return fmt.Errorf("%w: --batch-size is %d, and on %s the model's trees as tensor operators take batches of %d rows at most", ErrUsage, opts.BatchRows, opts.Provider, most)
	}
	if opts.BatchRows == 0 {
		opts.BatchRows = p.usualBatchRows()
		if opts.Provider != ort.CPU {
			opts.BatchRows = min(int(max(deviceBatchBytes/max(p.rowBytes(), 1), 1)), DefaultDeviceRows, most)
		}
	}
	if p.padded() {
		p.joining = batcher.JoinSpans
	}
	return nil
}

// padded says that every Run has the rows of a full batch: where the model fixes
// them, and for TensorRT, which would compile the graph again for others.
func (p *Plan) padded() bool { return p.Binding.FixedRows > 0 || p.Options.Provider == ort.TensorRT }

// rowBytes is the size of one row's tensors, inputs and outputs, in bytes. A
// string counts 24 and an unknown output 4.
func (p *Plan) rowBytes() int64 {
	var n int64
	for i := range p.Binding.Bindings {
		b := &p.Binding.Bindings[i]
		n += int64(b.Width) * elementBytes(b.Input.Elem)
	}
	for i := range p.outputs {
		n += int64(p.outputs[i].width()) * elementBytes(p.outputs[i].value.Elem)
	}
	return n
}

func elementBytes(e models.ElementType) int64 {
	if n := e.Bytes(); n > 0 {
		return int64(n)
	}
	return 24
}

// knownNulls fails a run before it starts when statistics already show nulls
// where none are allowed.
func (p *Plan) knownNulls() error {
	if p.Options.OnBadRow != BadFail || p.where != nil || p.Options.rejectsDuplicates() { // which may take them out
		return nil
	}
	var columns []string
	var choices []string // for the first of them
	forAll := ""         // what may help all; NaN that was asked for does not help those that are left
	for i := range p.Binding.Bindings {
		for _, f := range p.Binding.Bindings[i].Features {
			if f.Nulls.Action != batcher.NullError || f.Program != nil {
				continue
			}
			if n, ok := p.Dataset.NullCount(f.Column); ok && n > 0 {
				found := fmt.Sprintf("column %q has %d nulls", f.Column, n)
				if slices.Contains(columns, found) { // for another model
					continue
				}
				columns = append(columns, found)
				of := nullChoices(f.Column, p.Binding.Bindings[i].Input.Elem)
				if choices == nil {
					choices = of
				}
				if slices.Contains(of, nullsFlag+f.Column+"=nan") {
					forAll = " or for all (--nulls nan)"
				}
			}
		}
	}
	if len(columns) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s, where none are allowed: say what a null becomes, by column (%s)%s, or let such rows go by --on-bad-row reject",
		ErrBadRows, strings.Join(columns, ", "), strings.Join(choices, ", "), forAll)
}

const nullsFlag = "--nulls "

// nullChoices are the null policies that a column can have, as flags.
func nullChoices(column string, elem models.ElementType) []string {
	value := "0"
	switch elem {
	case models.String:
		value = "unknown"
	case models.Bool:
		value = "false"
	case models.Float32, models.Float64, models.Float16, models.BFloat16:
		return []string{nullsFlag + column + "=nan", column + "=0", column + "=reject"}
	}
	return []string{nullsFlag + column + "=" + value, column + "=reject"}
}

// Batches is the number of batches that the run will have, or with a filter the most.
func (p *Plan) Batches() int64 {
	var total int64
	for _, part := range p.Parts {
		rows := make([]batcher.SpanRows, len(part.Spans))
		for i, s := range part.Spans {
			rows[i] = batcher.SpanRows{Announced: s.Rows, Cut: p.where.passingRows(s)}
		}
		total += batcher.CountBatches(rows, p.Options.BatchRows, p.joining)
	}
	return total
}

// Close releases the input.
func (p *Plan) Close() error {
	if p.live() {
		p.stream.Close()
	}
	return p.Dataset.Close()
}

// atWork takes a token of cores, if there is one; done, which is nil if not,
// gives it back.
func (p *Plan) atWork() (done func()) {
	select {
	case p.cores <- struct{}{}: // blocks where there are none
		return func() { <-p.cores }
	default:
		return nil
	}
}
