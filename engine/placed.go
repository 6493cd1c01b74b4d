package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine/ledger"
)

// placedScorer notes in a file which rows it is about to score, so that another
// process knows should this one die of them.
type placedScorer struct {
	scorer

	path   string
	narrow *place // a batch to score row by row
}

// score notes the batch's place and scores it.
func (s *placedScorer) score(ctx context.Context, batch *batcher.Batch) (*result, error) {
	at := placeOf(batch)
	if s.narrow != nil && *s.narrow == at {
		if err := s.rowByRow(ctx, batch); err != nil {
			return nil, err
		}
	}
	if err := s.note(at); err != nil {
		return nil, err
	}
	return s.scorer.score(ctx, batch)
}

// rowByRow scores each row of a batch as a batch of its own, and forgets the result.
func (s *placedScorer) rowByRow(ctx context.Context, batch *batcher.Batch) error {
	for _, segment := range batch.Segments {
		for row := range segment.Rows {
			one := segment
			one.From, one.Rows, one.Origin = segment.From+row, 1, segment.At(row)
			one.Record.Retain() // the result gives it up
			single := &batcher.Batch{Segments: []batcher.Segment{one}, Rows: 1}
			if err := s.note(placeOf(single)); err != nil {
				return err
			}
			res, err := s.scorer.score(ctx, single)
			if err != nil {
				single.Release()
				return err
			}
			res.release()
		}
	}
	return nil
}

// note writes a place into the file.
func (s *placedScorer) note(at place) error {
	text, err := json.Marshal(at)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInternal, err)
	}
	if err := os.WriteFile(s.path, text, 0o666); err != nil {
		return fmt.Errorf("%w: %w", ledger.ErrOutput, err)
	}
	return nil
}

// placeOf is where a batch's rows lie: those of its first file.
func placeOf(batch *batcher.Batch) place {
	at := place{File: batch.Segments[0].Origin.File, Row: batch.Segments[0].Origin.Row}
	for i := range batch.Segments {
		if s := &batch.Segments[i]; s.Origin.File == at.File {
			at.Rows = s.At(s.Rows-1).Row + 1 - at.Row
		}
	}
	return at
}
