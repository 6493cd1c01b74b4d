package table

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/millrace/millrace/engine/ledger"
)

// Seen is what the runs of a table have read; see ledger.ReadSeen. A manifest that is not
// as it was published is an error that wraps ledger.ErrUnsound.
func Seen(ctx context.Context, db Database) (*ledger.Seen, error) {
	runs, err := db.Runs(ctx)
	if err != nil {
		return nil, err
	}
	seen, published := &ledger.Seen{}, map[string]string{} // by run, the SHA-256 of its manifest
	for _, r := range runs {
		if r.State == Published {
			published[r.ID] = r.SHA256
		}
	}
	for _, r := range slices.Backward(runs) {
		switch r.State {
		case Published:
			m, err := readManifest(ctx, db, r)
			if err != nil {
				return nil, err
			}
			if p := m.Parent; p != nil && published[p.Run] != p.SHA256 {
				return nil, fmt.Errorf("%w: what its runs have read cannot be told: run %s followed run %s, whose manifest is missing or another; see millrace verify", ledger.ErrUnsound, r.ID, p.Run)
			}
			if seen.Newest == "" {
				seen.Newest = r.SHA256
			}
			seen.Add(r.ID, r.Live, m.Inputs)
		case Staged:
			data, err := db.Journal(ctx, r.ID)
			if err != nil {
				return nil, err
			}
			if j := ledger.ParseJournal(data); j.Head != nil && (len(j.Parts) > 0 || len(j.Deaths) > 0) {
				seen.Unfinished = append(seen.Unfinished, j.Head.Job)
			}
		}
	}
	return seen, nil
}

func readManifest(ctx context.Context, db Database, r Run) (*ledger.Manifest, error) {
	data, err := db.Manifest(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != r.SHA256 {
		return nil, fmt.Errorf("%w: what its runs have read cannot be told: the manifest of run %s was changed; see millrace verify", ledger.ErrUnsound, r.ID)
	}
	m, err := ledger.ParseManifest(data)
	if err != nil {
		return nil, fmt.Errorf("%w: what its runs have read cannot be told: run %s: %w", ledger.ErrUnsound, r.ID, err)
	}
	return m, nil
}

// follows returns an error that wraps ledger.ErrHeld where another run than the one that
// the inputs were chosen by has published last.
func (s *staging) follows(runs []Run) error {
	if s.opts.Follows == nil {
		return nil
	}
	newest := ""
	for _, r := range runs {
		if r.State == Published {
			newest = r.SHA256
		}
	}
	if newest != *s.opts.Follows {
		return s.overtaken()
	}
	return nil
}

// unchanged returns an error that wraps ledger.ErrHeld where the runs are others than those
// that this one was let in by: who was stalled may have published until the claim.
func (s *staging) unchanged(runs []Run) error {
	now, err := s.db.Runs(s.ctx)
	if err == nil && !slices.Equal(now, runs) {
		err = s.overtaken()
	}
	return err
}

func (s *staging) overtaken() error {
	return fmt.Errorf("output %s: %w until a moment ago, which published: run the same command again", s.output, ledger.ErrHeld)
}
