package feature

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// What to do about an unknown category.
const (
	adviseMap    = "add it to the map's values, or give the map a default"
	adviseOneHot = "add it to the categories, or say what an unknown one becomes: unknown: zeros or unknown: other"
)

func compileMap(m *Map, in valueType) (compiled, error) {
	out := compiled{out: valueType{form: formFloat64}}
	if err := wantsCategory(in); err != nil {
		return out, err
	}
	set, values, err := m.categories(in)
	if err != nil {
		return out, err
	}
	reject, other := true, 0.0
	if d := m.Default; d != nil && (d.Kind != Text || d.Text != wordReject) {
		reject = false
		if other, err = numberOrNaN(*d); err != nil {
			return out, fmt.Errorf("default: %w", err)
		}
	}
	out.make, out.glances = newMapped(values, other, reject, in).runnerOf(set), set.glances()
	return out, nil
}

// categories are those of the map's values, by name, and their numbers.
func (m *Map) categories(in valueType) (*categories, []float64, error) {
	var problems []error
	set := newCategories(in.form)
	values := make([]float64, 0, len(m.Values)+1)
	if len(m.Values) == 0 && m.Null == nil && m.Default == nil {
		problems = append(problems, errors.New("has no values"))
	}
	for _, name := range slices.Sorted(maps.Keys(m.Values)) {
		problems = append(problems, set.add(TextOf(name), int32(len(values))), finite(fmt.Sprintf("value of %q", name), m.Values[name]))
		values = append(values, m.Values[name])
	}
	if m.Null != nil {
		problems = append(problems, finite("null", *m.Null), set.add(Scalar{}, int32(len(values))))
		values = append(values, *m.Null)
	}
	set.seal()
	return set, values, errors.Join(problems...)
}

// mapped says what slots become.
type mapped struct {
	values []float64 // from deadSlot on: what is no category has its place, too
	reject bool      // the rows of unknownSlot
	in     valueType
}

func newMapped(values []float64, other float64, reject bool, in valueType) mapped {
	all := make([]float64, -deadSlot, len(values)-int(deadSlot))
	all[unknownSlot-deadSlot] = other
	return mapped{values: append(all, values...), reject: reject, in: in}
}

// runnerOf makes a step of a set of categories.
func (m mapped) runnerOf(set *categories) func() runner {
	return func() runner {
		find, slots := set.finder(), make([]int32, TileRows)
		return func(t *tile, l *lane) {
			find(t.n, l, slots)
			m.write(t, l, slots)
		}
	}
}

// write writes the values of slots; a null that has one is none any more.
func (m mapped) write(t *tile, l *lane, slots []int32) {
	if l.marked {
		for r, k := range slots[:t.n] {
			if k >= 0 {
				l.marks[r] = Present
			}
		}
	}
	for r, k := range slots[:t.n] {
		l.f[r] = m.values[k-deadSlot]
	}
	if !m.reject {
		return
	}
	for r, k := range slots[:t.n] {
		if k == unknownSlot {
			t.badCategory(l, m.in, r, adviseMap)
		}
	}
}

// badCategory reports a row whose value is no category.
func (t *tile) badCategory(l *lane, in valueType, row int, advice string) {
	t.bad(l, row, "category "+l.quote(in, row)+" is unknown", advice)
}

// quote is the value of a row, for messages.
func (l *lane) quote(in valueType, row int) string {
	switch {
	case in.form == formText:
		return fmt.Sprintf("%.40q", l.texts.text(l.c[row]))
	case in.isNumber():
		return string(newWriter().row(l, in.form, row))
	default:
		return strconv.FormatInt(l.i[row], 10)
	}
}

func compileEquals(s Scalar, in valueType) (compiled, error) {
	out := compiled{out: valueType{form: formFloat64}}
	if err := wantsCategory(in); err != nil {
		return out, err
	}
	set := newCategories(in.form)
	if err := set.add(s, 1); err != nil {
		return out, err
	}
	set.seal()
	out.make, out.glances = newMapped([]float64{0, 1}, 0, false, in).runnerOf(set), set.glances()
	return out, nil
}
