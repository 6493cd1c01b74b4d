package feature

import (
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
)

// Program is a feature that is known to fit a schema, unless it is Unfit. It is immutable.
type Program struct {
	feature Feature
	inputs  []input
	combine combiner // nil where there is one input
	steps   []compiled
	types   []valueType // before each step, and at the end

	columns []string
	rejects bool
	unfit   bool
}

// input is a column, or another feature's values.
type input struct {
	column string
	typ    arrow.DataType
	from   *Program // nil for a column
	is     valueType
}

// Values says what a program gives.
type Values int

// The kinds of values.
const (
	Numbers  Values = iota // one a row
	Integers               // one a row, exact
	Unsigned               // one a row, exact: the bits of uint64
	Texts                  // one a row
	OneOf                  // several a row, of which one at most is 1 and the others 0
	Pairs                  // two a row
	AsColumn               // a bare column's own
)

// Name is what others call the feature.
func (p *Program) Name() string { return p.feature.Name }

// Hidden says that only other features use it.
func (p *Program) Hidden() bool { return p.feature.Hidden }

// Unfit says that the feature, or one that it is made of, does not fit the schema: it has a name
// and nothing else.
func (p *Program) Unfit() bool { return p.unfit }

// Column is the column that the feature is, as it is; ok is false for one that is
// computed.
func (p *Program) Column() (name string, ok bool) {
	if len(p.steps) > 0 || p.combine != nil {
		return "", false
	}
	return p.inputs[0].column, p.inputs[0].from == nil
}

// Values says what the program gives.
func (p *Program) Values() Values {
	if _, bare := p.Column(); bare {
		return AsColumn
	}
	switch p.typ().form {
	case formInt:
		return Integers
	case formUint:
		return Unsigned
	case formText:
		return Texts
	case formSlots:
		return OneOf
	case formPair:
		return Pairs
	default:
		return Numbers
	}
}

func (p *Program) typ() valueType { return p.types[len(p.types)-1] }

// Width is the number of values a row.
func (p *Program) Width() int {
	if n := len(p.steps); n > 0 && p.steps[n-1].width > 0 {
		return p.steps[n-1].width
	}
	if p.typ().form == formPair {
		return 2
	}
	return 1
}

// ValueName is the name of one of a row's values: the feature's where it is the only
// one, and of a one-hot with the category, as in carrier=AA.
func (p *Program) ValueName(i int) string {
	switch n := len(p.steps); {
	case n > 0 && p.steps[n-1].names != nil:
		return p.Name() + p.steps[n-1].names(i)
	case p.typ().form == formPair:
		return p.Name() + [...]string{"_sin", "_cos"}[i]
	default:
		return p.Name()
	}
}

// Columns are the columns that the program reads, other features' too, each once; it
// is borrowed.
func (p *Program) Columns() []string { return p.columns }

// glances says that the program's first step only glances at each text of a column.
func (p *Program) glances() bool { return p.combine == nil && len(p.steps) > 0 && p.steps[0].glances }

// Rejects says whether a row can be rejected because the feature, or one that it is
// made of, asks for that.
func (p *Program) Rejects() bool { return p.rejects }

// sum notes what is true of the program and of all that it is made of.
func (p *Program) sum() {
	p.rejects = slices.ContainsFunc(p.steps, func(s compiled) bool { return s.rejects })
	for _, in := range p.inputs {
		more := []string{in.column}
		if in.from != nil {
			more = in.from.columns
			p.rejects = p.rejects || in.from.rejects
		}
		for _, name := range more {
			if !slices.Contains(p.columns, name) {
				p.columns = append(p.columns, name)
			}
		}
	}
}

// Type is the type of the feature's first column, for people.
func (p *Program) Type() arrow.DataType {
	for p.inputs[0].from != nil {
		p = p.inputs[0].from
	}
	return p.inputs[0].typ
}

// Wide says that the program gives several values a row as a rule, which are written
// where they belong and not as columns.
func (p *Program) Wide() bool { return p.typ().form == formSlots || p.typ().form == formPair }
