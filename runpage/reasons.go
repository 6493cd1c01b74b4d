package runpage

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// reasonCounter counts rejected rows by reason, whose numbers and quoted values do not
// count: "3.5 is not whole" is one reason for all such numbers, and shows no customer's.
type reasonCounter struct {
	rejects  *Rejects
	byKey    map[reasonKey]*Reason
	general  map[string]string // reasons met, without their values
	examples Examples
	// last is the row's before, most often the same.
	lastKey reasonKey
	last    *Reason
}

type reasonKey struct{ stage, column, reason string }

// values are what reasons quote, and numbers. A reason that names a prediction keeps it.
var values = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|[-+−]?\b\d[\d_,]*(?:\.\d+)?(?:[eE][-+]?\d+)?\b|\bNaN\b`)

// withoutValues is a reason with … for each value. Words that say what is wrong stay.
func withoutValues(reason string) string {
	return values.ReplaceAllStringFunc(reason, func(v string) string {
		if v == "NaN" {
			return v
		}
		return "…"
	})
}

func (c *reasonCounter) add(b arrow.RecordBatch) error {
	text := func(at int) *array.String { return b.Column(at).(*array.String) }
	files, columns, stages, reasons := text(0), text(2), text(3), text(4)
	rows := b.Column(1).(*array.Int64)
	for i := range int(b.NumRows()) {
		if c.rejects.Counted == mostCounted {
			return errEnough
		}
		c.rejects.Counted++
		r := c.of(reasonKey{stages.Value(i), columns.Value(i), reasons.Value(i)})
		if r == nil {
			c.rejects.Others++
			continue
		}
		r.Rows++
		if c.examples == ExamplesShown && len(r.Examples) < mostExamples {
			e := Example{File: strings.Clone(files.Value(i)), Row: rows.Value(i)}
			for at := reasonColumns; at < int(b.NumCols()); at++ {
				e.IDs = append(e.IDs, strings.Clone(b.Column(at).ValueStr(i)))
			}
			r.Examples = append(r.Examples, e)
		}
	}
	return nil
}

// of is the reason that a row counts for; nil where there are too many.
func (c *reasonCounter) of(key reasonKey) *Reason {
	if c.last != nil && key == c.lastKey {
		return c.last
	}
	general, met := c.general[key.reason]
	if !met {
		general = withoutValues(key.reason)
		if c.general == nil || len(c.general) >= mostReasons {
			c.general = map[string]string{}
		}
		c.general[strings.Clone(key.reason)] = general
	}
	short := reasonKey{key.stage, key.column, general}
	r := c.byKey[short]
	if r == nil {
		if len(c.byKey) >= mostReasons {
			return nil
		}
		short = reasonKey{strings.Clone(short.stage), strings.Clone(short.column), strings.Clone(short.reason)}
		r = &Reason{Stage: short.stage, Column: short.column, Reason: short.reason}
		c.byKey[short] = r
	}
	c.lastKey, c.last = reasonKey{strings.Clone(key.stage), strings.Clone(key.column), strings.Clone(key.reason)}, r
	return r
}

// finish lists the reasons, the one with the most rows first.
func (c *reasonCounter) finish() {
	all := make([]Reason, 0, len(c.byKey))
	for _, r := range c.byKey {
		all = append(all, *r)
	}
	slices.SortFunc(all, func(a, b Reason) int {
		return cmp.Or(cmp.Compare(b.Rows, a.Rows), cmp.Compare(a.Stage, b.Stage), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Reason, b.Reason))
	})
	for _, r := range all[min(len(all), listedReasons):] {
		c.rejects.Others += r.Rows
	}
	c.rejects.Reasons = all[:min(len(all), listedReasons)]
}
