package engine

import (
	"fmt"
	"maps"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/engine/agreement"
	"github.com/millrace/millrace/internal/half"
	"github.com/millrace/millrace/internal/nearest"
	"github.com/millrace/millrace/models"
)

// mostPairs bounds the predictions that are compared; each takes some megabytes.
const mostPairs = 32

// pairing is one prediction of a champion and a challenger.
type pairing struct {
	agreement.Pair

	champion, challenger side
}

// side is one value a row among a result's predictions.
type side struct {
	name    string // of the column, without prefix, and of the place in a list
	shown   string // the same with its prefix
	kind    agreement.Kind
	column  int // index into the predictions
	element int // of width, where the column is a list
	width   int
}

// role is what outputs must have in common to be compared unasked.
type role int

const (
	roleNone    role = iota
	roleNumber       // one floating number a row
	roleClasses      // scores of known classes
	roleLabel        // an integer, a text or a truth value a row
)

func (s *outputSpec) role() role {
	floating := false
	switch s.value.Elem {
	case models.Float16, models.BFloat16, models.Float32, models.Float64:
		floating = true
	}
	one := len(s.item) == 0 || len(s.item) == 1 && s.item[0] == 1
	switch {
	case floating && s.perClass():
		return roleClasses
	case floating && one:
		return roleNumber
	case one:
		return roleLabel
	default:
		return roleNone
	}
}

// sides are the values of an output that can be compared; column is the output's first.
func (s *outputSpec) sides(column int) (all []side) {
	r, fields := s.role(), s.fields()
	switch {
	case r == roleNone:
		return nil
	case r == roleClasses && !s.split():
		for i := range s.width() {
			name := fmt.Sprintf("%s[%s]", s.value.Name, s.suffix(i))
			all = append(all, side{name: name, shown: s.prefix + name, kind: agreement.Number, column: column, element: i, width: s.width()})
		}
		return all
	}
	kind := agreement.Number
	if r == roleLabel {
		kind = agreement.Label
	}
	for i, f := range fields {
		all = append(all, side{name: f.Name[len(s.prefix):], shown: f.Name, kind: kind, column: column + i, width: 1})
	}
	return all
}

// shaped are the outputs of one model, whose shapes are known, with what of them can be
// compared.
type shaped struct {
	specs []outputSpec
	sides [][]side // by output
}

// all are the sides of all outputs.
func (s *shaped) all() []side { return slices.Concat(s.sides...) }

// pairs says which predictions of each challenger are compared with which of the
// champion, and which are not. Outputs are the plan's, with shapes. The error wraps
// ErrUsage where the user asked for what is not there.
func (p *Plan) pairs(outputs []outputSpec) (pairs []pairing, left []string, err error) {
	column := 0
	all := make([]shaped, len(p.models))
	for i := range p.models {
		m := &p.models[i]
		all[i].specs = outputs[m.from:m.to]
		for k := range all[i].specs {
			s := &all[i].specs[k]
			all[i].sides = append(all[i].sides, s.sides(column))
			column += len(s.fields())
		}
	}
	for i := 1; i < len(all); i++ {
		m := &p.models[i]
		of := matched(&all[0], &all[i])
		if len(m.compare) > 0 {
			if of, err = asked(&all[0], &all[i], m.compare); err != nil {
				return nil, nil, m.named(err)
			}
		}
		for _, one := range of {
			one.Model, one.Champion, one.Challenger, one.Kind = m.name, one.champion.shown, one.challenger.shown, one.champion.kind
			if len(pairs) < mostPairs {
				pairs = append(pairs, one)
			}
		}
		for _, s := range all[i].all() {
			if !slices.ContainsFunc(pairs, func(p pairing) bool { return p.Model == m.name && p.challenger == s }) {
				left = append(left, s.shown)
			}
		}
	}
	return pairs, left, p.checkLimitsApply(pairs)
}

// knownPairs are those that the models' signatures tell; none where a shape is known only
// when the run begins.
func (p *Plan) knownPairs() (pairs []pairing, left []string, err error) {
	if len(p.models) < 2 || slices.ContainsFunc(p.outputs, func(s outputSpec) bool { return s.item == nil }) {
		return nil, nil, nil
	}
	return p.pairs(p.outputs)
}

// matched pairs outputs of one role and name, and then those that are the only ones left
// of their role on both sides. Of classes it pairs those of one label.
func matched(champion, challenger *shaped) (pairs []pairing) {
	taken := map[int]int{} // the champion's outputs, by the challenger's
	used := map[int]bool{}
	find := func(i int, fits func(*outputSpec) bool) (found []int) {
		for k := range champion.specs {
			if c := &champion.specs[k]; !used[k] && c.role() == challenger.specs[i].role() && fits(c) {
				found = append(found, k)
			}
		}
		return found
	}
	take := func(i int, found []int) {
		if len(found) == 1 {
			taken[i], used[found[0]] = found[0], true
		}
	}
	for i := range challenger.specs {
		take(i, find(i, func(c *outputSpec) bool { return c.value.Name == challenger.specs[i].value.Name }))
	}
	for i := range challenger.specs {
		if _, ok := taken[i]; !ok && challenger.only(i, taken) {
			take(i, find(i, func(*outputSpec) bool { return true }))
		}
	}
	for i := range challenger.specs {
		k, ok := taken[i]
		if !ok || challenger.specs[i].role() == roleNone {
			continue
		}
		pairs = append(pairs, sidesOf(&champion.specs[k], champion.sides[k], &challenger.specs[i], challenger.sides[i])...)
	}
	return pairs
}

// only says whether no other output of an output's role is left.
func (s *shaped) only(i int, taken map[int]int) bool {
	for k := range s.specs {
		if _, ok := taken[k]; !ok && k != i && s.specs[k].role() == s.specs[i].role() {
			return false
		}
	}
	return true
}

// sidesOf pairs the values of two outputs of one role.
func sidesOf(champion *outputSpec, a []side, challenger *outputSpec, b []side) (pairs []pairing) {
	if champion.role() != roleClasses {
		return []pairing{{champion: a[0], challenger: b[0]}}
	}
	for i := range a {
		for k := range b {
			if champion.suffix(i) == challenger.suffix(k) {
				pairs = append(pairs, pairing{champion: a[i], challenger: b[k]})
			}
		}
	}
	return pairs
}

// asked pairs what a model's compare names.
func asked(champion, challenger *shaped, compare map[string]string) (pairs []pairing, err error) {
	find := func(of string, all []side, name string) (side, error) {
		names := make([]string, len(all))
		for i, s := range all {
			if s.name == name {
				return s, nil
			}
			names[i] = s.name
		}
		return side{}, fmt.Errorf("%w: compare names %q, which is no number, score of a class or label of the %s%s; it has %q",
			ErrUsage, name, of, nearest.DidYouMean(name, names), names)
	}
	for _, name := range slices.Sorted(maps.Keys(compare)) {
		b, err := find("model", challenger.all(), name)
		if err != nil {
			return nil, err
		}
		a, err := find("first model", champion.all(), compare[name])
		if err != nil {
			return nil, err
		}
		if a.kind != b.kind {
			return nil, fmt.Errorf("%w: compare: %q is a %s and %q of the first model a %s", ErrUsage, name, b.kind, compare[name], a.kind)
		}
		pairs = append(pairs, pairing{champion: a, challenger: b})
	}
	return pairs, nil
}

// numbers are a side's values of so many rows from one on, in memory that is reused.
func (s *side) numbers(predictions []arrow.Array, row, rows int, to []float64) []float64 {
	leaf, from := predictions[s.column], row*s.width+s.element
	if list, ok := leaf.(*array.FixedSizeList); ok {
		start, _ := list.ValueOffsets(0)
		leaf, from = leafOf(leaf), from+int(start)
	}
	to = slices.Grow(to[:0], rows)[:rows]
	switch leaf := leaf.(type) {
	case *array.Float32:
		widen(to, leaf.Float32Values()[from:], s.width)
	case *array.Float64:
		widen(to, leaf.Float64Values()[from:], s.width)
	case *array.Float16:
		for i := range to {
			to[i] = float64(half.Float32(leaf.Value(from + i*s.width)))
		}
	}
	return to
}

// widen takes every stride-th value.
func widen[F float32 | float64](to []float64, from []F, stride int) {
	if stride == 1 {
		for i, x := range from[:len(to)] {
			to[i] = float64(x)
		}
		return
	}
	for i := range to {
		to[i] = float64(from[i*stride])
	}
}

// sameLabels counts rows, but for those that are out, and those of them with equal
// labels.
func sameLabels(a, b arrow.Array, out []bool) (rows, equal int64) {
	same := func(i int) bool { return a.ValueStr(i) == b.ValueStr(i) }
	switch a := a.(type) {
	case *array.Int64:
		if b, ok := b.(*array.Int64); ok {
			same = func(i int) bool { return a.Value(i) == b.Value(i) }
		}
	case *array.String:
		if b, ok := b.(*array.String); ok {
			same = func(i int) bool { return a.Value(i) == b.Value(i) }
		}
	}
	for i := range a.Len() {
		if out != nil && out[i] {
			continue
		}
		rows++
		if same(i) {
			equal++
		}
	}
	return rows, equal
}
