package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize/english"
	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/io/dataset"
)

// OnChanged says what becomes of a file that a run has read and that is another now.
type OnChanged string

// The choices.
const (
	ChangedFail  OnChanged = "fail" // nothing is scored
	ChangedSkip  OnChanged = "skip"
	ChangedScore OnChanged = "score" // as if it were new
	// ChangedList is that of a plan: they are listed, and left out.
	ChangedList OnChanged = "list"
)

// ErrNothingNew says that a run has nothing to read, which is no failure; the error is a
// *NothingNewError.
var ErrNothingNew = errors.New("nothing new")

// Selection is which of the files that an input names a run reads, where that need not
// be all: those that no run of the output has read (Options.OnlyNew), those from a time on
// (Since).
//
//	each file, once ─▶ read by a run, and the same? ─▶ seen
//	                   read by a run, and another?  ─▶ changed, by OnChanged
//	                   another file's name, and looks as that one did, which is gone? ─▶ changed
//	                   before Since?                ─▶ older
//	                   else                         ─▶ new
//
// What a run that stopped had begun with goes first, and all else is left for later: so
// its progress is of use, however many files have come since.
type Selection struct {
	Listed int `json:"listed"` // files that the input names
	// Chosen are those that are read.
	Chosen int `json:"chosen"`
	Seen   int `json:"seen"`
	// SeenReplaced are those of them whose predictions were replaced since.
	SeenReplaced int            `json:"seen_replaced"`
	Older        int            `json:"older"`
	Later        int            `json:"later"`
	Changed      []ChangedInput `json:"changed"`
	OnChanged    OnChanged      `json:"on_changed,omitempty"`
}

// ChangedInput is a file that a run has read, and that is another now.
type ChangedInput struct {
	Path string `json:"path"`
	Run  string `json:"run"` // the newest that read it
	What string `json:"what"`
}

// NothingNewError says why there is nothing to read. It wraps ErrNothingNew.
type NothingNewError struct {
	Output    string
	Selection Selection
}

func (e *NothingNewError) Error() string { return fmt.Sprintf("%s: %s", ErrNothingNew, e.Selection) }

// Unwrap makes errors.Is(err, ErrNothingNew) true.
func (*NothingNewError) Unwrap() error { return ErrNothingNew }

// String counts what the files are.
func (s Selection) String() string {
	counts := []string{fmt.Sprintf("%d to read", s.Chosen)}
	if s.OnChanged != "" { // new ones were asked for
		counts = append(counts, fmt.Sprintf("%d read by earlier runs", s.Seen))
	}
	for _, c := range []struct {
		n    int
		what string
	}{{s.Older, "older than --since"}, {len(s.Changed), "changed since a run read them"}, {s.Later, "left for the next run"}} {
		if c.n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	return english.Plural(s.Listed, "file", "") + ": " + strings.Join(counts, ", ")
}

// selects says whether the run may read less than the input names.
func (o *Options) selects() bool { return o.OnlyNew || !o.Since.IsZero() }

// validateSelection finds what is wrong with the settings of a selection.
func (o *Options) validateSelection(bad func(f string, args ...any)) {
	switch o.OnChanged {
	case "", ChangedFail, ChangedSkip, ChangedScore, ChangedList:
	default:
		bad("--on-changed (%s) must be fail, skip or score", o.OnChanged)
	}
	if o.OnlyNew && o.Output == "" {
		bad("--only-new needs --output: its runs say which files are new")
	}
	if !o.OnlyNew && o.OnChanged != "" && o.OnChanged != ChangedList {
		bad("--on-changed is for --only-new")
	}
	if o.selects() && slices.Contains(o.Inputs, "-") {
		bad("--only-new and --since choose among files, and --input - is none")
	}
}

// selector chooses files.
type selector struct {
	plan *Plan
	seen *ledger.Seen // empty unless OnlyNew
	Selection
}

// candidate is a file that may be read.
type candidate struct {
	dataset.FileInfo
	name string // by which manifests and jobs know it
	seen *ledger.SeenInput
	// changed is what is different since a run read it; empty for a new file.
	changed string
}

// selectFiles gives the files to read, of those listed. Its error is a *NothingNewError where
// there is none, and wraps ledger.ErrInputChanged where files have changed that must not.
func (p *Plan) selectFiles(ctx context.Context, listed []string) ([]string, error) {
	if !p.Options.selects() {
		return listed, nil
	}
	s := &selector{plan: p, seen: &ledger.Seen{}}
	if p.Options.OnlyNew {
		s.OnChanged = p.Options.OnChanged
		if s.OnChanged == "" {
			s.OnChanged = ChangedFail
		}
		if err := s.remember(ctx); err != nil {
			return nil, err
		}
		listed = once(listed)
	}
	files, err := s.look(ctx, listed)
	if err != nil {
		return nil, err
	}
	chosen, err := s.sort(ctx, files)
	if err != nil {
		return nil, err
	}
	p.Selection = &s.Selection
	if s.Chosen = len(chosen); s.Chosen == 0 {
		return nil, &NothingNewError{Output: sink.Shown(p.Options.Output), Selection: s.Selection}
	}
	paths := make([]string, len(chosen))
	for i, c := range chosen {
		paths[i] = c.Path
	}
	return paths, nil
}

// remember reads what runs of the output have read.
func (s *selector) remember(ctx context.Context) error {
	output := s.plan.Options.Output
	d, err := s.plan.Options.Places.of(output)
	if err != nil {
		return err
	}
	r, ok := d.(sink.Reader)
	if !ok {
		return fmt.Errorf("%w: --only-new: nothing tells what the runs of --output %s have read", ErrUsage, sink.Shown(output))
	}
	if s.seen, err = r.Seen(ctx, output); err != nil {
		return err
	}
	s.plan.follows = &s.seen.Newest
	return nil
}

// once drops names of a file that is listed already, by a link too.
func once(listed []string) []string {
	known := map[string]bool{}
	return slices.DeleteFunc(slices.Clone(listed), func(path string) bool {
		name := absolute(path)
		if dataset.Scheme(path) == "" {
			if target, err := filepath.EvalSymlinks(name); err == nil {
				name = target
			}
		}
		again := known[name]
		known[name] = true
		return again
	})
}

// looksAtATime bounds how many files are looked up at a time.
const looksAtATime = 16

// look says of each file what can be said without reading it.
func (s *selector) look(ctx context.Context, listed []string) ([]*candidate, error) {
	s.Listed = len(listed)
	files := make([]*candidate, len(listed))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(looksAtATime)
	for i, path := range listed {
		group.Go(func() error {
			info, err := dataset.Look(ctx, path, s.plan.Options.Stores)
			files[i] = &candidate{FileInfo: info, name: absolute(path)}
			return err
		})
	}
	return files, group.Wait()
}

// sort says what each file is and gives those to read.
func (s *selector) sort(ctx context.Context, files []*candidate) ([]*candidate, error) {
	var open []*candidate // not seen
	if err := s.compareAll(ctx, files); err != nil {
		return nil, err
	}
	for _, f := range files {
		switch {
		case f.seen == nil || f.changed != "":
			open = append(open, f)
		default:
			s.Seen++
			if !f.seen.Live {
				s.SeenReplaced++
			}
		}
	}
	if begun := s.begun(open); begun != nil {
		s.Later = len(open) - len(begun)
		return begun, nil
	}
	var chosen []*candidate
	for _, f := range open {
		older, err := s.older(f)
		switch {
		case err != nil:
			return nil, err
		case older:
			s.Older++
			continue
		case f.changed != "":
			s.Changed = append(s.Changed, ChangedInput{Path: f.Path, Run: f.seen.Run, What: f.changed})
			if s.OnChanged != ChangedScore {
				continue
			}
		}
		chosen = append(chosen, f)
	}
	if len(s.Changed) > 0 && s.OnChanged == ChangedFail {
		return nil, s.changedError()
	}
	return chosen, nil
}

// compareAll compares some at a time.
func (s *selector) compareAll(ctx context.Context, files []*candidate) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(looksAtATime)
	for _, f := range files {
		group.Go(func() error { return s.compare(ctx, f) })
	}
	return group.Wait()
}

// changed says what is different of a file since a run read it. What a store said of an object
// a moment ago holds.
func (s *selector) changed(ctx context.Context, f *candidate, in *ledger.SeenInput) error {
	if dataset.Scheme(f.Path) != "" {
		return in.ChangedTo(dataset.Facts{Size: f.Size, ModTime: f.ModTime, Version: f.Version})
	}
	return in.Changed(ctx, s.plan.Options.Stores)
}

// compare finds the run that read a file, and what is different since.
func (s *selector) compare(ctx context.Context, f *candidate) error {
	past := s.seen.At(f.name)
	for i, in := range past {
		err := s.changed(ctx, f, in)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err == nil {
			f.seen, f.changed = in, ""
			return nil
		}
		if i == 0 {
			f.seen, f.changed = in, strings.TrimPrefix(err.Error(), fmt.Sprintf("input %q ", in.Path))
		}
	}
	if len(past) > 0 {
		return nil
	}
	for _, in := range s.seen.Alike(f.name, f.Size, f.ModTime, f.Version) {
		switch there, err := dataset.Look(ctx, in.Path, s.plan.Options.Stores); {
		case err == nil && linked(there.Path, f.Path):
			f.seen = in
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && dataset.Gone(err):
			f.seen, f.changed = in, fmt.Sprintf("seems to be %q, which is gone: it has the size and the time of change that this had", in.Path)
		}
	}
	return nil
}

// linked says whether two paths lead to one local file.
func linked(a, b string) bool {
	if dataset.Scheme(a) != "" || dataset.Scheme(b) != "" {
		return a == b
	}
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	other, err := os.Stat(b)
	return err == nil && os.SameFile(one, other)
}

// older says whether a file is from before Since: by the time that its folders name, or
// else by its time of change.
func (s *selector) older(f *candidate) (bool, error) {
	since := s.plan.Options.Since
	if since.IsZero() {
		return false, nil
	}
	if s.plan.Options.Partitions != "none" {
		if _, to, ok := dataset.Dated(f.name); ok {
			return !to.After(since), nil
		}
	}
	if f.ModTime.IsZero() {
		return false, fmt.Errorf("%w: --since: nothing tells when the rows of %s changed; let the query choose those that are new", ErrUsage, f.Path)
	}
	return f.ModTime.Before(since), nil
}

// begun gives the files of a run that stopped, in its order, if all of them are among
// those that may be read; nil where there is no such run.
func (s *selector) begun(open []*candidate) []*candidate {
	if s.plan.Options.Restart {
		return nil
	}
	byFact := map[string]*candidate{}
	for _, f := range open {
		if f.changed == "" || s.OnChanged == ChangedScore {
			byFact[factName(f.name)] = f
		}
	}
	for _, job := range s.seen.Unfinished {
		var files []*candidate
		for _, fact := range job.Facts {
			if fact.Input {
				files = append(files, byFact[fact.Name])
			}
		}
		if len(files) > 0 && !slices.Contains(files, nil) {
			return files
		}
	}
	return nil
}

// changedListed is how many changed files an error names.
const changedListed = 20

func (s *selector) changedError() error {
	lines := make([]string, 0, len(s.Changed))
	for i, c := range s.Changed {
		if i == changedListed {
			lines = append(lines, fmt.Sprintf("and %d more (millrace plan lists all)", len(s.Changed)-i))
			break
		}
		lines = append(lines, fmt.Sprintf("%q, which run %s read, %s", c.Path, c.Run, c.What))
	}
	return fmt.Errorf("%w: %s: score them again by --on-changed score (what was predicted of them before stays where it is), or leave them out by --on-changed skip", ledger.ErrInputChanged, strings.Join(lines, "; "))
}

// sinceText writes Since for a manifest; empty for none.
func (o *Options) sinceText() string {
	if o.Since.IsZero() {
		return ""
	}
	return o.Since.UTC().Format(time.RFC3339Nano)
}
