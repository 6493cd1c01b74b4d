package engine

import (
	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine/ledger"
)

// FeatureSummary counts what was met in one feature.
type FeatureSummary = ledger.FeatureCount

// featureCounts are counts by feature, those of one binding after those of the one
// before; nil where all are 0. They go with results and parts, so that those of a
// part are known when it is finished, whichever workers scored it.
type featureCounts []batcher.FeatureCount

// newFeatureCounts makes counts that are all 0.
func newFeatureCounts(binding *batcher.Plan) featureCounts {
	n := 0
	for i := range binding.Bindings {
		n += len(binding.Bindings[i].Features)
	}
	return make(featureCounts, n)
}

// add adds others' to the counts, which are not nil.
func (c featureCounts) add(others featureCounts) {
	for i, n := range others {
		c[i].Nulls += n.Nulls
		c[i].Rounded += n.Rounded
	}
}

// since gives how much an assembler has counted beyond c, and sets c to it.
func (c featureCounts) since(counts *batcher.Counts) (more featureCounts) {
	at := 0
	for _, features := range counts.Features {
		for _, n := range features {
			if before := c[at]; n != before {
				if more == nil {
					more = make(featureCounts, len(c))
				}
				more[at] = batcher.FeatureCount{Nulls: n.Nulls - before.Nulls, Rounded: n.Rounded - before.Rounded}
				c[at] = n
			}
			at++
		}
	}
	return more
}

// summaries are those of features in which something was met.
func (c featureCounts) summaries(p *Plan) []FeatureSummary {
	all, at := []FeatureSummary{}, 0
	for i := range p.Binding.Bindings {
		b := &p.Binding.Bindings[i]
		for _, f := range b.Features {
			if n := c[at]; n != (batcher.FeatureCount{}) {
				all = append(all, FeatureSummary{Models: p.takers(i), Input: b.Input.Name, Column: f.Column, Nulls: n.Nulls, Policy: f.Nulls.String(), Rounded: n.Rounded})
			}
			at++
		}
	}
	return all
}
