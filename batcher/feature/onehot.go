package feature

import (
	"errors"
	"fmt"
	"strings"
)

// maxValues is the most values of a row that one feature may have.
const maxValues = 1 << 20

// dropped is the number of a category that is known and has no value of its own.
const dropped = int32(maxValues)

func compileOneHot(o *OneHot, in valueType) (compiled, error) {
	out := compiled{out: valueType{form: formSlots}}
	if err := wantsCategory(in); err != nil {
		return out, err
	}
	set, err := o.categories(in)
	if err != nil {
		return out, err
	}
	out.width, out.names, out.glances = o.width(), o.valueName, set.glances()
	out.make = func() runner {
		find, slots := set.finder(), make([]int32, TileRows)
		return func(t *tile, l *lane) {
			find(t.n, l, slots)
			o.place(t, l, in, slots)
			copy(l.codes, slots[:t.n])
			l.c = l.codes
		}
	}
	return out, nil
}

func (o *OneHot) categories(in valueType) (*categories, error) {
	var problems []error
	set := newCategories(in.form)
	if len(o.Categories) == 0 {
		problems = append(problems, errors.New("has no categories"))
	}
	if len(o.Categories) >= maxValues {
		problems = append(problems, fmt.Errorf("has %d categories; %d are the most", len(o.Categories), maxValues-1))
	}
	for i, c := range o.Categories {
		if len(c) == 0 {
			problems = append(problems, fmt.Errorf("category %d is an empty list", i+1))
		}
		for _, s := range c {
			problems = append(problems, set.add(s, int32(i)))
		}
	}
	for _, s := range o.Drop {
		problems = append(problems, set.add(s, dropped))
	}
	problems = append(problems, oneOf("unknown", o.Unknown))
	set.seal()
	return set, errors.Join(problems...)
}

func (o *OneHot) width() int {
	if o.Unknown == UnknownOther {
		return len(o.Categories) + 1
	}
	return len(o.Categories)
}

// valueName is that of a value, after the feature's name.
func (o *OneHot) valueName(i int) string {
	if i == len(o.Categories) {
		return "=other"
	}
	parts := make([]string, len(o.Categories[i]))
	for k, s := range o.Categories[i] {
		if parts[k] = s.Text; s.Kind == Null {
			parts[k] = "null"
		}
	}
	return "=" + strings.Join(parts, "|")
}

// place turns the numbers of categories into places in the row, -1 where there is
// none. A null is a category like others, so nothing stays null.
func (o *OneHot) place(t *tile, l *lane, in valueType, slots []int32) {
	for r, k := range slots[:t.n] {
		switch {
		case k == dropped:
			slots[r] = -1
		case k >= 0, k == deadSlot:
		case o.Unknown == UnknownOther:
			slots[r] = int32(len(o.Categories))
		case o.Unknown == UnknownZeros:
			slots[r] = -1
		case k == nullSlot:
			t.bad(l, r, "null is no category", adviseOneHot)
		default:
			t.badCategory(l, in, r, adviseOneHot)
		}
	}
	l.replaceNulls(t.n, func(int) {})
	for r, k := range slots[:t.n] {
		slots[r] = max(k, -1)
	}
}
