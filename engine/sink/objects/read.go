package objects

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/io/blobstore"
)

// found is an output that is looked at.
type found struct {
	store *store
	place *place
	own   *own
	now   entry
}

// errNothing says that no run has left anything.
var errNothing = fmt.Errorf("%w", ledger.ErrNoOutput)

// errUnread marks what keeps an output from being looked at.
func errUnread(output string, err error) error {
	return fmt.Errorf("%w: %q: %w", ledger.ErrUnread, output, blobstore.Clean(err))
}

// find opens an output by its URI: a folder with runs' own objects in it, or a single file
// with them beside it.
func (d *Destination) find(ctx context.Context, output string) (_ *found, err error) {
	var s *store
	for _, single := range []bool{false, true} {
		p, err := parsePlace(output, single)
		if err != nil {
			return nil, errUnread(output, err)
		}
		if s == nil {
			if s, err = d.open(ctx, p); err != nil {
				return nil, errUnread(output, err)
			}
		}
		if single && p.name == "" {
			break
		}
		f := &found{store: s, place: p}
		if f.own, err = s.listOwn(ctx, p); err == nil {
			f.now, err = s.newest(ctx, p)
		}
		if err != nil {
			return nil, errors.Join(errUnread(output, err), s.bucket.Close())
		}
		if len(f.own.manifests) > 0 || len(f.own.left) > 0 || f.now.Number > 0 {
			return f, nil
		}
	}
	return nil, errors.Join(fmt.Errorf("%w: %q has no %s with its runs' manifests; name what score's --output named (millrace runs lists those below a folder)", errNothing, output, ownName), s.bucket.Close())
}

// settle gives the names to the files of a run that was published and died before all had
// theirs, and says so. A run that lives does it itself.
func (d *Destination) settle(ctx context.Context, f *found) (note string, err error) {
	if f.now.Pending == "" {
		return "", nil
	}
	run := f.now.Pending
	opts := sink.Options{StageOptions: ledger.StageOptions{Output: f.place.shown, RunID: ledger.NewRunID(time.Now())}}
	s := newStaging(ctx, &opts, f.place, f.store)
	s.lease = cmp.Or(d.Lease, defaultLease)
	if err := s.claim(ctx); err != nil {
		return "", s.failed(err)
	}
	ctx = lingering(ctx)
	err = s.finish(ctx, run)
	err = errors.Join(err, s.endWriting(ctx), f.store.drop(ctx, f.place, []string{opts.RunID}))
	if gave := s.move(ctx, func(e *entry) { e.Holder = nil }); err == nil {
		err = gave
	}
	if err != nil {
		return "", s.failed(err)
	}
	if f.own, err = f.store.listOwn(ctx, f.place); err == nil {
		f.now, err = f.store.newest(ctx, f.place)
	}
	return fmt.Sprintf("run %s was published and stopped before all its files had their names: they have them now", run), err
}

// history reads the manifests.
func (f *found) history(ctx context.Context) (*ledger.History, error) {
	t, err := f.store.newTree(ctx, f.place)
	if err != nil {
		return nil, errUnread(f.place.shown, err)
	}
	return ledger.ReadHistoryIn(t, f.place.shown, f.place.name)
}

// Verify compares an output with its manifests, after giving the files of a published run
// their names, where it died before that.
func (d *Destination) Verify(ctx context.Context, output string, opts ledger.VerifyOptions) (_ *ledger.Verification, err error) {
	f, err := d.find(ctx, output)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.store.bucket.Close()) }()
	settled, err := d.settle(ctx, f)
	if err != nil {
		return nil, err
	}
	left, err := f.unfinished(ctx)
	if err != nil {
		return nil, err
	}
	h, err := f.history(ctx)
	if err != nil {
		for _, note := range left {
			err = fmt.Errorf("%w; %s: %s", err, note.What, note.Do)
		}
		return nil, err
	}
	v, err := ledger.VerifyHistory(ctx, h, opts)
	if err != nil {
		return nil, err
	}
	if settled != "" {
		v.Notes = append(v.Notes, ledger.Problem{What: settled, Do: "nothing is left to do"})
	}
	v.Notes = append(v.Notes, left...)
	return v, nil
}

// unfinished says which runs have left progress that is not published.
func (f *found) unfinished(ctx context.Context) (notes []ledger.Problem, err error) {
	runs, rest, err := f.store.unfinished(ctx, f.place, f.own)
	if err != nil {
		return nil, errUnread(f.place.shown, err)
	}
	for _, u := range runs {
		last := u.starts[len(u.starts)-1].run
		what := fmt.Sprintf("run %s is not published, and %d parts of it are finished and kept", last, len(u.journal.Parts))
		if f.now.Holder != nil && f.now.Holder.Run == last && !f.now.Holder.gone() {
			what += fmt.Sprintf("; it was at work on %s, as process %d", f.now.Holder.Host, f.now.Holder.PID)
		}
		notes = append(notes, ledger.Problem{
			File: f.place.label(f.place.staging(last)), Run: last, What: what,
			Do: "the same command goes on with it, and with --restart drops it; to remove it by hand, remove what is below " + f.place.uri(f.place.staging(last)) + " while no run is at work",
		})
	}
	for _, run := range rest {
		notes = append(notes, ledger.Problem{
			File: f.place.label(f.place.staging(run)), Run: run, What: "is left by a run that finished nothing, or is going on", Do: "the next run there removes it",
		})
	}
	return notes, nil
}

// readHistory reads the manifests of an output, whose files can be read by their URIs.
func (d *Destination) readHistory(ctx context.Context, output string) (history *ledger.History, err error) {
	err = d.WithHistory(ctx, output, func(h *ledger.History) error {
		history = h
		return nil
	})
	return history, err
}

// WithHistory does the same, and calls read while more can be read of it.
func (d *Destination) WithHistory(ctx context.Context, output string, read func(*ledger.History) error) (err error) {
	f, err := d.find(ctx, output)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.store.bucket.Close()) }()
	h, err := f.history(ctx)
	if err != nil {
		return err
	}
	return read(h)
}

// FindHistories reads the manifests of an output, or of all below a folder.
func (d *Destination) FindHistories(ctx context.Context, root string) (*ledger.Found, error) {
	h, err := d.readHistory(ctx, root)
	if err == nil {
		return &ledger.Found{Histories: []*ledger.History{h}}, nil
	}
	outputs, listErr := d.below(ctx, root)
	if listErr != nil || len(outputs) == 0 {
		return nil, cmp.Or(listErr, err)
	}
	all := &ledger.Found{}
	for _, output := range outputs {
		h, err := d.readHistory(ctx, output)
		switch {
		case err == nil:
			all.Histories = append(all.Histories, h)
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case !errors.Is(err, ledger.ErrNoOutput):
			all.Unread = append(all.Unread, ledger.Problem{File: output, What: err.Error(), Do: "list it as a user who may read it"})
		}
	}
	if len(all.Histories) == 0 && len(all.Unread) == 0 {
		return nil, fmt.Errorf("%w: no output is in %q or below it", ledger.ErrNoOutput, root)
	}
	return all, nil
}

// below lists the outputs below a folder, by the manifests there.
func (d *Destination) below(ctx context.Context, root string) (outputs []string, err error) {
	p, err := parsePlace(root, false)
	if err != nil {
		return nil, errUnread(root, err)
	}
	s, err := d.open(ctx, p)
	if err != nil {
		return nil, errUnread(root, err)
	}
	defer func() { err = errors.Join(err, s.bucket.Close()) }()
	n := 0
	err = s.list(ctx, p.prefix, "", func(o object) error {
		if n++; n > maxObjects {
			return fmt.Errorf("more than %d objects are below it: name a folder closer to the outputs", maxObjects)
		}
		if output, ok := outputOf(o.key); ok {
			outputs = append(outputs, p.uri(output))
		}
		return nil
	})
	if err != nil {
		return nil, errUnread(root, err)
	}
	slices.Sort(outputs)
	return slices.Compact(outputs), nil
}

// outputOf is the key of the output that a manifest is of.
func outputOf(key string) (string, bool) {
	runDir, name := path.Split(key)
	own, run := path.Split(strings.TrimSuffix(runDir, "/"))
	if name != manifestName || !ledger.ValidRunID(run) {
		return "", false
	}
	dir, side := path.Split(strings.TrimSuffix(own, "/"))
	if side+"/" == ownName {
		return dir, true
	}
	file, ok := strings.CutSuffix(side, ".millrace")
	if !ok || !strings.HasPrefix(file, "_") {
		return "", false
	}
	return dir + file[1:], true
}

// Seen tells what the runs of an output have read. One that is not there has seen nothing.
func (d *Destination) Seen(ctx context.Context, output string) (_ *ledger.Seen, err error) {
	f, err := d.find(ctx, output)
	if errors.Is(err, errNothing) {
		return &ledger.Seen{}, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.store.bucket.Close()) }()
	if _, err := d.settle(ctx, f); err != nil {
		return nil, err
	}
	runs, _, err := f.store.unfinished(ctx, f.place, f.own)
	if err != nil {
		return nil, errUnread(output, err)
	}
	seen := &ledger.Seen{}
	if len(f.own.manifests) > 0 {
		h, err := f.history(ctx)
		if err != nil {
			return nil, err
		}
		if seen, err = ledger.SeenBy(h); err != nil {
			return nil, err
		}
	}
	for _, u := range runs {
		if len(u.journal.Parts) > 0 || len(u.journal.Deaths) > 0 {
			seen.Unfinished = append(seen.Unfinished, u.journal.Head.Job)
		}
	}
	return seen, nil
}

// ManifestPlace is the URI of a run's manifest.
func (d *Destination) ManifestPlace(output, run string) string {
	return d.ownPlace(output, run, manifestName)
}

// RejectsPlace is the URI of a run's rejects.
func (d *Destination) RejectsPlace(output, run string) string {
	return d.ownPlace(output, run, rejectsName)
}

func (*Destination) ownPlace(output, run, name string) string {
	p, err := parsePlace(output, isFile(output))
	if err != nil {
		return output
	}
	return p.uri(p.run(run) + name)
}
