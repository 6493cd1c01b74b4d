package runpage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/internal/nearest"
	"github.com/millrace/millrace/io/dataset"
)

// Account is what is known of one run.
type Account struct {
	Manifest *ledger.Manifest
	SHA256   string // of manifest.json; empty for a run that was not published
	Live     bool   // the output has its files
	Problems []ledger.Problem

	// Before is the run whose output stood there before; nil where there is none, or its
	// manifest cannot be read, which BeforeMissing says.
	Before        *ledger.Manifest
	BeforeMissing string
	// Chain are the run and those before it, oldest first, without lists: at most
	// chainRuns.
	Chain []*ledger.Manifest

	Rejects *Rejects // nil where no row was rejected
	// Computed says that Predictions are not of the manifest, which has none, but were
	// computed from the output's files.
	Computed   bool
	Uncomputed string // why not, where that was tried

	// Of a run that ended with too many bad rows: why, and where its rejects are.
	Failure     string
	RejectsPath string

	output string // as it may be shown
	path   func(name string) (string, error)
	stores map[string]dataset.Store
}

// chainRuns is how many runs the page's history has.
const chainRuns = 30

// Options say what to gather.
type Options struct {
	Run      string // the run's id; the newest when empty
	Examples Examples
	Stores   map[string]dataset.Store // where outputs may lie that are URIs, by scheme
	Places   engine.Places            // how the output is reached
}

// Examples says whether rejected rows are shown, with their ids.
type Examples string

// Whether they are.
const (
	ExamplesShown Examples = "shown"
	ExamplesLeft  Examples = "left out"
)

// Read gathers the account of a published run of an output, wherever that is. Its error
// wraps engine.ErrUsage for a run that the output does not have, or is that of
// engine.Places.WithHistory.
func Read(ctx context.Context, output string, opts Options) (a *Account, err error) {
	err = opts.Places.WithHistory(ctx, output, func(h *ledger.History) error {
		r, err := find(h, opts.Run)
		if err != nil {
			return err
		}
		m, err := h.Whole(r)
		if err != nil {
			return err
		}
		a = &Account{Manifest: m, SHA256: r.SHA256, Live: r.Live, Problems: h.Problems, output: sink.Shown(output), path: h.Path, stores: opts.Stores}
		a.addChain(h, r)
		a.addBefore(h)
		if m.Predictions == nil && r.Live {
			if err := a.compute(ctx); err != nil {
				a.Uncomputed = err.Error()
			}
		}
		if m.Rejects != nil {
			a.RejectsPath = engine.RejectsPlace(output, m.Run)
			path, err := h.Path(m.Rejects.Name)
			a.addRejects(ctx, path, err, opts.Examples)
		}
		return context.Cause(ctx)
	})
	return a, err
}

// Of makes the account of a run that was published where no account is kept: to a stream.
func Of(m *ledger.Manifest, output string) (*Account, error) {
	m, err := encoded(m)
	return &Account{Manifest: m, Live: true, BeforeMissing: "the output keeps no account of its runs", output: sink.Shown(output)}, err
}

// encoded is a manifest as it comes from a file: settings are what JSON makes of them.
func encoded(m *ledger.Manifest) (*ledger.Manifest, error) {
	text, err := m.Encode()
	if err != nil {
		return nil, err
	}
	return ledger.ParseManifest(text)
}

// ReadUnpublished gathers the account of a run that ended with too many bad rows.
func ReadUnpublished(ctx context.Context, output string, e *engine.UnpublishedError, opts Options) (*Account, error) {
	m, err := encoded(e.Manifest)
	if err != nil {
		return nil, err
	}
	a := &Account{Manifest: m, Failure: e.Cause(), RejectsPath: e.Rejects, output: sink.Shown(output), stores: opts.Stores}
	// The run would have followed it; without one there is nothing to say.
	_ = opts.Places.WithHistory(ctx, output, func(h *ledger.History) (err error) {
		if a.Before, err = h.Whole(h.Newest()); err != nil {
			a.Before, a.BeforeMissing = nil, err.Error()
		}
		return nil
	})
	if e.Rejects != "" {
		a.addRejects(ctx, e.Rejects, nil, opts.Examples)
	}
	return a, context.Cause(ctx)
}

// addRejects counts the rejected rows in the file at a path, unless they are in a table or
// there is no such file.
func (a *Account) addRejects(ctx context.Context, path string, err error, examples Examples) {
	if engine.TakesRows(a.output) {
		a.Rejects = &Rejects{Elsewhere: true}
		return
	}
	if err == nil {
		a.Rejects, err = a.readRejects(ctx, path, examples)
	}
	if err != nil {
		a.Rejects = &Rejects{Unread: unreadable(err)}
	}
}

// unreadable words an error of a file that is not there, or is damaged.
func unreadable(err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return "the file of rejected rows is gone"
	}
	return err.Error()
}

// find looks for a run of an output.
func find(h *ledger.History, run string) (*ledger.Recorded, error) {
	var names []string
	for _, r := range h.Runs {
		if r.Run == run || run == "" && r.Manifest != nil {
			return r, nil
		}
		names = append(names, r.Run)
	}
	if run == "" {
		return nil, fmt.Errorf("%w: no manifest of %q can be read", ledger.ErrManifest, h.Output)
	}
	return nil, fmt.Errorf("%w: --run (%s): %q has no such run%s; see millrace runs %s", engine.ErrUsage, run, h.Output, nearest.DidYouMean(run, names), h.Output)
}

// addChain follows the run's parents.
func (a *Account) addChain(h *ledger.History, r *ledger.Recorded) {
	byRun := map[string]*ledger.Recorded{}
	for _, r := range h.Runs {
		byRun[r.Run] = r
	}
	for r != nil && r.Manifest != nil && len(a.Chain) < chainRuns {
		a.Chain = append([]*ledger.Manifest{r.Manifest}, a.Chain...)
		if r.Manifest.Parent == nil {
			return
		}
		delete(byRun, r.Run) // no circles
		r = byRun[r.Manifest.Parent.Run]
	}
}

// addBefore reads the manifest of the run before, whole.
func (a *Account) addBefore(h *ledger.History) {
	parent := a.Manifest.Parent
	if parent == nil {
		return
	}
	for _, r := range h.Runs {
		if r.Run != parent.Run {
			continue
		}
		m, err := h.Whole(r)
		if err != nil {
			a.BeforeMissing = "its manifest cannot be read"
			return
		}
		a.Before = m
		return
	}
	a.BeforeMissing = "its manifest is missing"
}

// Link is the address of a file of the run's, as seen from the page's folder; empty where
// there is no such file.
func (a *Account) link(name, folder string) string {
	if a.path == nil || !a.Live {
		return ""
	}
	path, err := a.path(name)
	if err != nil {
		return ""
	}
	return address(path, folder)
}

// sideFile is where one of the run's own files lies on this machine: manifest.json and
// others.
func (a *Account) sideFile(name string) string {
	if _, elsewhere := sink.Scheme(a.output); elsewhere || a.SHA256 == "" {
		return ""
	}
	return filepath.Join(filepath.Dir(engine.ManifestPlace(a.output, a.Manifest.Run)), name)
}

// seconds is how long the run took, of a continued one the last start.
func seconds(m *ledger.Manifest) float64 {
	if m.Work != nil && len(m.Work.Starts) > 1 {
		return m.Work.Seconds
	}
	return max(m.Finished.Sub(m.Started).Seconds(), 0)
}

// rowsPerSecond is of the rows that were read in those seconds.
func rowsPerSecond(m *ledger.Manifest) float64 {
	rows, s := m.Ledger.Read, seconds(m)
	if m.Work != nil && len(m.Work.Starts) > 1 {
		rows = m.Work.Rows
	}
	if s <= 0 {
		return 0
	}
	return float64(rows) / s
}

// stands says whether there is a plain file.
func stands(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// moment writes a time.
func moment(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 UTC") }
