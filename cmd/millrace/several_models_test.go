package main

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine"
)

// A column that several models take is named, and its nulls are counted, once.
func TestColumnsOfSeveralModelsAreSaidOnce(t *testing.T) {
	r := &scoreReport{Summary: engine.Summary{Features: []engine.FeatureSummary{
		{Models: []string{"one"}, Input: "x", Column: "a", Nulls: 2, Policy: "nan", Rounded: 3},
		{Models: []string{"one"}, Input: "x", Column: "b", Nulls: 5, Policy: "nan"},
		{Models: []string{"two"}, Input: "x", Column: "a", Nulls: 2, Policy: "nan", Rounded: 3},
		{Models: []string{"three"}, Input: "x", Column: "a", Nulls: 2, Policy: "0"},
	}}}
	var lines []string
	r.featureLines(func(name, format string, args ...any) {
		lines = append(lines, name+" "+fmt.Sprintf(format, args...))
	})
	const want = `nulls 2 became "0", in a; nulls 7 became NaN, in a, b; rounded 3 values, in a`
	if got := strings.Join(lines, "; "); got != want {
		t.Errorf("the summary says %s; want %s", got, want)
	}

	half := engine.ExplainedFeature{Column: "half", From: []string{"a"}, Transforms: []string{"scale"}, Values: 1}
	inputs := []engine.ExplainedInput{{Features: []engine.ExplainedFeature{half}}, {Features: []engine.ExplainedFeature{half, {Column: "b"}}}}
	if text := featuresText(io.Discard, inputs); strings.Count(text, "half") != 1 {
		t.Errorf("plan shows the feature of two models not once:\n%s", text)
	}
}
