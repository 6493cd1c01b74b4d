package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Fact is one thing that decides what a run writes.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	// Input says that it is of the input's: what changed there is another thing
	// than a setting that changed.
	Input bool `json:"input,omitempty"`
	// Of names the fact that this one follows from: where that changed too, this is no
	// news.
	Of string `json:"of,omitempty"`
}

// Job is everything that decides what a run writes, in a fixed order: two runs of
// equal jobs write the same bytes.
type Job struct {
	Facts []Fact `json:"facts"`
}

// Digest is the SHA-256 of the job, in hexadecimal.
func (j Job) Digest() string {
	h := sha256.New()
	for _, f := range j.Facts {
		fmt.Fprintf(h, "%d:%s%d:%s", len(f.Name), f.Name, len(f.Value), f.Value)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Difference is a fact that changed. An empty value stands for a fact that is not
// there.
type Difference struct {
	Fact

	Was string
}

func (d Difference) String() string {
	switch {
	case d.Was == "":
		return fmt.Sprintf("%s is new: %s", d.Name, shown(d.Value, 0))
	case d.Value == "":
		return fmt.Sprintf("%s is gone; it was %s", d.Name, shown(d.Was, 0))
	}
	alike := 0
	for alike < min(len(d.Was), len(d.Value)) && d.Was[alike] == d.Value[alike] {
		alike++
	}
	return fmt.Sprintf("%s was %s and is %s", d.Name, shown(d.Was, alike), shown(d.Value, alike))
}

// Of a long value, such as a list of hundreds of columns, so much is shown, and so much of
// it before what is different.
const (
	shownBytes = 200
	shownAlike = 60
)

// shown is a value for people: of a long one what lies around a place.
func shown(v string, place int) string {
	if len(v) <= shownBytes {
		return v
	}
	from := max(min(place-shownAlike, len(v)-shownBytes), 0)
	to := min(from+shownBytes, len(v))
	for from > 0 && !utf8.RuneStart(v[from]) {
		from--
	}
	for to < len(v) && !utf8.RuneStart(v[to]) {
		to++
	}
	cut := v[from:to]
	if from > 0 {
		cut = "…" + cut
	}
	if to < len(v) {
		cut += "…"
	}
	return cut
}

// Differences lists what changed since another job, in the order of the facts.
func (j Job) Differences(was Job) []Difference {
	old := make(map[string]string, len(was.Facts))
	for _, f := range was.Facts {
		old[f.Name] = f.Value
	}
	var changed []Difference
	for _, f := range j.Facts {
		if v, ok := old[f.Name]; !ok || v != f.Value {
			changed = append(changed, Difference{Fact: f, Was: v})
		}
		delete(old, f.Name)
	}
	for _, f := range was.Facts {
		if v, gone := old[f.Name]; gone {
			changed = append(changed, Difference{Fact: Fact{Name: f.Name, Input: f.Input}, Was: v})
		}
	}
	changed = slices.DeleteFunc(changed, func(d Difference) bool {
		return slices.ContainsFunc(changed, func(of Difference) bool { return of.Name == d.Of })
	})
	if len(changed) == 0 && j.Digest() != was.Digest() {
		changed = append(changed, Difference{Fact: Fact{Name: "order of the inputs", Value: "another", Input: true}, Was: "one"})
	}
	return changed
}

// maxDifferences is how many an error lists.
const maxDifferences = 8

// OtherJobError says that an output has the progress of another job, which
// neither may be lost silently nor be continued. It wraps ErrOtherJob, and
// ErrInputChanged too where all that changed is the input's.
type OtherJobError struct {
	Output      string
	Run         string
	Parts       int // finished
	Differences []Difference
}

func (e *OtherJobError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "output %q: %s: run %s stopped with %d parts finished, and since then", e.Output, ErrOtherJob, e.Run, e.Parts)
	for i, d := range e.Differences {
		if i == maxDifferences {
			fmt.Fprintf(&b, "; and %d more changed", len(e.Differences)-i)
			break
		}
		if i > 0 {
			b.WriteString(";")
		}
		b.WriteString(" " + d.String())
	}
	b.WriteString(". Undo that to continue the run, or drop its progress and start over with --restart")
	return b.String()
}

// Unwrap lists the sentinels.
func (e *OtherJobError) Unwrap() []error {
	for _, d := range e.Differences {
		if !d.Input {
			return []error{ErrOtherJob}
		}
	}
	return []error{ErrOtherJob, ErrInputChanged}
}

// PublishedError says that an equal run published the output already, so that
// there is nothing to do. It wraps ErrPublished.
type PublishedError struct {
	Output   string
	Manifest *Manifest
}

func (e *PublishedError) Error() string {
	return fmt.Sprintf("output %q was published by an equal run, %s", e.Output, e.Manifest.Run)
}

// Unwrap makes errors.Is(err, ErrPublished) true.
func (*PublishedError) Unwrap() error { return ErrPublished }
