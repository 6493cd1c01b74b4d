package batcher

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/models"
)

// ErrBind says that a model's inputs and the columns do not fit each other.
var ErrBind = errors.New("model does not fit the data")

// Form is how columns make an input.
type Form string

// The forms.
const (
	Column Form = "column" // one value a row: [N] or [N,1]
	Matrix Form = "matrix" // F columns side by side: [N,F]
	Vector Form = "vector" // one list column of k values a row: [N,k], [N,a,b], ...
)

// Feature is one column on its way into a tensor.
type Feature struct {
	Column string         // the column's name
	Type   arrow.DataType // the column's type
	Cast   Cast           // of the column's values, or of a list's elements
	Nulls  NullPolicy     // after defaults
	Field  int            // index into Plan.Columns

	fill fillValue
}

// Binding is how one model input is made.
type Binding struct {
	Input    models.Value
	Form     Form
	Features []Feature
	// Item is the shape of one row: [] for [N], [1] for [N,1], [32] for [N,32].
	Item []int64
	// Width is the number of elements of one row: the product of Item.
	Width int
}

// Viewable reports whether the tensor can be a view of the column's memory,
// where the file holds it uncompressed and without nulls.
func (b *Binding) Viewable() bool {
	return len(b.Features) == 1 && b.Features[0].Cast == Exact && b.Input.Elem != models.String
}

// Plan is how all inputs of a model are made from the columns of a schema.
type Plan struct {
	Bindings []Binding
	// Columns are the names of the columns that the bindings take, each once,
	// in the order of their first use.
	Columns []string
	// FixedRows is the batch size that the model itself prescribes by a fixed
	// first dimension; 0 when it leaves it open.
	FixedRows int
}

// Options say how inputs and columns are matched.
type Options struct {
	// Features lists the columns of the one [N,F] input.
	Features []string
	// Metadata lists the same from the model's own metadata; Features wins.
	Metadata []string
	// Columns names the columns of inputs, by input; an input that is not
	// named here takes the column of its own name.
	Columns map[string][]string
	Nulls   NullPolicies
	Lossy   LossyCasts
}

// LossyCasts says whether a cast may round.
type LossyCasts int

// The answers.
const (
	RefuseLossy LossyCasts = iota
	AllowLossy             // and count
)

// Bind matches a model's inputs with the columns of a schema. Its error wraps
// ErrBind and joins every problem found, not only the first.
func Bind(inputs []models.Value, schema *arrow.Schema, opts Options) (*Plan, error) {
	b := binder{inputs: inputs, schema: schema, opts: opts, plan: &Plan{}}
	b.checkOptions()
	for i := range inputs {
		if err := b.bindInput(&inputs[i]); err != nil {
			b.problems = append(b.problems, err)
		}
	}
	if len(b.problems) > 0 {
		return nil, fmt.Errorf("%w: %w", ErrBind, errors.Join(b.problems...))
	}
	return b.plan, nil
}

type binder struct {
	inputs   []models.Value
	schema   *arrow.Schema
	opts     Options
	plan     *Plan
	problems []error
}

func (b *binder) fail(format string, args ...any) {
	b.problems = append(b.problems, fmt.Errorf(format, args...))
}

func (b *binder) checkOptions() {
	var names []string
	for _, in := range b.inputs {
		names = append(names, in.Name)
	}
	for input := range b.opts.Columns {
		if !slices.Contains(names, input) {
			b.fail("--bind names input %q, which the model does not have (its inputs: %s)%s", input, quoted(names), didYouMean(input, names))
		}
	}
	columns := columnNames(b.schema)
	for column := range b.opts.Nulls.ByColumn {
		if !slices.Contains(columns, column) {
			b.fail("--nulls names column %q, which the data does not have%s", column, didYouMean(column, columns))
		}
	}
	if len(b.opts.Features) > 0 && b.matrixInput() == nil {
		b.fail("--features is for a model with one [N,F] input; this one has the inputs %s: name columns by --bind input=column", b.signature())
	}
}

// matrixInput is the input that --features fills: the only one of rank two or
// more that no column and no --bind claims.
func (b *binder) matrixInput() *models.Value {
	var found *models.Value
	for i := range b.inputs {
		in := &b.inputs[i]
		if _, bound := b.opts.Columns[in.Name]; bound {
			continue
		}
		if len(b.inputs) > 1 && len(b.schema.FieldIndices(in.Name)) > 0 {
			continue
		}
		if in.HasShape && len(in.Shape) < 2 {
			continue
		}
		if found != nil {
			return nil
		}
		found = in
	}
	return found
}

func (b *binder) bindInput(in *models.Value) error {
	if in.Kind != models.Tensor {
		return fmt.Errorf("model input %q is not a tensor; millrace makes tensors only", in.Name)
	}
	if in.HasShape && len(in.Shape) == 0 {
		return fmt.Errorf("model input %q is a scalar, the same for all rows; make it a constant of the model", in.Name)
	}
	if err := b.fixedRows(in); err != nil {
		return err
	}
	columns, err := b.columnsOf(in)
	if err != nil {
		return err
	}
	fields := make([]arrow.Field, len(columns))
	for i, name := range columns {
		if fields[i], err = b.field(in, name); err != nil {
			return err
		}
	}
	if len(columns) == 1 && isList(fields[0].Type) {
		return b.bindVector(in, fields[0])
	}
	return b.bindScalars(in, fields)
}

func (b *binder) fixedRows(in *models.Value) error {
	if !in.HasShape || in.Shape[0].Size < 0 {
		return nil
	}
	rows := int(in.Shape[0].Size)
	if rows == 0 || b.plan.FixedRows != 0 && b.plan.FixedRows != rows {
		return fmt.Errorf("model input %q fixes its batch to %d rows, which does not fit its other inputs", in.Name, rows)
	}
	b.plan.FixedRows = rows
	return nil
}

// columnsOf decides which columns make an input: --bind, then --features for
// the matrix input, then the column of the input's name, then the model's own
// list. Anything else would be a guess.
func (b *binder) columnsOf(in *models.Value) ([]string, error) {
	if columns, ok := b.opts.Columns[in.Name]; ok {
		return columns, nil
	}
	matrix := b.matrixInput()
	if in == matrix && len(b.opts.Features) > 0 {
		return b.opts.Features, nil
	}
	if len(b.schema.FieldIndices(in.Name)) > 0 {
		return []string{in.Name}, nil
	}
	if in == matrix && len(b.opts.Metadata) > 0 {
		return b.opts.Metadata, nil
	}
	columns := columnNames(b.schema)
	if in.HasShape && len(in.Shape) > 1 {
		return nil, fmt.Errorf("model input %q %s has no column of its name, and no list of features: give --features a,b,c (or --bind %s=a,b,c); the data's columns are %s",
			in.Name, describe(in), in.Name, quoted(columns))
	}
	return nil, fmt.Errorf("model input %q %s has no column of its name%s: give --bind %s=column; the data's columns are %s",
		in.Name, describe(in), didYouMean(in.Name, columns), in.Name, quoted(columns))
}

func (b *binder) field(in *models.Value, name string) (arrow.Field, error) {
	at := b.schema.FieldIndices(name)
	switch len(at) {
	case 1:
		return b.schema.Field(at[0]), nil
	case 0:
		columns := columnNames(b.schema)
		return arrow.Field{}, fmt.Errorf("no column %q for model input %q%s; the data's columns are %s", name, in.Name, didYouMean(name, columns), quoted(columns))
	default:
		return arrow.Field{}, fmt.Errorf("column %q for model input %q stands %d times in the data; which one is meant cannot be told", name, in.Name, len(at))
	}
}

// bindScalars binds columns of one value a row: [N], [N,1] or [N,F].
func (b *binder) bindScalars(in *models.Value, fields []arrow.Field) error {
	width := int64(len(fields))
	binding := Binding{Input: *in, Form: Column, Width: len(fields)}
	switch {
	case !in.HasShape:
		binding.Item = []int64{width}
	case len(in.Shape) == 1:
		if width != 1 {
			return fmt.Errorf("model input %q is [N], one value a row, but %d columns are bound to it", in.Name, width)
		}
	default:
		want, open := itemElements(in.Shape)
		if open > 1 || len(in.Shape) > 2 && open == 1 {
			return fmt.Errorf("model input %q %s leaves more than its rows open: only a FixedSizeList column can tell its shape", in.Name, describe(in))
		}
		if open == 0 && want != width {
			return b.wrongWidth(in, fields, want)
		}
		for _, d := range in.Shape[1:] {
			binding.Item = append(binding.Item, d.Size)
		}
		if open == 1 {
			binding.Item = []int64{width}
		}
	}
	if len(fields) > 1 {
		binding.Form = Matrix
	}
	var problems []error
	for _, f := range fields {
		if isList(f.Type) {
			problems = append(problems, fmt.Errorf("model input %q takes %d columns of one value each, but %q is a %s", in.Name, len(fields), f.Name, f.Type))
			continue
		}
		feature, err := b.feature(in, f, f.Type)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		binding.Features = append(binding.Features, feature)
	}
	if len(problems) > 0 {
		return errors.Join(problems...)
	}
	b.plan.Bindings = append(b.plan.Bindings, binding)
	return nil
}

func (b *binder) wrongWidth(in *models.Value, fields []arrow.Field, want int64) error {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	source := "--features"
	switch {
	case len(b.opts.Columns[in.Name]) > 0:
		source = "--bind " + in.Name
	case len(b.opts.Features) == 0 && len(fields) == 1:
		return fmt.Errorf("model input %q wants %d features a row, but column %q has one value a row; give --features, or a FixedSizeList column", in.Name, want, names[0])
	case len(b.opts.Features) == 0:
		source = "the model's metadata"
	}
	hint := ""
	if int64(len(fields)) < want {
		candidates := b.opts.Metadata
		if len(candidates) == 0 {
			candidates = columnNames(b.schema)
		}
		missing := slices.DeleteFunc(slices.Clone(candidates), func(c string) bool { return slices.Contains(names, c) })
		if len(missing) > 0 {
			hint = fmt.Sprintf(" (missing: %s?)", quoted(missing))
		}
	} else {
		var extra []string
		for i, n := range names {
			if len(b.opts.Metadata) > 0 && !slices.Contains(b.opts.Metadata, n) || slices.Contains(names[:i], n) {
				extra = append(extra, n)
			}
		}
		if len(extra) > 0 {
			hint = fmt.Sprintf(" (too many: %s?)", quoted(extra))
		}
	}
	return fmt.Errorf("model input %q wants %d features; %s names %d%s", in.Name, want, source, len(fields), hint)
}

// bindVector binds a list column of k values a row: [N,k] or, nested or flat,
// higher ranks.
func (b *binder) bindVector(in *models.Value, f arrow.Field) error {
	elem, dims, known := listShape(f.Type)
	binding := Binding{Input: *in, Form: Vector}
	if in.HasShape && len(in.Shape) == 1 {
		return fmt.Errorf("model input %q is [N], one value a row, but column %q is a %s", in.Name, f.Name, f.Type)
	}
	want, open := int64(0), 1
	if in.HasShape {
		want, open = itemElements(in.Shape)
	}
	switch {
	case !known && open > 0:
		return fmt.Errorf("column %q is a %s whose lists may have any length, and model input %q %s does not say which; write it as a FixedSizeList", f.Name, f.Type, in.Name, describe(in))
	case !known:
		if len(dims) > 1 {
			return fmt.Errorf("column %q is a %s; nested lists are taken as FixedSizeLists only", f.Name, f.Type)
		}
		dims = []int64{want} // every list is checked to have this length
	}
	total := int64(1)
	for _, d := range dims {
		total *= d
	}
	switch {
	case open == 0 && total != want:
		return fmt.Errorf("model input %q wants %d values a row, but column %q is a %s of %d", in.Name, want, f.Name, f.Type, total)
	case open == 0:
		for _, d := range in.Shape[1:] {
			binding.Item = append(binding.Item, d.Size)
		}
	case !in.HasShape || open == 1 && len(in.Shape) == 2 && len(dims) == 1:
		binding.Item = dims
	case len(dims) == len(in.Shape)-1:
		for i, d := range in.Shape[1:] {
			if d.Size >= 0 && d.Size != dims[i] {
				return fmt.Errorf("model input %q %s does not fit column %q, a %s", in.Name, describe(in), f.Name, f.Type)
			}
		}
		binding.Item = dims
	default:
		return fmt.Errorf("model input %q %s leaves its shape open, and column %q, a %s, has another rank", in.Name, describe(in), f.Name, f.Type)
	}
	feature, err := b.feature(in, f, elem)
	if err != nil {
		return err
	}
	if !known && feature.Cast < Checked {
		feature.Cast = Checked // of the lengths
	}
	binding.Features = []Feature{feature}
	binding.Width = int(total)
	b.plan.Bindings = append(b.plan.Bindings, binding)
	return nil
}

// feature checks the type of one column's values and its null policy.
func (b *binder) feature(in *models.Value, f arrow.Field, values arrow.DataType) (Feature, error) {
	cast, why := CastOf(values, in.Elem)
	switch {
	case cast == Refused:
		return Feature{}, fmt.Errorf("column %q is %s, but model input %q wants %s: %s", f.Name, f.Type, in.Name, in.Elem, why)
	case cast == Lossy && b.opts.Lossy != AllowLossy:
		return Feature{}, fmt.Errorf("column %q is %s, but model input %q wants %s, and that cast rounds: allow it by --allow-lossy-casts (rounded values are counted), or write the column as %s",
			f.Name, f.Type, in.Name, in.Elem, in.Elem)
	}
	policy, fill, err := b.opts.Nulls.resolve(f.Name, in.Elem)
	if err != nil {
		return Feature{}, err
	}
	at := slices.Index(b.plan.Columns, f.Name)
	if at < 0 {
		at = len(b.plan.Columns)
		b.plan.Columns = append(b.plan.Columns, f.Name)
	}
	return Feature{Column: f.Name, Type: f.Type, Cast: cast, Nulls: policy, Field: at, fill: fill}, nil
}

func (b *binder) signature() string {
	parts := make([]string, len(b.inputs))
	for i := range b.inputs {
		parts[i] = fmt.Sprintf("%q %s", b.inputs[i].Name, describe(&b.inputs[i]))
	}
	return strings.Join(parts, ", ")
}
