package engine

import (
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/io/dataset"
)

// spanSource is what readers need of a dataset.
type spanSource interface {
	ReadSpan(ctx context.Context, ref dataset.SpanRef, columns []string, yield func(arrow.RecordBatch) error) error
}

// lane is spans of one part whose batches are cut together: a long span by
// itself, since no batch reaches over its edges, or short ones that follow each
// other; see batcher.Cutter. Lanes are independent of each other but for the
// order of what they give.
//
//	spans ──open──▶ open: one or more spans being read, each by one hand at a time
//	open[0] ──cut──▶ slots: batches, later results, in order
//
// All fields are guarded by the crew's lock, but those of the cutter, which
// belong to whoever set cutting.
type lane struct {
	part  *openPart
	spans []dataset.SpanRef // not yet opened
	last  bool              // the part ends with this lane
	open  []*openSpan       // opened and not wholly cut, in order

	filtered map[dataset.SpanRef]int64 // rows that were taken out, by span

	cutter  *batcher.Cutter
	cutting bool
	fresh   []*slot // cut, and not yet among slots

	slots []*slot // cut and not written, in order
	given int     // of slots: how many a hand has taken to score
	cut   bool    // nothing more will come
}

// slot is the place of one batch in the order: its batch, and then its result.
type slot struct {
	rows   int
	batch  *batcher.Batch // nil once it is scored: the result has it then
	result *result        // nil until it is scored
}

// openSpan is a span being read. next and stop may be called by one goroutine at a
// time: the one that set busy.
type openSpan struct {
	ref  dataset.SpanRef
	next func() (arrow.RecordBatch, error, bool)
	stop func()

	busy  bool
	ended bool
	begun bool  // the cutter has been told
	read  int64 // rows given by next

	sieve  *sieve
	chunks []chunk // read and not cut
}

// chunkQueue bounds the record batches of a span that wait for the spans before
// it; those of a lane's first are cut at once.
const chunkQueue = 2

// openSpanOf turns a span's reader around: record batches are asked for, so that
// whoever has time takes the next. Nothing is read before the first is, and nothing at
// all of a span whose rows the filter takes out.
func openSpanOf(ctx context.Context, source spanSource, ref dataset.SpanRef, columns []string, filter *where) *openSpan {
	s := &openSpan{ref: ref, sieve: filter.newSieve(ref)}
	if filter.passingRows(ref) == 0 && ref.Rows > 0 {
		s.stop = func() {}
		s.next = func() (arrow.RecordBatch, error, bool) {
			s.read = ref.Rows
			return nil, nil, false
		}
		return s
	}
	errStop := errors.New("stopped")
	s.next, s.stop = iter.Pull2(func(yield func(arrow.RecordBatch, error) bool) {
		stopped := false
		err := source.ReadSpan(ctx, ref, columns, func(r arrow.RecordBatch) error {
			r.Retain()
			if stopped = !yield(r, nil); stopped {
				return errStop
			}
			return nil
		})
		if err != nil && !stopped {
			yield(nil, err)
		}
	})
	return s
}

// pulled is what one pull gave: rows that pass, and how many it read and took out.
type pulled struct {
	chunks         []chunk
	read, filtered int64
	ended          bool
}

// leastPulled is how many rows a pull gives at least, if the span has them: what a
// filter leaves of a record batch may not be worth a worker's while.
const leastPulled = 1024

// pull reads the next record batches, whose rows the caller releases: as a rule one,
// and with the span's last rows its end, so that the reader's last checks and its
// memory are not left for later. After an error the span has ended.
func (s *openSpan) pull() (pulled, error) {
	var p pulled
	before := s.read
	err := s.fill(&p)
	p.read = s.read - before
	p.filtered = p.read - rowsOf(p.chunks)
	if p.ended {
		s.sieve.close()
	}
	if err != nil {
		releaseChunks(p.chunks)
		p.chunks = nil
		return p, err
	}
	p.chunks = joinChunks(p.chunks)
	return p, nil
}

func (s *openSpan) fill(p *pulled) error {
	for {
		record, err, ok := s.next()
		if err != nil || !ok {
			p.ended = true
			return err
		}
		rows := record.NumRows()
		c, err := s.sieve.sift(record)
		record.Release()
		if err != nil {
			p.ended = true
			return err
		}
		s.read += rows
		if c.record != nil {
			p.chunks = append(p.chunks, c)
		}
		if s.read < s.ref.Rows && rowsOf(p.chunks) >= min(leastPulled, rows) {
			return nil
		}
	}
}

func retainRecords(records []arrow.RecordBatch) {
	for _, r := range records {
		r.Retain()
	}
}

func releaseRecords(records []arrow.RecordBatch) {
	for _, r := range records {
		r.Release()
	}
}

// release gives up what the lane holds; nobody may be at work on it.
func (l *lane) release() {
	for _, s := range l.open {
		s.stop()
		s.sieve.close()
		releaseChunks(s.chunks)
	}
	if l.cutter != nil {
		l.cutter.Discard()
	}
	for _, s := range append(l.fresh, l.slots...) {
		if s.batch != nil {
			s.batch.Release()
		}
		if s.result != nil {
			s.result.release()
		}
	}
}

// openPart is a part from its first lane to its commit.
type openPart struct {
	number int
	spans  []dataset.SpanRef // in no lane yet
	begun  bool              // it has, or had, a lane
	lanes  int               // cut and not wholly written
	out    *partWriter
	busy   bool  // a worker writes
	left   int64 // rows not written
}

// cut says that no lane is left to make of the part.
func (p *openPart) cut() bool { return p.begun && len(p.spans) == 0 }

// lanes makes the lanes of parts, those of one part in order. Some parts at a time
// have lanes made of them in turn, since each is written by itself: as long as a
// part has spans left, it is one of them.
type lanes struct {
	rest      []numberedPart // not begun
	open      []*openPart    // begun and not finished, in order
	atATime   int            // parts that lanes are made of
	batchRows int64
	joining   batcher.Joining
	begin     func(part int) *partWriter
}

// numberedPart is a part and its place among all.
type numberedPart struct {
	dataset.Part

	number int
}

// unfinished lists the parts that are not done.
func unfinished(parts []dataset.Part, done []bool) []numberedPart {
	var rest []numberedPart
	for i, part := range parts {
		if !done[i] {
			rest = append(rest, numberedPart{Part: part, number: i})
		}
	}
	return rest
}

func (s *lanes) done() bool { return len(s.rest) == 0 && len(s.open) == 0 }

// finish takes a part off that is written.
func (s *lanes) finish(p *openPart) {
	s.open = slices.DeleteFunc(s.open, func(o *openPart) bool { return o == p })
}

// place is how many unfinished parts there are before one.
func (s *lanes) place(p *openPart) int { return slices.Index(s.open, p) }

// behind says that the first unfinished part has spans left and no lane: nothing
// that waits for the parts before it would be written before that changes.
func (s *lanes) behind() bool {
	return len(s.open) > 0 && !s.open[0].cut() && s.open[0].lanes == 0
}

// source is the part to make the next lane of: a new one, while there may be more,
// or else the one with the fewest; nil when there is none.
func (s *lanes) source() *openPart {
	var best *openPart
	uncut := 0
	for _, p := range s.open {
		if p.cut() {
			continue
		}
		if uncut++; best == nil || p.lanes < best.lanes {
			best = p
		}
	}
	if len(s.rest) == 0 || uncut >= s.atATime || best != nil && best.lanes == 0 {
		return best
	}
	next := s.rest[0]
	p := &openPart{number: next.number, spans: next.Spans, out: s.begin(next.number)}
	for _, span := range p.spans {
		p.left += span.Rows
	}
	s.rest, s.open = s.rest[1:], append(s.open, p)
	return p
}

// next gives the next lane; nil when there is none.
func (s *lanes) next() *lane {
	p := s.source()
	if p == nil {
		return nil
	}
	n := len(p.spans)
	if s.joining == batcher.JoinShortSpans && n > 0 {
		n = 1
		for p.spans[0].Rows < s.batchRows && n < len(p.spans) && p.spans[n].Rows < s.batchRows {
			n++
		}
	}
	l := &lane{part: p, spans: p.spans[:n], last: n == len(p.spans), filtered: map[dataset.SpanRef]int64{}}
	p.spans, p.begun = p.spans[n:], true
	p.lanes++
	l.cutter = batcher.NewCutter(int(s.batchRows), s.joining, func(b *batcher.Batch) error {
		l.fresh = append(l.fresh, &slot{rows: b.Rows, batch: b})
		return nil
	})
	return l
}
