package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/models"
)

// UnpublishedError is the end of a run that had more bad rows than allowed: nothing is
// published, and the rejected rows are kept. It wraps ErrBadRows.
type UnpublishedError struct {
	// Manifest is what is known of the run: it has no outputs, and counts the rows that
	// were met before it ended.
	Manifest *ledger.Manifest
	Rejects  string // path of the rejected rows; empty where there are none

	cause error
}

// Error says why, and where the rejected rows are.
func (e *UnpublishedError) Error() string {
	if e.Rejects == "" {
		return e.cause.Error()
	}
	return fmt.Sprintf("%v (nothing is published; the rejected rows are in %s)", e.cause, e.Rejects)
}

// Unwrap gives the cause.
func (e *UnpublishedError) Unwrap() error { return e.cause }

// Cause is why the run ended.
func (e *UnpublishedError) Cause() string { return e.cause.Error() }

// unpublished ends a run that has too many bad rows.
func (c *collector) unpublished(ctx context.Context, lib *ort.Library, started time.Time, cause error) error {
	rejects, path, err := c.keepRejects(ctx)
	if err != nil {
		return errors.Join(cause, err)
	}
	c.digests, c.plan.digested = nil, nil // of files that were not read to their ends
	p := c.progress
	rows := ledger.Rows{Scored: p.RowsWritten.Load(), Rejected: p.RowsRejected.Load(), Filtered: p.RowsFiltered.Load()}
	rows.Read = rows.Scored + rows.Rejected + rows.Filtered // others were read and not yet judged
	m := c.manifest(lib, c.staging.RunID(), rows, rejects)
	m.Outputs, m.Parts = nil, nil
	m.Started, m.Finished = started, time.Now()
	m.By.Starts = c.staging.Starts()
	m.Features = c.features.summaries(c.plan)
	return &UnpublishedError{Manifest: m, Rejects: path, cause: cause}
}

// modelFile describes a model for the manifest.
func modelFile(m *models.Model) ledger.ModelFile {
	producer := m.Producer
	if m.ProducerVersion != "" {
		producer += " " + m.ProducerVersion
	}
	f := ledger.ModelFile{Path: absolute(m.Path), SHA256: m.SHA256, Bytes: m.Bytes, Version: m.ModelVersion, Producer: producer}
	for _, e := range m.External {
		f.FileSHA256 = m.FileSHA256
		f.Weights = append(f.Weights, ledger.WeightFile{Path: e.Location, SHA256: e.SHA256, Bytes: e.Bytes})
	}
	return f
}
