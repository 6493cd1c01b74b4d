package engine

import (
	"errors"
	"slices"
	"testing"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/batcher/feature"
	"github.com/millrace/millrace/models"
)

// TestUnusedFeatures: which features nothing takes, by what each model's own list passes over.
func TestUnusedFeatures(t *testing.T) {
	f := func(name, column string) feature.Feature { return feature.Feature{Name: name, Column: column} }
	hidden := feature.Feature{Name: "h", Column: "c", Hidden: true}
	for _, c := range []struct {
		name     string
		specs    []feature.Feature
		unlisted [][]string // by model
		want     []string
		refused  bool
	}{
		{"a model without a list takes all", []feature.Feature{f("a", "x"), f("b", "y")}, [][]string{nil}, nil, false},
		{"a list that names one", []feature.Feature{f("a", "x"), f("b", "y")}, [][]string{{"b"}}, []string{"b"}, false},
		{"a list that names none", []feature.Feature{f("a", "x"), f("b", "y")}, [][]string{{"a", "b"}}, []string{"a", "b"}, true},
		{"what one of two models takes is used", []feature.Feature{f("a", "x"), f("b", "y")}, [][]string{{"a", "b"}, {"a"}}, []string{"a"}, false},
		{"what a later feature is made of is used", []feature.Feature{f("a", "x"), f("b", "a")}, [][]string{{"a"}}, nil, false},
		{"one of its column's name is not made of itself", []feature.Feature{{Column: "x"}, f("b", "y")}, [][]string{{"x"}}, []string{"x"}, false},
		{"a hidden one need not be used", []feature.Feature{hidden, f("b", "y")}, [][]string{nil}, nil, false},
		{"an input of its name takes it", []feature.Feature{f("input", "x"), f("b", "y")}, [][]string{{"input"}}, nil, false},
		{"no features", nil, [][]string{nil}, nil, false},
	} {
		u := newUnusedFeatures(c.specs)
		for _, names := range c.unlisted {
			u.by(&models.Model{Inputs: []models.Value{{Name: "input"}}}, &batcher.Plan{Unlisted: names})
		}
		if err := u.check(); !slices.Equal(u.names, c.want) || errors.Is(err, ErrUsage) != c.refused {
			t.Errorf("%s: unused %q, check() = %v; want %q, refused %t", c.name, u.names, err, c.want, c.refused)
		}
	}
}
