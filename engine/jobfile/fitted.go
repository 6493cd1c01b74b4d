package jobfile

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"reflect"
	"slices"

	"github.com/millrace/millrace/batcher/feature"
	"github.com/millrace/millrace/engine"
)

// FeatureEntry is one entry of a job's features: exactly one field is set.
type FeatureEntry struct {
	Column  string // by its name
	Feature *feature.Feature
	Fitted  *Fitted
}

// Fitted takes features from a fitted file.
type Fitted struct {
	From string    `json:"from" expand:"path" doc:"path of the fitted file"`
	Only OneOrMore `json:"only,omitempty" doc:"the features of it to take; default: all"`

	at place
}

// fittedFile is what a fitted file holds; docs/features.md says who writes it.
type fittedFile struct {
	Millrace string            `json:"millrace" values:"features/1" doc:"the form of the file"`
	MadeBy   map[string]string `json:"made_by,omitempty" doc:"what fitted the features, with versions"`
	Features []feature.Feature `json:"features" doc:"the features, in order"`
}

// maxFittedBytes bounds a fitted file: a target encoding of a million categories has
// some 30 MiB.
const maxFittedBytes = 64 << 20

func (e *FeatureEntry) fromNode(d *decoder, n *node, f tags) {
	switch {
	case n.kind == textNode:
		if text, ok := d.text(n, f); ok && d.notEmpty(n, text, f) {
			e.Column = text
		}
	case n.kind == mapNode && (n.field("from") != nil || n.field("only") != nil):
		e.Fitted = &Fitted{at: n.at}
		f.name = "a fitted file"
		d.value(n, reflect.ValueOf(e.Fitted).Elem(), f)
	case n.kind == mapNode:
		e.Feature = &feature.Feature{}
		f.name = "a feature"
		before := len(d.problems)
		d.value(n, reflect.ValueOf(e.Feature).Elem(), f)
		if before == len(d.problems) && n.field("column") == nil && n.field("columns") == nil {
			d.bad(n.at, "a feature needs column, or columns")
		}
	default:
		d.want(n, f, "a column's name, a feature or a fitted file")
	}
}

// include makes one list of features, with those of fitted files; their problems are
// in the sources that it gives.
func (j *Job) include(d *decoder, given Given) (sources []*source) {
	plain := !slices.ContainsFunc(j.Features, func(e FeatureEntry) bool { return e.Column == "" })
	for _, e := range j.Features {
		switch {
		case plain:
			j.Names = append(j.Names, e.Column)
		case e.Fitted != nil:
			features, s := j.readFitted(d, e.Fitted, given)
			j.Specs = append(j.Specs, features...)
			if s != nil {
				sources = append(sources, s)
			}
		case e.Feature != nil:
			j.Specs = append(j.Specs, *e.Feature)
		default:
			j.Specs = append(j.Specs, feature.Feature{Column: e.Column})
		}
	}
	return sources
}

// readFitted reads the features of one fitted file.
func (j *Job) readFitted(d *decoder, from *Fitted, given Given) ([]feature.Feature, *source) {
	if from.From == "" {
		return nil, nil // which is said
	}
	text, err := given.ReadFile(from.From, maxFittedBytes)
	if err != nil {
		if path, ok := errors.AsType[*fs.PathError](err); ok {
			err = path.Err
		}
		d.bad(from.at, "fitted file %s: %v", quoted(from.From), err)
		return nil, nil
	}
	s := newSource(from.From, text)
	var file fittedFile
	if root := parseJSON(s, text); root != nil {
		inner := &decoder{source: s, origins: newOrigins()}
		inner.value(root, reflect.ValueOf(&file).Elem(), tags{name: "a fitted file"})
	}
	if len(s.problems) > 0 {
		return nil, s
	}
	digest := sha256.Sum256(text)
	j.Record.Fitted = append(j.Record.Fitted, engine.FittedFile{Path: from.From, SHA256: hex.EncodeToString(digest[:])})
	return d.pick(from, file.Features), nil
}

// pick takes the features that an entry wants, in the file's order.
func (d *decoder) pick(from *Fitted, all []feature.Feature) []feature.Feature {
	if from.Only == nil {
		return all
	}
	names := make([]string, len(all))
	for i := range all {
		names[i] = nameOf(&all[i])
	}
	for _, want := range from.Only {
		if !slices.Contains(names, want) {
			d.bad(from.at, "fitted file %s has no feature %s%s", quoted(from.From), quoted(want), didYouMean(want, names))
		}
	}
	var picked []feature.Feature
	for i := range all {
		if slices.Contains(from.Only, names[i]) {
			picked = append(picked, all[i])
		}
	}
	return picked
}

// nameOf is a feature's name: its column's unless it has one.
func nameOf(f *feature.Feature) string {
	if f.Name == "" {
		return f.Column
	}
	return f.Name
}
