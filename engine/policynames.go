package engine

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/batcher/feature"
)

// checkPolicyNames refuses names of --nulls and --finite by which nothing is called that a
// model takes: what is said of them would be of no effect. A feature that is not taken
// only because a model's list, or --features, picks others is none of them.
func (p *Plan) checkPolicyNames(called []string) error {
	named := map[string]bool{}
	for i := range p.models {
		for name := range p.models[i].bind.Nulls.ByColumn {
			named[name] = true
		}
	}
	problems := make([]error, 0, len(named)+len(p.Options.Finite.Columns))
	for _, name := range slices.Sorted(maps.Keys(named)) {
		problems = append(problems, p.checkPolicyName("--nulls", name, called))
	}
	for _, name := range p.Options.Finite.Columns {
		problems = append(problems, p.checkPolicyName("--finite", name, called))
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("%w: %w", batcher.ErrBind, err)
	}
	return nil
}

func (p *Plan) checkPolicyName(flag, name string, called []string) error {
	specs := p.Options.FeatureSpecs
	defined := slices.IndexFunc(specs, func(s feature.Feature) bool { return featureName(&s) == name })
	if slices.Contains(called, name) || defined >= 0 && !specs[defined].Hidden {
		return nil
	}
	what := fmt.Sprintf("column %q, which no model takes as it is", name)
	if defined >= 0 {
		what = fmt.Sprintf("feature %q, which is hidden", name)
	}
	takers := slices.DeleteFunc(featuresOf(specs, name), func(f string) bool { return !slices.Contains(called, f) })
	if len(takers) == 0 {
		return fmt.Errorf("%s names %s: nothing is made of it that a model takes, so it has no effect; leave it out", flag, what)
	}
	advice := "name the feature"
	if flag == "--nulls" {
		advice = "give the feature a transform that fills (fill), or name it here, for what is null at its end"
	}
	return fmt.Errorf("%s names %s: the models take %s, made of it; %s", flag, what, quotedSome(takers), advice)
}

// featuresOf are the features that a column or feature goes into, through others too.
func featuresOf(specs []feature.Feature, name string) []string {
	names := []string{name}
	for i := range specs {
		s := &specs[i]
		if slices.ContainsFunc(append(slices.Clone(s.Columns), s.Column), func(source string) bool { return slices.Contains(names, source) }) {
			names = append(names, featureName(s))
		}
	}
	return names[1:]
}
