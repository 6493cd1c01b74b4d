package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/batcher/feature"
	"github.com/millrace/millrace/models"
)

// unusedFeatures are those that a job defines for models, and that no model takes, since each
// has a list of its own: one misspelt, and the model gets the raw column in place of it.
type unusedFeatures struct {
	defined []string // that are not hidden
	names   []string // of them those that nothing takes
}

// newUnusedFeatures begins with all that no other feature is made of.
func newUnusedFeatures(specs []feature.Feature) *unusedFeatures {
	u := &unusedFeatures{}
	parts := map[string]bool{}
	for i := len(specs) - 1; i >= 0; i-- { // a feature is made of earlier ones
		s := &specs[i]
		if name := featureName(s); !s.Hidden {
			u.defined = append(u.defined, name)
			if !parts[name] {
				u.names = append(u.names, name)
			}
		}
		for _, column := range append(slices.Clone(s.Columns), s.Column) {
			parts[column] = true
		}
	}
	slices.Reverse(u.defined)
	slices.Reverse(u.names)
	return u
}

func featureName(s *feature.Feature) string {
	if s.Name != "" {
		return s.Name
	}
	return s.Column
}

// by takes out what a model takes, or would by a list that the user gave.
func (u *unusedFeatures) by(m *models.Model, binding *batcher.Plan) {
	u.names = slices.DeleteFunc(u.names, func(name string) bool {
		return !slices.Contains(binding.Unlisted, name) ||
			slices.ContainsFunc(m.Inputs, func(in models.Value) bool { return in.Name == name })
	})
}

// check refuses features none of which is of any use: whoever wrote them means others.
func (u *unusedFeatures) check() error {
	if len(u.names) == 0 || len(u.names) < len(u.defined) {
		return nil
	}
	return fmt.Errorf("%w: features: the model has a list of its own, which names none of %s, and columns for all that it names: call features as that list does (millrace inspect shows it), or list them by --features",
		ErrUsage, quotedSome(u.names))
}

// quotedSome are the first of some names, in quotes, and how many more there are.
func quotedSome(names []string) string {
	const most = 8
	quoted := make([]string, 0, most+1)
	for i, name := range names {
		if i == most {
			quoted = append(quoted, fmt.Sprintf("and %d more", len(names)-most))
			break
		}
		quoted = append(quoted, fmt.Sprintf("%q", name))
	}
	return strings.Join(quoted, ", ")
}

// UnusedFeatures are those of the job that no model takes.
func (p *Plan) UnusedFeatures() []string { return slices.Clone(p.unused) }
