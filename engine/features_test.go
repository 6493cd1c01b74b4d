package engine

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace/batcher"
)

// What each batch adds to an assembler's counts sums up to them, and a batch in which
// nothing was met has no counts.
func TestFeatureCounts(t *testing.T) {
	binding := &batcher.Plan{Bindings: []batcher.Binding{
		{Features: []batcher.Feature{{Column: "a"}, {Column: "b"}}},
		{Features: []batcher.Feature{{Column: "c"}}},
	}}
	binding.Bindings[1].Input.Name = "y"
	assembler := &batcher.Counts{Features: [][]batcher.FeatureCount{{{}, {}}, {{}}}}
	seen, sum := newFeatureCounts(binding), newFeatureCounts(binding)
	for i, batch := range []struct {
		feature [2]int
		adds    batcher.FeatureCount
		want    featureCounts
	}{
		{[2]int{1, 0}, batcher.FeatureCount{Nulls: 2}, featureCounts{{}, {}, {Nulls: 2}}},
		{[2]int{0, 0}, batcher.FeatureCount{}, nil},
		{[2]int{0, 1}, batcher.FeatureCount{Nulls: 1, Rounded: 7}, featureCounts{{}, {Nulls: 1, Rounded: 7}, {}}},
		{[2]int{1, 0}, batcher.FeatureCount{Rounded: 3}, featureCounts{{}, {}, {Rounded: 3}}},
	} {
		n := &assembler.Features[batch.feature[0]][batch.feature[1]]
		n.Nulls, n.Rounded = n.Nulls+batch.adds.Nulls, n.Rounded+batch.adds.Rounded
		got := seen.since(assembler)
		if diff := cmp.Diff(batch.want, got); diff != "" {
			t.Errorf("batch %d (-want +got):\n%s", i, diff)
		}
		sum.add(got)
	}
	want := []FeatureSummary{{Column: "b", Nulls: 1, Policy: "error", Rounded: 7}, {Input: "y", Column: "c", Nulls: 2, Policy: "error", Rounded: 3}}
	if diff := cmp.Diff(want, sum.summaries(&Plan{Binding: binding})); diff != "" {
		t.Errorf("summaries (-want +got):\n%s", diff)
	}
}

// The first reason of a row counts, and any that was asked for.
func TestFirstPerRow(t *testing.T) {
	at := func(row int, reason string, asked bool) reject {
		return reject{Reject: batcher.Reject{Row: row, Reason: reason, Asked: asked}, stage: stageAssemble}
	}
	got := firstPerRow(rejects{at(4, "a", false), at(1, "b", false), at(4, "c", true), at(1, "d", false), at(0, "e", true)})
	want := rejects{at(0, "e", true), at(1, "b", false), at(4, "a", true)}
	if !slices.Equal(got, want) {
		t.Errorf("firstPerRow = %+v; want %+v", got, want)
	}
}
