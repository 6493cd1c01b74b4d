package batcher

import (
	"errors"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/batcher/feature"
	"github.com/millrace/millrace/internal/nearest"
	"github.com/millrace/millrace/models"
)

// entry is one name of an input's list: a column, or a feature that is computed.
type entry struct {
	name    string
	field   arrow.Field      // of a column
	program *feature.Program // nil for a column
}

// width is the number of values a row.
func (e *entry) width() int64 {
	if e.program == nil {
		return 1
	}
	return int64(e.program.Width())
}

// program is the feature of a name; nil where there is none.
func (b *binder) program(name string) *feature.Program {
	for _, p := range b.opts.Programs {
		if p.Name() == name {
			return p
		}
	}
	return nil
}

// allNames are those of features and of columns.
func allNames(programs []*feature.Program, schema *arrow.Schema) []string {
	names := make([]string, 0, len(programs)+schema.NumFields())
	for _, p := range programs {
		names = append(names, p.Name())
	}
	there := setOf(names)
	for _, column := range columnNames(schema) {
		if !there[column] {
			names, there[column] = append(names, column), true
		}
	}
	return names
}

// listed says whether the model has a list of its own, and each of its names is that of
// a feature or of a column. Features that it leaves out are noted.
func (b *binder) listed() bool {
	if len(b.opts.Metadata) == 0 {
		return false
	}
	there := setOf(b.names)
	if slices.ContainsFunc(b.opts.Metadata, func(n string) bool { return !there[n] }) {
		return false
	}
	listed := setOf(b.opts.Metadata)
	b.plan.Unlisted = slices.DeleteFunc(b.shown(), func(n string) bool { return listed[n] })
	return true
}

func setOf(names []string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return set
}

// shown are the features that are not hidden.
func (b *binder) shown() []string {
	var all []string
	for _, p := range b.opts.Programs {
		if !p.Hidden() {
			all = append(all, p.Name())
		}
	}
	return all
}

// entries finds features and columns by name; its error names every one that is not
// there.
func (b *binder) entries(in *models.Value, names []string) ([]entry, error) {
	entries := make([]entry, len(names))
	problems := make([]error, 0, len(names))
	for i, name := range names {
		var err error
		if entries[i], err = b.entry(in, name); err != nil {
			problems = append(problems, err)
		}
	}
	return entries, errors.Join(shorten(problems, in)...)
}

// missingError says that a name is none of the data's. A name that is near is looked for when it is said:
// of thousands that are missing, among thousands that are there, the first ones are.
type missingError struct {
	says string
	name string // that is missing; empty where several are
	of   *binder
}

func (e *missingError) what() string {
	if e.name == "" {
		return e.says
	}
	return e.says + nearest.DidYouMean(e.name, e.of.names)
}

func (e *missingError) Error() string {
	if len(e.of.opts.Programs) > 0 {
		return e.what() + "; there are " + quoted(e.of.names)
	}
	return e.what() + "; the data's columns are " + quoted(columnNames(e.of.schema))
}

// mostMissing are the names that are listed where more than that are missing.
const mostMissing = 10

// shorten names the first of the names that are missing, and has what is there said once, with
// the last.
func shorten(problems []error, in *models.Value) []error {
	var short []error
	var missing []*missingError
	for _, err := range problems {
		if m, ok := errors.AsType[*missingError](err); ok {
			missing = append(missing, m)
		} else {
			short = append(short, err)
		}
	}
	for i, m := range missing {
		switch left := len(missing) - i; {
		case left == 1:
			return append(short, m)
		case i == mostMissing:
			return append(short, &missingError{says: fmt.Sprintf("and %d more of model input %q", left, in.Name), of: m.of})
		}
		short = append(short, errors.New(m.what()))
	}
	return short
}

func (b *binder) entry(in *models.Value, name string) (entry, error) {
	column := name
	if p := b.program(name); p != nil {
		if p.Unfit() {
			return entry{}, fmt.Errorf("feature %q for model input %q does not fit the data", name, in.Name)
		}
		bare, ok := p.Column()
		if !ok {
			return entry{name: name, program: p}, nil
		}
		column = bare
	}
	at := b.schema.FieldIndices(column)
	switch len(at) {
	case 1:
		return entry{name: name, field: b.schema.Field(at[0])}, nil
	case 0:
		kind := "column"
		if len(b.opts.Programs) > 0 {
			kind = "feature or column"
		}
		return entry{}, &missingError{fmt.Sprintf("no %s %q for model input %q", kind, name, in.Name), name, b}
	default:
		return entry{}, fmt.Errorf("column %q for model input %q stands %d times in the data; which one is meant cannot be told", name, in.Name, len(at))
	}
}

// known is the name by which settings of columns say something of an entry: its own,
// or that of the column that it is.
func (b *binder) known(e entry, byName map[string]NullPolicy) string {
	if _, ok := byName[e.name]; ok || e.program != nil {
		return e.name
	}
	return e.field.Name
}

// computed checks that a computed feature's values are what an input wants.
func (b *binder) computed(in *models.Value, e entry) (Feature, error) {
	text := e.program.Values() == feature.Texts
	switch {
	case text && in.Elem != models.String:
		return Feature{}, fmt.Errorf("feature %q is text, but model input %q wants %s: give it a number by map, onehot, hash or cast", e.name, in.Name, in.Elem)
	case !text && in.Elem == models.String:
		return Feature{}, fmt.Errorf("feature %q is a number, but model input %q wants text: cast it (cast: {to: string})", e.name, in.Name)
	}
	b.plan.Called = append(b.plan.Called, e.name)
	policy, fill, err := b.opts.Nulls.resolve(e.name, in.Elem)
	if err != nil {
		return Feature{}, err
	}
	for _, column := range e.program.Columns() {
		b.read(column)
	}
	finite := elementNumbers[in.Elem].class == classFloat && (b.opts.Finite.All || slices.Contains(b.opts.Finite.Columns, e.name))
	return Feature{
		Column: e.name, Type: e.program.Type(), Cast: Widening, Nulls: policy, Field: -1, fill: fill,
		Program: e.program, Width: e.program.Width(), Finite: finite,
	}, nil
}
