package jobfile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/models"
)

// draft is a job file that is being written from a model and data.
type draft struct {
	opts   engine.Options
	dir    string // of the job file
	model  *models.Model
	schema *arrow.Schema
	nulls  map[string]int64 // by column, where statistics say it
	rows   int64
	files  int

	// guesses say, one sentence each, what a person must check.
	guesses []string
	plan    *batcher.Plan
	lossy   bool
}

// Draft writes a job file for a model and data: of opts, Model, Inputs, Features,
// Bind, IDs, Keep, InputFormat and Lines are used; dir is the folder that it is to lie in. The file runs as
// it is. What nobody said and is most likely (the order of features that the model does
// not name) is in guesses, and in the file's comments. Its error is that of the plan
// that cannot be made.
func Draft(ctx context.Context, opts engine.Options, dir string) (text []byte, guesses []string, err error) {
	d := &draft{opts: opts, dir: dir, nulls: map[string]int64{}}
	checked := opts
	checked.EnsureDefaults()
	if err := checked.Validate(); err != nil {
		return nil, nil, err
	}
	if d.model, err = models.Open(opts.Model, models.Options{Fetch: engine.FetchModel(ctx, opts.Stores)}); err != nil {
		return nil, nil, err
	}
	if err := d.readData(ctx); err != nil {
		return nil, nil, err
	}
	d.bind()
	if names := engine.WritableOutputs(d.model); len(names) > 0 && len(names) < len(d.model.Outputs) {
		d.opts.ModelOutputs = names
	}
	if err := d.fit(ctx); err != nil {
		return nil, nil, err
	}
	return d.text(), d.guesses, nil
}

func (d *draft) readData(ctx context.Context) (err error) {
	as, err := dataset.LinesFormat(d.opts.InputFormat)
	if err != nil {
		return fmt.Errorf("%w: --%w", engine.ErrUsage, err)
	}
	listing, err := dataset.Lister{Stores: d.opts.Stores, Format: as}.List(ctx, d.opts.Inputs)
	if err != nil {
		return err
	}
	data, err := dataset.Open(ctx, listing.Files, dataset.Options{
		Partitions: dataset.Partitions{Auto: true}, Stores: d.opts.Stores, Format: as, Lines: d.opts.Lines,
		Drift: dataset.DriftIsKept, // the plan of the draft refuses what differs in columns that the job needs
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, data.Close()) }()
	d.schema, d.rows, d.files = data.Schema(), data.Rows(), len(data.Files())
	for _, f := range d.schema.Fields() {
		if n, ok := data.NullCount(f.Name); ok {
			d.nulls[f.Name] = n
		}
	}
	return nil
}

// idColumn is the name of a column that identifies rows by common consent.
const idColumn = "id"

// bind finds columns for the inputs that have none by name.
func (d *draft) bind() {
	if d.opts.IDs == nil && d.schema.HasField(idColumn) && !slices.Contains(d.model.FeatureNames(), idColumn) {
		d.opts.IDs = []string{idColumn}
	}
	if d.opts.Bind == nil {
		d.opts.Bind = map[string][]string{}
	}
	listed := d.listedInput()
	for i := range d.model.Inputs {
		in := &d.model.Inputs[i]
		if in == listed || len(d.opts.Bind[in.Name]) > 0 || d.schema.HasField(in.Name) {
			continue
		}
		if width, ok := itemWidth(in); ok && width > 1 {
			d.bindWide(in, width)
		} else {
			d.bindOne(in)
		}
	}
}

// listedInput is the input that a list of features is of, given by flags or by the model, so that
// no column is guessed for it; nil where there is no list, or where it could be of several.
func (d *draft) listedInput() *models.Value {
	if len(d.opts.Features) == 0 && len(d.model.FeatureNames()) == 0 {
		return nil
	}
	var found []*models.Value
	for i := range d.model.Inputs {
		in := &d.model.Inputs[i]
		claimed := len(d.opts.Bind[in.Name]) > 0 || len(d.model.Inputs) > 1 && d.schema.HasField(in.Name)
		if !claimed && (!in.HasShape || len(in.Shape) > 1) {
			found = append(found, in)
		}
	}
	if len(found) > 1 { // those of one value a row have columns of their own
		found = slices.DeleteFunc(found, func(in *models.Value) bool {
			width, known := itemWidth(in)
			return known && width == 1
		})
	}
	if len(found) != 1 {
		return nil
	}
	return found[0]
}

// itemWidth is how many values of a row an input takes, where its shape says it.
func itemWidth(in *models.Value) (int64, bool) {
	width := int64(1)
	for _, dim := range in.Shape[min(len(in.Shape), 1):] {
		if dim.Size < 0 {
			return 0, false
		}
		width *= dim.Size
	}
	return width, in.HasShape
}

// bindWide finds what a matrix is made of where neither flags nor the model say it: the
// one list column of its width, or as many columns of numbers.
func (d *draft) bindWide(in *models.Value, width int64) {
	if len(d.opts.Features) > 0 || len(d.model.FeatureNames()) > 0 {
		return
	}
	var lists, numbers []string
	for _, f := range d.schema.Fields() {
		if !nameable(f.Name) || slices.Contains(d.opts.IDs, f.Name) || slices.Contains(d.opts.Keep, f.Name) {
			continue
		}
		if list, ok := f.Type.(*arrow.FixedSizeListType); ok && int64(list.Len()) == width {
			lists = append(lists, f.Name)
		}
		if arrow.IsInteger(f.Type.ID()) || arrow.IsFloating(f.Type.ID()) || f.Type.ID() == arrow.BOOL {
			numbers = append(numbers, f.Name)
		}
	}
	switch {
	case len(lists) == 1:
		d.opts.Bind[in.Name] = lists
	case int64(len(numbers)) == width:
		d.opts.Features = numbers
		says := "the model does not name its features"
		if d.model.UnreadFeatureNames() != "" {
			says = "the model's list of features in its metadata cannot be read (feature_names must be a JSON array of texts, or names with commas between)"
		}
		d.guesses = append(d.guesses, says+": those of the data's columns of numbers are taken, in the data's order; check that it is the model's")
	}
}

// nameable says whether a job file can name a column: an entry that is empty, and a text
// with a zero byte, are errors there.
func nameable(column string) bool { return column != "" && !strings.ContainsRune(column, 0) }

// bindOne finds the one column whose name differs from an input's in case and
// punctuation alone.
func (d *draft) bindOne(in *models.Value) {
	var near []string
	for _, f := range d.schema.Fields() {
		if nameable(f.Name) && bareName(f.Name) == bareName(in.Name) {
			near = append(near, f.Name)
		}
	}
	if len(near) == 1 {
		d.opts.Bind[in.Name] = near
		d.guesses = append(d.guesses, "input "+quoted(in.Name)+" has no column of its name: "+quoted(near[0])+" is taken")
	}
}

func bareName(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, name)
}

// fit makes the plan of the draft, with lossy casts if it takes some.
func (d *draft) fit(ctx context.Context) error {
	opts := d.opts
	opts.Nulls.Default = batcher.NullPolicy{Action: batcher.NullNaN}
	opts.OnBadRow = engine.BadReject // nulls that statistics show are answered below
	plan, err := engine.NewPlan(ctx, opts)
	if errors.Is(err, batcher.ErrBind) {
		opts.Lossy = batcher.AllowLossy
		lossy, again := engine.NewPlan(ctx, opts)
		if again != nil {
			return err
		}
		plan, err, d.lossy = lossy, nil, true
	}
	if err != nil {
		return err
	}
	d.plan = plan.Binding
	return plan.Close()
}

// nullPolicies are the policies that the data's nulls need, by column, and whether
// those of columns of unknown nulls become NaN.
func (d *draft) nullPolicies() (policies []columnPolicy, others bool) {
	seen := map[string]bool{}
	for i := range d.plan.Bindings {
		b := &d.plan.Bindings[i]
		for _, f := range b.Features {
			n, known := d.nulls[f.Column]
			if seen[f.Column] || known && n == 0 {
				continue
			}
			seen[f.Column] = true
			switch field, _ := d.schema.FieldsByName(f.Column); {
			case !known && len(field) == 1 && !field[0].Nullable:
			case !known && f.Nulls.Action == batcher.NullNaN:
				others = true
			case !known:
				policies = append(policies, columnPolicy{column: f.Column, policy: "reject", nulls: -1})
			case f.Nulls.Action == batcher.NullNaN:
				policies = append(policies, columnPolicy{column: f.Column, policy: "nan", nulls: n})
			default:
				policies = append(policies, columnPolicy{column: f.Column, policy: "reject", nulls: n})
			}
		}
	}
	return policies, others
}

// columnPolicy is what nulls of a column become; nulls is below 0 where their number is
// not known.
type columnPolicy struct {
	column, policy string
	nulls          int64
}
