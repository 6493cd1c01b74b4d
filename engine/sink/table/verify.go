package table

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/engine/ledger"
)

// Verifiable is what Verify needs of a database.
type Verifiable interface {
	Runs(ctx context.Context) ([]Run, error)
	Manifest(ctx context.Context, run string) ([]byte, error)
	Count(ctx context.Context, run string) (int64, error)
	// Lacks says in words what the table lacks of some columns; "" where it has all.
	Lacks(ctx context.Context, columns []string) (what string, err error)
	// CountOthers is how many rows of the table are of none of these runs.
	CountOthers(ctx context.Context, runs []string) (int64, error)
	// RowDigest is the digest of the rows of a run, as its parts recorded it.
	RowDigest(ctx context.Context, run string, columns []string) (Digest, error)
	// ViewDigest is that digest of what the view predictions shows of a run, and ViewRuns are
	// the runs that the view runs shows, in any order and without what it does not have; there
	// is false where there is no such view.
	ViewDigest(ctx context.Context, run string, columns []string) (digest Digest, there bool, err error)
	ViewRuns(ctx context.Context) (runs []Run, there bool, err error)
	// Names are those of the table, and of the column of manifests, for messages.
	Names() (table, manifests string)
}

// ReadHistory reads the runs that were published to a table, newest first.
func ReadHistory(ctx context.Context, db Verifiable, output string) (*ledger.History, error) {
	runs, err := db.Runs(ctx)
	if err != nil {
		return nil, err
	}
	h := &ledger.History{Output: output, Single: true}
	for _, run := range slices.Backward(runs) {
		if run.State != Published {
			continue
		}
		if err := addRun(ctx, db, h, run); err != nil {
			return nil, err
		}
	}
	if len(h.Runs) == 0 {
		return nil, errors.New("no run was published there yet")
	}
	checkChain(db, h)
	checkLive(db, h)
	return h, nil
}

// addRun reads a run's manifest and checks it by itself.
func addRun(ctx context.Context, db Verifiable, h *ledger.History, run Run) error {
	data, err := db.Manifest(ctx, run.ID)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	recorded := &ledger.Recorded{Run: run.ID, SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(data)), Live: run.Live}
	h.Runs = append(h.Runs, recorded)
	bad := func(what string) {
		h.Problems = append(h.Problems, manifestProblem(db, run.ID, what))
	}
	if recorded.SHA256 != run.SHA256 {
		bad(fmt.Sprintf("was changed since it was published: its sha256 is %.12s…, and was %.12s…", recorded.SHA256, run.SHA256))
	}
	m, err := ledger.ParseManifest(data)
	if err != nil {
		bad(err.Error())
		return nil
	}
	recorded.Manifest, recorded.Interval = m, m.Interval()
	if err := m.Check(); err != nil {
		bad(err.Error())
	}
	if m.Run != run.ID {
		bad(fmt.Sprintf("is that of run %q", m.Run))
	}
	if run.Published == 0 {
		bad("has no time beside it (published) at which it was")
	}
	want := ShownOf(m)
	others := run.otherThan(&want)
	if m.Job != "" && m.Job != run.Job {
		others = append(others, "job")
	}
	if len(others) > 0 {
		bad("does not say what stands beside it, in " + strings.Join(others, ", "))
	}
	return nil
}

func manifestProblem(db Verifiable, run, what string) ledger.Problem {
	_, name := db.Names()
	return ledger.Problem{File: name, Run: run, What: what, Do: "restore it from a copy of the database"}
}

// checkChain compares each run with the one that it says was before it.
func checkChain(db Verifiable, h *ledger.History) {
	for i, r := range h.Runs {
		if r.Manifest == nil {
			continue
		}
		var before *ledger.Recorded
		if i+1 < len(h.Runs) {
			before = h.Runs[i+1]
		}
		switch parent := r.Manifest.Parent; {
		case parent == nil && before != nil:
			h.Problems = append(h.Problems, manifestProblem(db, r.Run, fmt.Sprintf("names no run before it, and %s was", before.Run)))
		case parent != nil && (before == nil || before.Run != parent.Run):
			h.Problems = append(h.Problems, manifestProblem(db, r.Run, fmt.Sprintf("names run %s as the one before it, which is not there", parent.Run)))
		case parent != nil && before.SHA256 != parent.SHA256:
			h.Problems = append(h.Problems, manifestProblem(db, before.Run, fmt.Sprintf("was changed since run %s: its sha256 is %.12s…, and was %.12s…", r.Run, before.SHA256, parent.SHA256)))
		}
	}
}

// checkLive compares what runs are said to be with what followed them: the newest one's rows
// are the table's, and so are those of runs before it that others added to. One that is said
// not to be live is, then; its rows would be counted as anybody's, and not missed.
func checkLive(db Verifiable, h *ledger.History) {
	for _, r := range h.Runs {
		if !r.Live {
			r.Live = true
			p := manifestProblem(db, r.Run, "is of a run that is marked as replaced (live), and no run replaced it")
			h.Problems = append(h.Problems, p)
		}
		if m := r.Manifest; m == nil || m.Mode != ledger.ModeAppend && m.Mode != ledger.ModeUpsert {
			return
		}
	}
}

// Verify compares a table with the manifests of its runs: how many rows it has of each, and
// their digest, for which it reads them all unless opts.Quick.
func Verify(ctx context.Context, db Verifiable, h *ledger.History, opts ledger.VerifyOptions) (*ledger.Verification, error) {
	if opts.Progress == nil {
		opts.Progress = &ledger.VerifyProgress{}
	}
	v := &ledger.Verification{
		Output: h.Output, Run: h.Newest().Run, ManifestSHA256: h.Newest().SHA256, Runs: len(h.Runs),
		Quick: opts.Quick, Problems: append([]ledger.Problem{}, h.Problems...), Notes: []ledger.Problem{},
	}
	if want := opts.Manifest; want != "" && !strings.EqualFold(want, v.ManifestSHA256) {
		problem := manifestProblem(db, v.Run, fmt.Sprintf("has the sha256 %s, not the one asked for, %s", v.ManifestSHA256, want))
		problem.Do = "the table is of another run than you mean, or its history was rewritten: restore it"
		v.Problems = append(v.Problems, problem)
	}
	live := h.Live()
	opts.Progress.TotalFiles.Store(int64(len(live)))
	upserted := false // a later run may have replaced rows of those before
	for _, run := range live {
		v.LiveRuns = append(v.LiveRuns, run.Run)
		if run.Manifest == nil {
			continue
		}
		for _, o := range run.Manifest.Outputs {
			v.Bytes += o.Bytes
		}
		v.Files++
		c := comparison{db: db, run: run, quick: opts.Quick, fewer: upserted}
		if err := c.compare(ctx, v); err != nil {
			return nil, err
		}
		opts.Progress.Files.Add(1)
		upserted = upserted || run.Manifest.Mode == ledger.ModeUpsert
	}
	if err := others(ctx, db, v); err != nil {
		return nil, err
	}
	runs, err := db.Runs(ctx)
	if err != nil {
		return nil, err
	}
	outOfOrder(db, runs, v)
	if err := checkRunsView(ctx, db, runs, v); err != nil {
		return nil, err
	}
	return v, v.AddStanding(ctx, h, opts)
}

// others notes rows that no live run wrote: they may be other people's.
func others(ctx context.Context, db Verifiable, v *ledger.Verification) error {
	table, _ := db.Names()
	if what, err := db.Lacks(ctx, nil); err != nil || what != "" || v.Quick {
		return err
	}
	n, err := db.CountOthers(ctx, v.LiveRuns)
	if err == nil && n > 0 {
		v.Notes = append(v.Notes, ledger.Problem{
			File: table, What: fmt.Sprintf("has %d rows of no live run", n), Do: "they were there before, or somebody else put them there: nothing vouches for them",
		})
	}
	return err
}

// outOfOrder notes runs that are said to have been published before one that they followed:
// the clock was set back, or somebody wrote another time there.
func outOfOrder(db Verifiable, runs []Run, v *ledger.Verification) {
	_, manifests := db.Names()
	var before *Run
	for i := range runs {
		run := &runs[i]
		if run.State != Published {
			continue
		}
		if before != nil && run.Published < before.Published {
			v.Notes = append(v.Notes, ledger.Problem{
				File: manifests, Run: run.ID, What: fmt.Sprintf("is of a run that is said to have been published before run %s, which it followed: a clock was set back, or somebody changed the time", before.ID),
				Do: "what asks for the latest by run_published takes the other",
			})
		}
		before = run
	}
}

// remake is what to do about a view, which nobody needs but those who look at it.
const remake = "drop it: the next run that publishes makes it again"

// checkRunsView compares what the view runs shows with what it is to be made from.
func checkRunsView(ctx context.Context, db Verifiable, runs []Run, v *ledger.Verification) error {
	table, _ := db.Names()
	shown, there, err := db.ViewRuns(ctx)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		v.Notes = append(v.Notes, ledger.Problem{File: table, What: fmt.Sprintf("its view runs cannot be read: %v", err), Do: remake})
		return nil
	case !there:
		return nil
	}
	want := map[Run]int{}
	for _, r := range runs {
		if r.State != Staged {
			r.Job, r.SHA256 = "", "" // which it does not have
			want[r]++
		}
	}
	for _, r := range shown {
		want[r]--
	}
	for r, n := range want {
		if n != 0 {
			v.Problems = append(v.Problems, ledger.Problem{File: table, Run: r.ID, What: fmt.Sprintf("its view runs does not show run %s as it was", r.ID), Do: remake})
			break // of a run that is shown otherwise there are two
		}
	}
	return nil
}

// comparison is that of the table's rows of a run with its manifest.
type comparison struct {
	db    Verifiable
	run   *ledger.Recorded
	quick bool
	fewer bool // some may have been replaced by later runs'
}

// compare adds what is wrong with the rows, and what cannot be seen.
func (c *comparison) compare(ctx context.Context, v *ledger.Verification) error {
	m := c.run.Manifest
	table, _ := c.db.Names()
	bad := func(what string, args ...any) {
		v.Problems = append(v.Problems, ledger.Problem{File: table, Run: c.run.Run, What: fmt.Sprintf(what, args...), Do: "restore the table from a copy, or score again (--if-exists replace --restart)"})
	}
	names := m.ColumnNames()
	if what, err := c.db.Lacks(ctx, names); err != nil || what != "" {
		if err == nil {
			bad("%s", what)
		}
		return err
	}
	want := m.Ledger.Written()
	got, err := c.db.Count(ctx, c.run.Run)
	v.Rows += got
	switch {
	case err != nil:
		return err
	case got > want, got < want && !c.fewer:
		bad("has %d rows of the run, which wrote %d", got, want)
		return nil
	case c.quick:
		return nil
	}
	was, digested := DigestOf(m.Outputs)
	if c.fewer || !digested {
		why := "the millrace that wrote them made no digest of them"
		if c.fewer {
			why = "a later run replaced some, and the digest is of all"
		}
		v.Counted = append(v.Counted, c.run.Run)
		v.Notes = append(v.Notes, ledger.Problem{File: table, Run: c.run.Run, What: "rows of run " + c.run.Run + " were counted, and their values not compared: " + why, Do: "millrace replay compares some"})
		return nil
	}
	now, err := c.db.RowDigest(ctx, c.run.Run, names)
	if err != nil {
		return err
	}
	if now != was {
		bad("has other values than the run wrote: the digest of its rows is %s, and was %s", now, was)
	}
	return c.compareView(ctx, v, names, now)
}

// compareView compares the rows that the view predictions shows of the run with the table's.
func (c *comparison) compareView(ctx context.Context, v *ledger.Verification, columns []string, has Digest) error {
	table, _ := c.db.Names()
	shown, there, err := c.db.ViewDigest(ctx, c.run.Run, columns)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		v.Notes = append(v.Notes, ledger.Problem{File: table, Run: c.run.Run, What: fmt.Sprintf("its view predictions cannot be read: %v", err), Do: remake})
	case there && shown != has:
		v.Problems = append(v.Problems, ledger.Problem{File: table, Run: c.run.Run, What: "its view predictions shows other rows of the run than the table has", Do: remake})
	}
	return nil
}
