package batcher

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/batcher/feature"
	"github.com/millrace/millrace/internal/nearest"
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

// Feature is one column on its way into a tensor, or what is computed of columns.
type Feature struct {
	Column string         // the column's name; of what is computed the feature's
	Type   arrow.DataType // the column's type
	Cast   Cast           // of the column's values, or of a list's elements
	Nulls  NullPolicy     // after defaults
	Finite bool           // a NaN or an infinity is a bad value
	Field  int            // index into Plan.Columns
	// Program computes the feature; nil for a column as it is. Width is the number of
	// its elements in a row, of which the first is the row's element Offset.
	Program       *feature.Program
	Width, Offset int

	fill fillValue
	// sameBytes: a value's bytes are those of the tensor's element.
	sameBytes bool
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

// Rejects says whether rows can be rejected because the feature asks for that.
func (f *Feature) Rejects() bool {
	return f.Nulls.Action == NullReject || f.Program != nil && f.Program.Rejects()
}

// Viewable reports whether the tensor can be a view of the column's memory,
// where the file holds it uncompressed and without nulls.
func (b *Binding) Viewable() bool {
	return len(b.Features) == 1 && b.Features[0].sameBytes
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
	// Unlisted are features that are defined and not hidden, and that the model's own list,
	// which was taken, does not name.
	Unlisted []string
	// Called are the names by which policies (Options.Nulls, Options.Finite) call what the
	// bindings take: a feature's, and that of a column that is taken as it is.
	Called []string
}

// Options say how inputs and columns are matched.
type Options struct {
	// Programs are what columns can become; where one has a column's name it is meant.
	Programs []*feature.Program
	// Features lists the columns of the one [N,F] input.
	Features []string
	// Metadata lists the same from the model's own metadata; Features wins.
	Metadata []string
	// Columns names the columns of inputs, by input; an input that is not
	// named here takes the column of its own name.
	Columns map[string][]string
	Nulls   NullPolicies
	Lossy   LossyCasts
	Finite  FinitePolicy
	// Read lists columns that are read anyway: Plan.Columns begins with them.
	Read []string
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
	b := binder{inputs: inputs, schema: schema, opts: opts, plan: &Plan{Columns: slices.Clone(opts.Read)}, places: map[string]int{}}
	b.names = allNames(opts.Programs, schema)
	b.matrix = b.matrixInput()
	for at, column := range slices.Backward(opts.Read) {
		b.places[column] = at
	}
	b.checkOptions()
	for i := range inputs {
		if err := b.bindInput(&inputs[i]); err != nil {
			b.problems = append(b.problems, err)
		}
	}
	if len(b.problems) > 0 {
		return nil, fmt.Errorf("%w: %w", ErrBind, errors.Join(joinRounds(joinNoColumns(b.problems))...))
	}
	return b.plan, nil
}

type binder struct {
	inputs   []models.Value
	schema   *arrow.Schema
	opts     Options
	plan     *Plan
	places   map[string]int // of the plan's columns among them
	names    []string       // of features and of columns
	matrix   *models.Value  // what --features fills; nil if nothing
	problems []error
}

func (b *binder) fail(format string, args ...any) {
	b.problems = append(b.problems, fmt.Errorf(format, args...))
}

func (b *binder) checkOptions() {
	names := make([]string, len(b.inputs))
	for i, in := range b.inputs {
		names[i] = in.Name
	}
	for _, input := range slices.Sorted(maps.Keys(b.opts.Columns)) {
		if !slices.Contains(names, input) {
			b.fail("--bind names input %q, which the model does not have (its inputs: %s)%s", input, quoted(names), nearest.DidYouMean(input, names))
		}
	}
	there := setOf(b.names)
	for _, column := range slices.Sorted(maps.Keys(b.opts.Nulls.ByColumn)) {
		if !there[column] {
			b.fail("--nulls names column %q, which the data does not have%s", column, nearest.DidYouMean(column, b.names))
		}
	}
	for _, column := range b.opts.Finite.Columns {
		if !there[column] {
			b.fail("--finite names column %q, which the data does not have%s", column, nearest.DidYouMean(column, b.names))
		}
	}
	if len(b.opts.Features) > 0 && b.matrix == nil {
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
		if len(b.inputs) > 1 && (b.program(in.Name) != nil || len(b.schema.FieldIndices(in.Name)) > 0) {
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
	columns, source, err := b.columnsOf(in)
	if err != nil {
		return err
	}
	if len(columns) == 0 {
		return fmt.Errorf("model input %q has an empty list of columns: give --bind %s=column", in.Name, in.Name)
	}
	entries, err := b.entries(in, columns)
	if err != nil {
		return err
	}
	if len(columns) == 1 && entries[0].program == nil && isList(entries[0].field.Type) {
		return b.bindVector(in, entries[0])
	}
	return b.bindScalars(in, entries, source)
}

func (b *binder) fixedRows(in *models.Value) error {
	if !in.HasShape || in.Shape[0].Size < 0 {
		return nil
	}
	rows := int(in.Shape[0].Size)
	switch {
	case rows == 0:
		return fmt.Errorf("model input %q %s takes no rows", in.Name, describe(in))
	case rows > maxWidth:
		return fmt.Errorf("model input %q %s fixes its batch to more rows than a batch can have", in.Name, describe(in))
	case b.plan.FixedRows != 0 && b.plan.FixedRows != rows:
		return fmt.Errorf("model input %q fixes its batch to %d rows, but another input to %d", in.Name, rows, b.plan.FixedRows)
	}
	b.plan.FixedRows = rows
	return nil
}

// feature checks the type of one column's values and its null policy.
func (b *binder) feature(in *models.Value, e entry, values arrow.DataType) (Feature, error) {
	f := e.field
	cast, why := CastOf(values, in.Elem)
	switch {
	case cast == Refused:
		return Feature{}, fmt.Errorf("column %q is %s, but model input %q wants %s: %s", f.Name, f.Type, in.Name, in.Elem, why)
	case cast == Lossy && b.opts.Lossy != AllowLossy:
		return Feature{}, &roundsError{column: f.Name, from: f.Type, input: in.Name, to: in.Elem}
	}
	b.plan.Called = append(b.plan.Called, e.name, f.Name)
	policy, fill, err := b.opts.Nulls.resolve(b.known(e, b.opts.Nulls.ByColumn), in.Elem)
	if err != nil {
		return Feature{}, err
	}
	return Feature{
		Column: f.Name, Type: f.Type, Cast: cast, Nulls: policy, Field: b.read(f.Name), fill: fill, Width: 1,
		sameBytes: cast == Exact && in.Elem != models.String,
		Finite:    b.opts.Finite.of(f.Name, values, in.Elem) || e.name != f.Name && b.opts.Finite.of(e.name, values, in.Elem),
	}, nil
}

// read is a column's place in the plan's columns.
func (b *binder) read(column string) int {
	at, ok := b.places[column]
	if !ok {
		at = len(b.plan.Columns)
		b.plan.Columns = append(b.plan.Columns, column)
		b.places[column] = at
	}
	return at
}

func (b *binder) signature() string {
	parts := make([]string, len(b.inputs))
	for i := range b.inputs {
		parts[i] = fmt.Sprintf("%q %s", b.inputs[i].Name, describe(&b.inputs[i]))
	}
	return strings.Join(parts, ", ")
}
