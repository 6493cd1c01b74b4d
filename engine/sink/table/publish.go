package table

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/millrace/millrace/engine/ledger"
)

func (s *staging) Publish(m *ledger.Manifest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.over {
		return fmt.Errorf("output %s: %w", s.output, ledger.ErrDiscarded)
	}
	if err := s.completeLocked(m); err != nil {
		return fmt.Errorf("output %s: not published: %w", s.output, err)
	}
	p := &Publication{Run: s.run, IfExists: s.opts.IfExists, IDs: s.opts.IDs, Manifest: m, Rejects: s.mergedPath()}
	var err error
	if p.Encoded, err = m.Encode(); err != nil {
		return err
	}
	sum := sha256.Sum256(p.Encoded)
	p.SHA256 = hex.EncodeToString(sum[:])
	if err := s.db.Publish(s.ctx, p); err != nil {
		return err
	}
	s.over = true
	return nil
}

// completeLocked fills in what the output is, and checks that all accounts agree.
func (s *staging) completeLocked(m *ledger.Manifest) error {
	m.Version, m.Run, m.Parent, m.Mode = ledger.ManifestVersion, s.run, nil, ledger.ModeFresh
	if m.Finished.IsZero() {
		m.Finished = time.Now().UTC().Truncate(time.Millisecond)
	}
	if s.opts.Job != nil {
		m.Job = s.opts.Job.Digest()
	}
	if s.newest != nil {
		m.Parent = &ledger.Parent{Run: s.newest.ID, SHA256: s.newest.SHA256}
	}
	if s.there.Rows {
		m.Mode = ledger.Mode(s.opts.IfExists)
	}
	m.Outputs = nil
	for i := range len(s.recorded) {
		part, ok := s.recorded[i]
		if !ok || len(part.Outputs) != 1 || len(s.parts) > 0 {
			return fmt.Errorf("%w: part %d is not recorded", ledger.ErrAccounts, i)
		}
		m.Outputs = append(m.Outputs, part.Outputs...)
	}
	if len(m.Outputs) == 0 {
		return fmt.Errorf("%w: there is no part", ledger.ErrAccounts)
	}
	return m.Check()
}

func (s *staging) KeepRejects() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.merged == nil || s.closed || s.over {
		return "", nil
	}
	ctx, done := context.WithTimeout(context.WithoutCancel(s.ctx), patience)
	defer done()
	where, err := s.db.KeepRejects(ctx, &Publication{Run: s.run, Rejects: s.mergedPath()})
	if err == nil {
		s.over = true
	}
	return where, err
}
