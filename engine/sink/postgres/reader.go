package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink/table"
	"github.com/millrace/millrace/io/postgres"
)

// FindHistories reads the runs that were published to a table. Its error wraps
// ledger.ErrNoOutput where there are none.
func (Destination) FindHistories(ctx context.Context, output string) (*ledger.Found, error) {
	r, err := openReader(ctx, output)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.db.Close() }() // nothing is written
	return &ledger.Found{Histories: []*ledger.History{r.history}}, nil
}

// Verify compares a table with the manifests of its runs: how many rows it has of each, and
// their digest, for which it reads them all unless opts.Quick.
func (Destination) Verify(ctx context.Context, output string, opts ledger.VerifyOptions) (*ledger.Verification, error) {
	r, err := openReader(ctx, output)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.db.Close() }() // nothing is written
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
		for _, o := range run.Manifest.Outputs {
			v.Bytes += o.Bytes
		}
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

func openReader(ctx context.Context, output string) (*reader, error) {
	db, err := open(ctx, output, ledger.IfExistsError, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ledger.ErrNoOutput, err)
	}
	r := &reader{db: db, history: &ledger.History{Output: db.target.String(), Single: true}}
	if err := r.read(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ledger.ErrNoOutput, err), db.Close())
	}
	return r, nil
}

// read fills the history, newest first.
func (r *reader) read(ctx context.Context) error {
	var there bool
	if err := r.db.control.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", r.db.own("run")).Scan(&there); err != nil {
		return r.db.target.Wrap(err)
	}
	if !there {
		return fmt.Errorf("%s: no run was published there: there is no table %s", r.db.target, r.db.own("run"))
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
		return fmt.Errorf("%s: no run was published there yet", r.db.target)
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
		return &ledger.Problem{File: r.db.target.Name(), Run: run.Run, What: fmt.Sprintf(what, args...), Do: "restore the table from a copy, or score again (--if-exists replace --restart)"}
	}
	found, err := r.db.target.Describe(ctx, r.db.control, r.db.target.Schema, r.db.target.Table)
	if err != nil {
		return nil, err
	}
	if found.Layout == postgres.Absent {
		return bad("is gone"), nil
	}
	names := make([]string, len(m.Schema))
	for i, c := range m.Schema {
		names[i] = c.Name
		if _, there := found.Column(c.Name); !there {
			return bad("has no column %q any more", c.Name), nil
		}
	}
	want := postgres.Account{Rows: m.Ledger.Written()}
	digested := !how.quick && !how.fewer
	for _, o := range m.Outputs {
		hex, ok := strings.CutPrefix(o.RowDigest, digestName)
		n, err := strconv.ParseUint(hex, 16, 64)
		digested = digested && ok && err == nil
		want.Digest += postgres.Digest(n)
		want.Bytes += o.Bytes
	}
	if !digested {
		got, err := r.db.Count(ctx, run.Run)
		switch {
		case err != nil:
			return nil, err
		case got > want.Rows, got < want.Rows && !how.fewer:
			return bad("has %d rows of the run, which wrote %d", got, want.Rows), nil
		}
		return nil, nil
	}
	query := "SELECT " + quoted(names) + " FROM " + r.db.target.Name() + " WHERE " + r.db.runColumn() + " = " + literal(run.Run)
	got, err := r.db.target.ReadDigest(ctx, r.db.control.PgConn(), query)
	switch {
	case err != nil:
		return nil, err
	case got.Rows != want.Rows:
		return bad("has %d rows of the run, which wrote %d", got.Rows, want.Rows), nil
	case got != want:
		return bad("has other values than the run wrote: the digest of its rows is %s, and was %s", got.Digest, want.Digest), nil
	}
	return nil, nil
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
