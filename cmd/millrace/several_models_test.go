package main

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/agreement"
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

// A sample that has every row with a difference is none to speak of, also where both models gave
// NaN for others.
func TestSampleOfAgreementIsSaidWhereItIsOne(t *testing.T) {
	for _, test := range []struct {
		differences int64
		sample      int
		want        bool
	}{{900, 900, false}, {50_000, 32_768, true}} {
		var b strings.Builder
		agreementText(&b, io.Discard, []agreement.Summary{{
			Pair: agreement.Pair{Challenger: "b_y", Champion: "y", Kind: agreement.Number}, Rows: test.differences + 100, Equal: 100,
			Difference: &agreement.Difference{Rows: test.differences}, SampleRows: test.sample,
		}}, nil, nil)
		if got := strings.Contains(b.String(), "of a sample of"); got != test.want {
			t.Errorf("of %d differences a sample of %d: said is %v; want %v:\n%s", test.differences, test.sample, got, test.want, b.String())
		}
	}
}
