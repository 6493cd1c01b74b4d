package feature

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/internal/nearest"
)

// ErrFeature says that a feature is not written as it must be, or does not fit the
// data.
var ErrFeature = errors.New("features")

// maxInputs bounds the columns of one feature.
const maxInputs = 1 << 10

// Compile fits features to the columns of a schema, and gives a program for each. Its
// error wraps ErrFeature and joins every problem found; each names the feature, the
// transform and what to do.
func Compile(specs []Feature, schema *arrow.Schema) ([]*Program, error) {
	programs, unfit, err := Fit(specs, schema)
	if err := cmp.Or(err, unfit); err != nil {
		return nil, err
	}
	return programs, nil
}

// Fit is Compile for who may take some of the features alone: where a feature, or one that it is made
// of, does not fit the schema, its program is Unfit, and unfit says all that Compile's error does.
// err is of features that are not written as they must be, whatever the schema; there are no programs then.
func Fit(specs []Feature, schema *arrow.Schema) (programs []*Program, unfit, err error) {
	c := compiler{schema: schema}
	for _, f := range specs {
		if f.Name == "" {
			f.Name = f.Column
		}
		c.specs = append(c.specs, f)
	}
	for i := range c.specs {
		before := len(c.problems)
		p := c.compile(i)
		if len(c.problems) > before {
			p = nil
		}
		c.done = append(c.done, p)
	}
	if len(c.problems) == 0 {
		return c.done, nil, nil
	}
	problems := fmt.Errorf("%w: %w", ErrFeature, errors.Join(c.problems...))
	if c.miswritten {
		return nil, nil, problems
	}
	for i, p := range c.done {
		if p == nil {
			c.done[i] = &Program{feature: c.specs[i], unfit: true}
		}
	}
	return c.done, problems, nil
}

type compiler struct {
	schema   *arrow.Schema
	specs    []Feature  // with their names
	done     []*Program // those before the current one; nil where there were problems
	clocks   map[clockKey]*Program
	problems []error
	// miswritten says that one of the problems is none of the schema's.
	miswritten bool
}

// wrong notes what is wrong with the current feature, whatever the schema.
func (c *compiler) wrong(err error) {
	c.miswritten = true
	c.bad(err)
}

// bad notes a problem of the current feature.
func (c *compiler) bad(err error) {
	at := len(c.done)
	name := fmt.Sprintf("%q", c.specs[at].Name)
	if c.specs[at].Name == "" {
		name = strconv.Itoa(at + 1)
	}
	c.problems = append(c.problems, fmt.Errorf("feature %s: %w", name, err))
}

// compile compiles a feature; it is of use where no problem came up.
func (c *compiler) compile(at int) *Program {
	f := c.specs[at]
	for i := range c.specs[:at] {
		if c.specs[i].Name == f.Name && f.Name != "" {
			c.wrong(fmt.Errorf("the name stands twice, for features %d and %d; give one of them another", i+1, at+1))
		}
	}
	sources := f.Columns
	switch {
	case f.Column == "" && len(f.Columns) == 0:
		c.wrong(errors.New("has neither column nor columns"))
	case f.Column != "" && len(f.Columns) > 0:
		c.wrong(errors.New("has both column and columns; columns is for ratio, diff, product and haversine"))
	case len(f.Columns) > maxInputs:
		c.wrong(fmt.Errorf("has %d columns; %d are the most", len(f.Columns), maxInputs))
		sources = nil
	case f.Name == "":
		c.wrong(errors.New("is made of several columns, so it needs a name"))
	}
	if f.Column != "" {
		sources = []string{f.Column}
	}
	p := &Program{feature: f}
	for _, name := range sources {
		in, err := c.input(name)
		if err != nil {
			c.bad(err)
		}
		p.inputs = append(p.inputs, in)
	}
	if slices.ContainsFunc(p.inputs, func(in input) bool { return in.column == "" && in.from == nil }) || len(p.inputs) == 0 {
		return nil
	}
	c.chain(p)
	return p
}

// input finds what a name stands for: an earlier feature, or a column. Where the error
// is nil and it is neither, that was said before.
func (c *compiler) input(name string) (input, error) {
	at := len(c.done)
	for i := range c.done {
		if c.specs[i].Name == name && c.done[i] != nil {
			return featureInput(c.done[i])
		} else if c.specs[i].Name == name {
			return input{}, nil
		}
	}
	switch fields := c.schema.FieldIndices(name); {
	case len(fields) == 1:
		field := c.schema.Field(fields[0])
		return input{column: name, typ: field.Type}, nil
	case len(fields) > 1:
		return input{}, fmt.Errorf("column %q stands %d times in the data; which one is meant cannot be told", name, len(fields))
	case slices.ContainsFunc(c.specs[at+1:], func(f Feature) bool { return f.Name == name }):
		return input{}, fmt.Errorf("%q is a feature that comes later; move it before this one", name)
	}
	var known []string
	for _, f := range c.specs[:at] {
		known = append(known, f.Name)
	}
	for _, f := range c.schema.Fields() {
		known = append(known, f.Name)
	}
	return input{}, fmt.Errorf("no column or earlier feature %q%s", name, nearest.DidYouMean(name, known))
}

// featureInput takes another feature's values; of a bare column it is the column.
func featureInput(p *Program) (input, error) {
	if len(p.steps) == 0 && p.combine == nil {
		return p.inputs[0], nil
	}
	if w := p.Width(); w != 1 {
		return input{}, fmt.Errorf("feature %q has %d values a row, and other features take those of one", p.Name(), w)
	}
	if p.typ().form == formSlots { // of one category
		return input{}, fmt.Errorf("feature %q is a onehot, which other features do not take; use equals", p.Name())
	}
	return input{from: p, is: p.typ()}, nil
}

// chain compiles the feature's transforms one after the other.
func (c *compiler) chain(p *Program) {
	steps := p.feature.Transforms
	names := make([]string, len(steps))
	whole := true
	for i := range steps {
		name, err := steps[i].Transform()
		if names[i] = name; err != nil {
			c.wrong(fmt.Errorf("transform %d %w", i+1, err))
			whole = false
		}
	}
	if !whole || !c.types(p) {
		return
	}
	if len(p.inputs) > 1 || len(p.feature.Columns) > 0 {
		if len(steps) == 0 || !steps[0].combines() {
			c.wrong(errors.New("has columns, and its first transform is not one of ratio, diff, product and haversine, which combine them"))
			return
		}
		in := make([]valueType, len(p.inputs))
		for i := range p.inputs {
			in[i] = p.inputs[i].is
		}
		combine, err := steps[0].combine(in)
		if err != nil {
			c.bad(fmt.Errorf("transform 1 (%s): %w", names[0], err))
			return
		}
		p.combine, p.types = combine, []valueType{{form: formFloat64}}
		steps, names = steps[1:], names[1:]
	}
	for i := range steps {
		if !c.step(p, &steps[i], names[i]) {
			return
		}
	}
	if last := p.typ(); len(p.steps) > 0 && last.form == formTime {
		c.bad(fmt.Errorf("ends in a %s, which is no number: take a part of it by datetime, or its count of units by cast: {to: int64}", last.time.class))
	}
	c.shareClock(p)
	p.sum()
}

// shareClock has a part of a column's time taken of what its clock shows, which is
// computed once for all features that want it.
func (c *compiler) shareClock(p *Program) {
	in := &p.inputs[0]
	if len(p.steps) == 0 || p.combine != nil || in.from != nil || in.is.form != formTime {
		return
	}
	d := p.feature.Transforms[0].DateTime
	if d == nil || d.Part == Epoch {
		return
	}
	step, key, err := d.clock(in.is)
	if err != nil {
		return // it was compiled before
	}
	key.column = in.column
	clock, known := c.clocks[key]
	if !known {
		clock = &Program{inputs: []input{*in}, steps: []compiled{step}, types: []valueType{in.is, step.out}}
		clock.sum()
		if c.clocks == nil {
			c.clocks = map[clockKey]*Program{}
		}
		c.clocks[key] = clock
	}
	*in = input{from: clock, is: clock.typ()}
	p.steps[0], p.types[0] = d.part(), clock.typ()
}

// types finds those of the program's columns, where there is something to compute.
func (c *compiler) types(p *Program) bool {
	whole := true
	if len(p.feature.Transforms) > 0 || len(p.feature.Columns) > 0 {
		for i := range p.inputs {
			in := &p.inputs[i]
			if in.from != nil {
				continue
			}
			var err error
			if in.is, err = typeOf(in.typ); err != nil {
				c.bad(fmt.Errorf("column %q is %s: %w", in.column, in.typ, err))
				whole = false
			}
		}
	}
	p.types = []valueType{p.inputs[0].is}
	return whole
}

// step compiles one transform, and reports whether it is sound.
func (c *compiler) step(p *Program, s *Step, name string) bool {
	number := len(p.steps) + 1
	if p.combine != nil {
		number++
	}
	if n := len(p.steps); n > 0 && (p.steps[n-1].width > 0 || p.typ().form == formPair) {
		c.bad(fmt.Errorf("transform %d (%s): comes after one that gives several values a row, which must be the last", number, name))
		return false
	}
	if p.typ().form == formNull {
		p.types[len(p.types)-1] = s.settle()
	}
	compiled, err := s.compile(p.typ())
	if err != nil {
		c.bad(fmt.Errorf("transform %d (%s): %w", number, name, err))
		return false
	}
	p.steps = append(p.steps, compiled)
	p.types = append(p.types, compiled.out)
	return true
}
