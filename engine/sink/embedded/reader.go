package embedded

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink/table"
)

// FindHistories reads the runs that were published to a table. Its error wraps
// ledger.ErrNoOutput where there are none.
func (d Destination) FindHistories(ctx context.Context, output string) (*ledger.Found, error) {
	r, err := d.openReader(ctx, output)
	if err != nil {
		return nil, err
	}
	return &ledger.Found{Histories: []*ledger.History{r.history}}, r.db.Close()
}

// Verify compares a table with the manifests of its runs: how many rows it has of each, and
// their digest where the dialect has one, for which it reads them all unless opts.Quick.
func (d Destination) Verify(ctx context.Context, output string, opts ledger.VerifyOptions) (_ *ledger.Verification, err error) {
	r, err := d.openReader(ctx, output)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.db.Close()) }()
	h := r.history
	v := &ledger.Verification{
		Output: h.Output, Run: h.Newest().Run, ManifestSHA256: h.Newest().SHA256, Runs: len(h.Runs),
		Quick: opts.Quick, Problems: append([]ledger.Problem{}, h.Problems...), Notes: []ledger.Problem{},
	}
	if want := opts.Manifest; want != "" && !strings.EqualFold(want, v.ManifestSHA256) {
		v.Problems = append(v.Problems, ledger.Problem{
			File: r.manifestName(), Run: v.Run, What: fmt.Sprintf("has the sha256 %s, not the one asked for, %s", v.ManifestSHA256, want),
			Do: "the table is of another run than you mean, or its history was rewritten: restore it",
		})
	}
	live := h.Live()
	if opts.Progress != nil {
		opts.Progress.TotalFiles.Store(int64(len(live)))
	}
	upserted := false // a later run may have replaced rows of those before
	for _, run := range live {
		v.LiveRuns = append(v.LiveRuns, run.Run)
		if run.Manifest == nil {
			continue
		}
		v.Rows += run.Manifest.Ledger.Written()
		v.Files++
		problem, err := r.compare(ctx, run, comparison{quick: opts.Quick, fewer: upserted})
		if err != nil {
			return nil, err
		}
		if problem != nil {
			v.Problems = append(v.Problems, *problem)
		}
		if opts.Progress != nil {
			opts.Progress.Files.Add(1)
		}
		upserted = upserted || run.Manifest.Mode == ledger.ModeUpsert
	}
	r.inputs(v, opts)
	return v, nil
}

// reader reads what a run's own tables say.
type reader struct {
	db      *database
	history *ledger.History
}

func (d Destination) openReader(ctx context.Context, output string) (_ *reader, err error) {
	t, err := parse(d.Dialect.Scheme(), output)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ledger.ErrNoOutput, output, err)
	}
	if _, err := os.Stat(t.path); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ledger.ErrNoOutput, output, err)
	}
	db := &database{dialect: d.Dialect, target: t, output: output, turn: make(chan struct{}, 1), reading: true}
	db.turn <- struct{}{}
	if db.session, err = d.Dialect.OpenToRead(ctx, t.path); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ledger.ErrNoOutput, output, err)
	}
	r := &reader{db: db, history: &ledger.History{Output: output, Single: true}}
	if err := r.read(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %s: %w", ledger.ErrNoOutput, output, err), db.Close())
	}
	return r, nil
}

// read fills the history, newest first.
func (r *reader) read(ctx context.Context) error {
	found, err := r.db.session.Describe(ctx, r.db.dialect.Own(r.db.target.ledger, "run"))
	switch {
	case err != nil:
		return err
	case !found.There:
		return fmt.Errorf("no run was published there: there is no table %s", r.db.own("run"))
	}
	runs, err := r.db.Runs(ctx)
	if err != nil {
		return err
	}
	for _, run := range slices.Backward(runs) {
		if run.State != table.Published {
			continue
		}
		recorded, err := r.manifest(ctx, run)
		if err != nil {
			return err
		}
		r.history.Runs = append(r.history.Runs, recorded)
	}
	if len(r.history.Runs) == 0 {
		return errors.New("no run was published there yet")
	}
	return nil
}

// manifest reads a run's manifest and checks it by itself.
func (r *reader) manifest(ctx context.Context, run table.Run) (*ledger.Recorded, error) {
	data, err := r.db.Manifest(ctx, run.ID)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	recorded := &ledger.Recorded{Run: run.ID, SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(data)), Live: run.Live}
	bad := func(what string) {
		r.history.Problems = append(r.history.Problems, ledger.Problem{File: r.manifestName(), Run: run.ID, What: what, Do: "restore it from a copy of the database"})
	}
	if recorded.SHA256 != run.SHA256 {
		bad(fmt.Sprintf("was changed since it was published: its sha256 is %.12s…, and was %.12s…", recorded.SHA256, run.SHA256))
	}
	m, err := ledger.ParseManifest(data)
	if err != nil {
		bad(err.Error())
		return recorded, nil
	}
	recorded.Manifest = m
	if err := m.Check(); err != nil {
		bad(err.Error())
	}
	if m.Run != run.ID {
		bad(fmt.Sprintf("is that of run %q", m.Run))
	}
	return recorded, nil
}

// manifestName is where manifests stand.
func (r *reader) manifestName() string { return r.db.own("run") + ".manifest" }

// comparison says how closely to look at the rows of a run.
type comparison struct {
	quick bool
	fewer bool // some may have been replaced by later runs'
}

// compare compares the table's rows of a run with its manifest.
func (r *reader) compare(ctx context.Context, run *ledger.Recorded, how comparison) (*ledger.Problem, error) {
	m := run.Manifest
	bad := func(what string, args ...any) *ledger.Problem {
		return &ledger.Problem{File: r.db.table(), Run: run.Run, What: fmt.Sprintf(what, args...), Do: "restore the table from a copy, or score again (--if-exists replace --restart)"}
	}
	found, err := r.db.session.Describe(ctx, r.db.tableRef())
	switch {
	case err != nil:
		return nil, err
	case !found.There:
		return bad("is gone"), nil
	case found.column(r.db.target.runColumn) == nil:
		return bad("has no column %q any more", r.db.target.runColumn), nil
	}
	names := make([]string, len(m.Schema))
	for i, c := range m.Schema {
		names[i] = c.Name
		if found.column(c.Name) == nil {
			return bad("has no column %q any more", c.Name), nil
		}
	}
	want := m.Ledger.Written()
	got, err := r.db.Count(ctx, run.Run)
	switch {
	case err != nil:
		return nil, err
	case got > want, got < want && !how.fewer:
		return bad("has %d rows of the run, which wrote %d", got, want), nil
	case how.quick || how.fewer:
		return nil, nil
	}
	sum, ok := DigestOf(m.Outputs)
	if !ok {
		return nil, nil
	}
	now, err := r.db.session.Digest(ctx, "SELECT "+strings.Join(quoted(names), ", ")+" FROM "+r.db.table()+" WHERE "+r.db.runColumn()+" = ?", run.Run)
	if err == nil && now != sum {
		return bad("has other values than the run wrote: the digest of its rows is %s, and was %s", now, sum), nil
	}
	return nil, err
}

// inputs looks at the models and inputs of live runs, by size and time: a published table
// stays true without them.
func (r *reader) inputs(v *ledger.Verification, opts ledger.VerifyOptions) {
	for _, run := range r.history.Live() {
		if run.Manifest == nil {
			continue
		}
		for i := range run.Manifest.Inputs {
			in := &run.Manifest.Inputs[i]
			s := in.Standing()
			if s.Same {
				continue
			}
			p := ledger.Problem{File: in.Path, Run: run.Run, What: "the input " + s.What, Do: "run " + run.Run + " cannot be replayed until it is as it was"}
			if opts.Inputs {
				v.Problems = append(v.Problems, p)
			} else {
				v.Notes = append(v.Notes, p)
			}
		}
	}
}
