package filter

import "strings"

// predicate is a part of an expression that is true, false or unknown in a row.
type predicate interface {
	// eval gives what it is in each row of a tile, in words of the tile that are the
	// caller's to change.
	eval(t *tile) truth
	// outcomes are what it may be in some row that has these statistics; more than
	// it can be is never wrong.
	outcomes(s statistics) outcomes
	// String is the predicate as it is understood, with its parentheses.
	String() string
}

// trivalent is a truth value.
type trivalent uint8

const (
	isTrue trivalent = iota
	isFalse
	isUnknown
)

// always is a predicate that is the same in every row.
type always trivalent

func (p always) eval(t *tile) truth { return t.constant(trivalent(p)) }

func (p always) outcomes(statistics) outcomes { return 1 << p }

func (p always) String() string { return [...]string{"true", "false", "nil"}[p] }

// logic is && or || of two or more.
type logic struct {
	any   bool // ||
	parts []predicate
}

// join makes one predicate of two; parts that are themselves joined the same way
// become parts of it, so that a long chain is no deep tree.
func join(either bool, a, b predicate) predicate {
	if l, ok := a.(*logic); ok && l.any == either {
		return &logic{any: either, parts: append(l.parts, b)} // l is dropped
	}
	return &logic{any: either, parts: []predicate{a, b}}
}

func (p *logic) eval(t *tile) truth {
	out := p.parts[0].eval(t)
	for _, part := range p.parts[1:] {
		if p.settled(out, t.rows) {
			break
		}
		m := t.mark()
		next := part.eval(t)
		if p.any {
			out = out.or(next)
		} else {
			out = out.and(next)
		}
		t.reset(m)
	}
	return out
}

// settled says that no further part changes anything in any row.
func (p *logic) settled(a truth, rows int) bool {
	if p.any {
		return count(a.yes) == rows
	}
	return count(a.no) == rows
}

func (p *logic) outcomes(s statistics) outcomes {
	out := p.parts[0].outcomes(s)
	for _, part := range p.parts[1:] {
		if p.any {
			out = out.not().and(part.outcomes(s).not()).not()
		} else {
			out = out.and(part.outcomes(s))
		}
	}
	return out
}

func (p *logic) String() string {
	operator := " && "
	if p.any {
		operator = " || "
	}
	texts := make([]string, len(p.parts))
	for i, part := range p.parts {
		texts[i] = part.String()
	}
	return "(" + strings.Join(texts, operator) + ")"
}

// negation is !.
type negation struct{ of predicate }

func (p *negation) eval(t *tile) truth { return p.of.eval(t).not() }

func (p *negation) outcomes(s statistics) outcomes { return p.of.outcomes(s).not() }

func (p *negation) String() string { return "!" + p.of.String() }

// choice is c ? a : b: b where c is false or unknown.
type choice struct{ cond, then, otherwise predicate }

func (p *choice) eval(t *tile) truth {
	cond := p.cond.eval(t)
	m := t.mark()
	then, otherwise := p.then.eval(t), p.otherwise.eval(t)
	for i, c := range cond.yes {
		cond.yes[i] = c&then.yes[i] | ^c&otherwise.yes[i]
		cond.no[i] = c&then.no[i] | ^c&otherwise.no[i]
	}
	t.reset(m)
	return cond
}

func (p *choice) outcomes(s statistics) (out outcomes) {
	cond := p.cond.outcomes(s)
	if cond&mayBeTrue != 0 {
		out |= p.then.outcomes(s)
	}
	if cond&^mayBeTrue != 0 {
		out |= p.otherwise.outcomes(s)
	}
	return out
}

func (p *choice) String() string {
	return "(" + p.cond.String() + " ? " + p.then.String() + " : " + p.otherwise.String() + ")"
}

// same is == of two truth values, or !=.
type same struct {
	a, b   predicate
	negate bool
}

func (p *same) eval(t *tile) truth {
	a := p.a.eval(t)
	m := t.mark()
	b := p.b.eval(t)
	for i := range a.yes {
		x, y := a.yes[i], a.no[i]
		a.yes[i] = x&b.yes[i] | y&b.no[i]
		a.no[i] = x&b.no[i] | y&b.yes[i]
	}
	t.reset(m)
	if p.negate {
		return a.not()
	}
	return a
}

func (p *same) outcomes(s statistics) outcomes {
	a, b := p.a.outcomes(s), p.b.outcomes(s)
	// As (a && b) || (!a && !b), but for what either makes unknown.
	var out outcomes
	if a&b&(mayBeTrue|mayBeFalse) != 0 {
		out |= mayBeTrue
	}
	if a&mayBeTrue != 0 && b&mayBeFalse != 0 || a&mayBeFalse != 0 && b&mayBeTrue != 0 {
		out |= mayBeFalse
	}
	out |= (a | b) & mayBeUnknown
	if p.negate {
		return out.not()
	}
	return out
}

func (p *same) String() string {
	operator := " == "
	if p.negate {
		operator = " != "
	}
	return "(" + p.a.String() + operator + p.b.String() + ")"
}

// isUnset is == nil of a predicate, or !=: where it is unknown.
type isUnset struct {
	of     predicate
	negate bool
}

func (p *isUnset) eval(t *tile) truth {
	a := p.of.eval(t)
	for i := range a.yes {
		a.yes[i] |= a.no[i]
	}
	invert(a.no, a.yes, t.rows)
	if p.negate {
		return a
	}
	return a.not()
}

func (p *isUnset) outcomes(s statistics) (out outcomes) {
	of := p.of.outcomes(s)
	if of&mayBeUnknown != 0 {
		out |= mayBeTrue
	}
	if of&^mayBeUnknown != 0 {
		out |= mayBeFalse
	}
	if p.negate {
		return out.not()
	}
	return out
}

func (p *isUnset) String() string {
	if p.negate {
		return "(" + p.of.String() + " != nil)"
	}
	return "(" + p.of.String() + " == nil)"
}
