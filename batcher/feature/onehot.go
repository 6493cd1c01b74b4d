package feature

import (
	"errors"
	"fmt"
	"strings"
)

// maxValues is the most values of a row that one feature may have.
const maxValues = 1 << 20

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
		find, numbers, places := set.finder(), make([]int32, TileRows), o.places()
		return func(t *tile, l *lane) {
			find(t.n, l, numbers)
			if o.Unknown == UnknownReject || o.Unknown == "" {
				rejectUnknown(t, l, in, numbers)
			}
			l.replaceNulls(t.n, func(int) {}) // a null is a category like others, so nothing stays null
			for r, k := range numbers[:t.n] {
				l.codes[r] = places[k-deadSlot]
			}
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
		problems = append(problems, set.add(s, o.dropped()))
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

// dropped is the number of a category that is known and has no value of its own.
func (o *OneHot) dropped() int32 { return int32(len(o.Categories)) }

// places are where the 1 stands in a row, by the category's number from deadSlot on; -1: nowhere.
func (o *OneHot) places() []int32 {
	places := make([]int32, 0, len(o.Categories)+1-int(deadSlot))
	for number := deadSlot; number <= o.dropped(); number++ {
		place := number
		switch {
		case number == o.dropped(), number == deadSlot:
			place = -1
		case number < 0:
			if place = -1; o.Unknown == UnknownOther {
				place = int32(len(o.Categories))
			}
		}
		places = append(places, place)
	}
	return places
}

// rejectUnknown reports the rows that no category is for.
func rejectUnknown(t *tile, l *lane, in valueType, numbers []int32) {
	for r, k := range numbers[:t.n] {
		switch k {
		case nullSlot:
			t.bad(l, r, "null is no category", adviseOneHot)
		case unknownSlot:
			t.badCategory(l, in, r, adviseOneHot)
		}
	}
}
