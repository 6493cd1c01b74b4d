package objects

import (
	"context"
	"errors"
	"fmt"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/io/blobstore"
)

var _ sink.Rememberer = (*Destination)(nil)

// Seen is what the runs of an output have read; see ledger.ReadSeen. A run that was
// published and died before all its files had their names gets them first.
func (d *Destination) Seen(ctx context.Context, output string) (_ *ledger.Seen, err error) {
	for _, single := range []bool{true, false} {
		p, err := parsePlace(output, single)
		if err != nil || single && p.name == "" {
			continue // Check says what is wrong
		}
		seen, err := d.seenAt(ctx, p)
		if err != nil || seen != nil {
			return seen, err
		}
	}
	return &ledger.Seen{}, nil
}

// seenAt is Seen of one place; nil where no run has been.
func (d *Destination) seenAt(ctx context.Context, p *place) (_ *ledger.Seen, err error) {
	f := &found{place: p}
	if f.store, err = d.open(ctx, p); err != nil {
		return nil, outputError(p, err)
	}
	defer func() { err = errors.Join(err, f.store.bucket.Close()) }()
	if f.own, err = f.store.listOwn(ctx, p); err == nil {
		f.now, err = f.store.newest(ctx, p)
	}
	if err != nil {
		return nil, outputError(p, blobstore.Clean(err))
	}
	if len(f.own.manifests) == 0 && len(f.own.left) == 0 && f.now.Number == 0 {
		return nil, nil
	}
	if _, err := d.settle(ctx, f); err != nil {
		return nil, err
	}
	runs, _, err := f.store.unfinished(ctx, p, f.own)
	if err != nil {
		return nil, outputError(p, blobstore.Clean(err))
	}
	seen := &ledger.Seen{}
	for _, u := range runs {
		if j := u.journal; j != nil && j.Head != nil && (len(j.Parts) > 0 || len(j.Deaths) > 0) {
			seen.Unfinished = append(seen.Unfinished, j.Head.Job)
		}
	}
	return seen, f.follow(ctx, seen)
}

// follow notes the runs of the chain, from the newest that is published.
func (f *found) follow(ctx context.Context, seen *ledger.Seen) error {
	before, err := f.store.readPast(ctx, f.place, f.own, f.now.Published)
	if err != nil {
		return outputError(f.place, blobstore.Clean(err))
	}
	unsound := func(what string, args ...any) error {
		return fmt.Errorf("%w: %q: what its runs have read cannot be told: %s; see millrace verify", ledger.ErrUnsound, f.place.shown, fmt.Sprintf(what, args...))
	}
	if len(before.live) == 0 {
		if len(f.own.manifests) > 0 {
			return unsound("its newest manifest cannot be understood")
		}
		return nil
	}
	seen.Newest = before.sum
	known := map[string]bool{}
	var last *ledger.Manifest
	for _, m := range before.live {
		seen.Add(m.Run, true, m.Inputs)
		known[m.Run], last = true, m
	}
	for last.Parent != nil {
		run := last.Parent.Run
		if !f.own.manifests[run] || known[run] {
			return unsound("the manifest of run %s, which run %s followed, is missing", run, last.Run)
		}
		m, sum, err := f.store.readManifest(ctx, f.place, run)
		switch {
		case err != nil:
			return outputError(f.place, blobstore.Clean(err))
		case m == nil || sum != last.Parent.SHA256:
			return unsound("the manifest of run %s is not the one that run %s followed", run, last.Run)
		}
		seen.Add(m.Run, false, m.Inputs)
		known[run], last = true, m
	}
	return nil
}
