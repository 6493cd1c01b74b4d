package engine

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink/table"
	"github.com/millrace/millrace/io/format"
)

// A table has no order, so that nothing but its ids leads a row to that of the input. Each
// row of the input with the same ids is a candidate: all are scored again, and rows of the
// table are paired with them, none twice, the nearest first.

// locateByIDs plans the run again over the inputs that are as they were, and finds the
// candidates of each row found.
func (r *replayer) locateByIDs(ctx context.Context, p *replayed, opts Options, found []*hit) (err error) {
	m := p.manifest
	files, gone := r.present(ctx, m)
	if gone != nil && (len(files) == 0 || p.layout == nil || ctx.Err() != nil) {
		return gone
	}
	if p.plan, err = r.planOver(ctx, m, opts, files); err != nil {
		return err
	}
	if p.layout == nil {
		p.layout = p.plan.layout()
	} else if err := p.layout.open(p.plan.Dataset, files); err != nil {
		return err
	}
	if err := p.layout.fits(m); err != nil {
		return err
	}
	s := &idSearch{replayed: p, form: found[0].form}
	if err := s.index(found); err != nil {
		return err
	}
	if err := s.run(ctx); err != nil {
		return err
	}
	if err := r.dropRejected(ctx, s); err != nil {
		return err
	}
	p.rows = s.candidates
	return s.complete(found, gone)
}

// present lists the inputs of a run that are as they were, and says of the first other what
// became of it.
func (r *replayer) present(ctx context.Context, m *ledger.Manifest) (files []int, gone error) {
	for i := range m.Inputs {
		if err := r.unchanged(ctx, &m.Inputs[i]); err == nil {
			files = append(files, i)
		} else if gone == nil {
			gone = err
		}
	}
	return files, gone
}

// idSearch looks for the rows of the input that have the ids of rows found.
type idSearch struct {
	*replayed

	form written
	ids  []string // or all kept columns, where the run has none
	// Rows are looked up by the key of one id, or all are compared where none has one
	// that is the same on both sides.
	quick      int // -1: none
	key        func(a arrow.Array, i int) string
	byKey      map[string][]*hit
	all        []*hit
	candidates []*hit
	inputs     map[*hit]fileRow // of candidates
	count      map[*hit]int     // of the candidates of a row found
}

// maxCandidates bounds how many rows of the input are scored for one of a table.
const maxCandidates = 1000

// index prepares the search.
func (s *idSearch) index(found []*hit) error {
	passed := s.plan.Passed
	if s.plan.ids > 0 {
		passed = passed[:s.plan.ids]
	}
	if len(passed) == 0 {
		return fmt.Errorf("%w: the table has neither ids nor kept columns of the run, and so nothing that leads from its rows to those of the input; score with --ids", ErrUsage)
	}
	s.quick, s.byKey, s.all, s.inputs, s.count = -1, map[string][]*hit{}, found, map[*hit]fileRow{}, map[*hit]int{}
	for i, f := range passed {
		s.ids = append(s.ids, f.Name)
		recorded := found[0].value(f.Name)
		if recorded == nil {
			return fmt.Errorf("%w: the table has no column %q, which the run passed through", ledger.ErrUnsound, f.Name)
		}
		if s.quick < 0 {
			if s.key = keyOf(recorded.DataType(), f.Type); s.key != nil {
				s.quick = i
			}
		}
	}
	if s.quick >= 0 {
		for _, h := range found {
			key := s.key(h.value(s.ids[s.quick]), 0)
			s.byKey[key] = append(s.byKey[key], h)
		}
	}
	return nil
}

// keyOf gives keys that are the same for equal values of two types; nil where a database
// keeps as text what is none.
func keyOf(a, b arrow.DataType) func(a arrow.Array, i int) string {
	switch {
	case arrow.IsInteger(a.ID()) && arrow.IsInteger(b.ID()), isText(a) && isText(b):
		return func(a arrow.Array, i int) string { return a.ValueStr(i) }
	case isText(a) != isText(b):
		return nil
	}
	return func(a arrow.Array, i int) string { return string(table.Encode(a, i)) }
}

func isText(t arrow.DataType) bool {
	if d, ok := t.(*arrow.DictionaryType); ok {
		t = d.ValueType
	}
	return t.ID() == arrow.STRING || t.ID() == arrow.LARGE_STRING || t.ID() == arrow.STRING_VIEW
}

func (s *idSearch) run(ctx context.Context) error {
	for part := range s.layout.parts {
		var place int64
		for _, span := range s.layout.parts[part].Spans {
			file, opened := s.layout.opened[span.File]
			if !opened {
				place += s.layout.rowsOf(span)
				continue
			}
			path := s.layout.files[span.File]
			span.File = file
			err := s.plan.readPassing(ctx, span, s.ids, func(c *chunk) error {
				segment := c.segment()
				for i := range segment.Rows {
					for _, h := range s.alike(c.record, i) {
						if s.count[h]++; s.count[h] > maxCandidates {
							return fmt.Errorf("%w: more than %d rows of the input have %s, which so does not tell which of them a row of the table is", ErrUsage, maxCandidates, h.named(s.ids))
						}
						candidate := *h
						candidate.part, candidate.place, candidate.like = part, place+int64(i), h
						s.inputs[&candidate] = fileRow{path, segment.At(i).Row}
						s.candidates = append(s.candidates, &candidate)
					}
				}
				place += c.rows()
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// alike are the rows found that have the ids of a row of the input.
func (s *idSearch) alike(record arrow.RecordBatch, row int) []*hit {
	of := s.all
	if s.quick >= 0 {
		of = s.byKey[s.key(record.Column(s.quick), row)]
	}
	var alike []*hit
	for _, h := range of {
		same := true
		for i, id := range s.ids {
			same = same && s.form.keeps(h.value(id), 0, record.Column(i), row)
		}
		if same {
			alike = append(alike, h)
		}
	}
	return alike
}

// dropRejected drops the candidates that the run left out of the output.
func (r *replayer) dropRejected(ctx context.Context, s *idSearch) error {
	if s.manifest.Ledger.Rejected == s.manifest.Ledger.Nulled {
		return nil
	}
	byRow := map[int64][]*hit{}
	for _, c := range s.candidates {
		row := s.inputs[c].row
		byRow[row] = append(byRow[row], c)
	}
	gone := map[*hit]bool{}
	err := r.eachRejectOfTable(ctx, s.manifest.Run, func(row RejectedRow, values string) error {
		for _, c := range byRow[row.Row] {
			if sameFile(s.inputs[c].file, row.Input) && jsonValues(values)[nulledField.Name] != "true" {
				gone[c] = true
			}
		}
		return nil
	})
	s.candidates = slices.DeleteFunc(s.candidates, func(c *hit) bool { return gone[c] })
	return err
}

// complete is an error unless each row found has a candidate.
func (s *idSearch) complete(found []*hit, gone error) error {
	has := map[*hit]bool{}
	for _, c := range s.candidates {
		has[c.like] = true
	}
	for _, h := range found {
		if has[h] {
			continue
		}
		if gone != nil {
			return fmt.Errorf("no row of the inputs that are as they were has %s: %w", h.named(s.ids), gone)
		}
		return fmt.Errorf("%w: a row of the table has %s, and no row of its run's input was scored that has", format.ErrChanged, h.named(s.ids))
	}
	return nil
}

// named is how messages call a row of a table.
func (h *hit) named(ids []string) string {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = fmt.Sprintf("%s=%.80q", id, h.value(id).ValueStr(0))
	}
	return strings.Join(texts, ", ")
}

// scored is a candidate that was scored again.
type scored struct {
	candidate *hit
	row       *ReplayedRow
	err       error // why it is not the row
}

// pair gives each row found that one of its candidates whose predictions are nearest, and no
// two the same.
func (r *replayer) pair(found []*hit, all []scored) error {
	several := map[*hit]int{}
	for _, s := range all {
		several[s.candidate.like]++
	}
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b scored) int { return cmp.Compare(a.distance(), b.distance()) })
	taken := map[[2]int64]bool{}
	rows := map[*hit]*ReplayedRow{}
	for _, s := range all {
		at := [2]int64{int64(s.candidate.part), s.candidate.place}
		if s.err != nil || taken[at] || rows[s.candidate.like] != nil {
			continue
		}
		taken[at], rows[s.candidate.like] = true, s.row
	}
	ambiguous := 0
	for _, h := range found {
		if rows[h] == nil {
			return r.unpaired(h, all)
		}
		if several[h] > 1 {
			ambiguous++
		}
		r.count(rows[h])
	}
	if ambiguous > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("several rows of the input have the ids of %d of the rows: each of these is compared with the one whose predictions are nearest, no two with the same", ambiguous))
	}
	return nil
}

// unpaired says why a row found has no row of the input.
func (r *replayer) unpaired(h *hit, all []scored) error {
	for _, s := range all {
		if s.candidate.like == h && s.err != nil {
			return s.err
		}
	}
	return fmt.Errorf("%w: the table has more rows of run %s with the ids of one of them than the input has", format.ErrChanged, h.run.Run)
}

// distance orders candidates: equal ones first, then by how far their predictions are.
func (s *scored) distance() float64 {
	if s.err != nil {
		return math.Inf(1)
	}
	far := float64(s.row.Outcome) // an equal one is at 0
	for _, p := range s.row.Predictions {
		if p.Difference != nil {
			far = max(far, float64(p.Outcome)+*p.Difference)
		} else if p.Outcome == OutcomeDifferent {
			far = math.MaxFloat64
		}
	}
	return far
}
