package ledger

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/io/dataset"
)

// VerifyOptions say how closely to look.
type VerifyOptions struct {
	// Quick compares sizes and row counts of outputs, and not their bytes.
	Quick bool
	// Inputs makes a model or an input that has changed or gone a problem. Without,
	// it is a note: a published output stays true when its input is deleted.
	Inputs bool
	// Manifest, unless empty, is the SHA-256 in hex that the newest manifest must
	// have, from a place that whoever edits the output cannot reach.
	Manifest string
	// Progress, unless nil, is counted in.
	Progress *VerifyProgress
	// Stores are asked, with Inputs, for those that are URIs, by scheme.
	Stores map[string]dataset.Store
}

// VerifyProgress counts what has been read. It may be read at any time.
type VerifyProgress struct {
	TotalBytes, Bytes atomic.Int64
	TotalFiles, Files atomic.Int64
}

// Verification is what a look at an output found.
type Verification struct {
	Output string `json:"output"`
	Run    string `json:"run"` // the newest
	// ManifestSHA256 is of the newest manifest. It stands for the whole output and
	// its history: who keeps it elsewhere can tell any edit.
	ManifestSHA256 string   `json:"manifest_sha256"`
	Runs           int      `json:"runs"`
	LiveRuns       []string `json:"live_runs"` // whose files the output holds, newest first
	Files          int      `json:"files"`     // outputs, as the manifests list them
	Bytes          int64    `json:"bytes"`     // of those
	Rows           int64    `json:"rows"`      // in those
	Quick          bool     `json:"quick"`
	// Counted are the live runs whose rows of a table were counted, and their values not
	// compared.
	Counted  []string  `json:"counted,omitempty"`
	Problems []Problem `json:"problems"`
	// Notes are about models and inputs that are not what they were.
	Notes []Problem `json:"notes"`
}

// Err is nil when nothing is wrong, and wraps ErrUnsound otherwise.
func (v *Verification) Err() error {
	switch n := len(v.Problems); n {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("%w: %q has a problem", ErrUnsound, v.Output)
	default:
		return fmt.Errorf("%w: %q has %d problems", ErrUnsound, v.Output, n)
	}
}

// Verify compares an output with the manifests of its runs, and these with each
// other. It writes nothing, and trusts nothing that it reads: names that lead out
// of the output are refused, links are not followed, sizes are bounded. What is
// wrong is listed in the Verification; an error says that there was nothing to
// look at (ErrNoOutput), or that ctx ended.
func Verify(ctx context.Context, output string, opts VerifyOptions) (*Verification, error) {
	h, err := ReadHistory(output)
	if err != nil {
		return nil, err
	}
	return VerifyHistory(ctx, h, opts)
}

// VerifyHistory is Verify of an output whose history is read.
func VerifyHistory(ctx context.Context, h *History, opts VerifyOptions) (*Verification, error) {
	if opts.Progress == nil {
		opts.Progress = &VerifyProgress{}
	}
	v := &verifier{
		history: h, opts: opts, expected: map[string]expectation{}, folders: map[string]bool{},
		Verification: Verification{
			Output: h.Output, Run: h.Newest().Run, ManifestSHA256: h.Newest().SHA256, Runs: len(h.Runs),
			Quick: opts.Quick, Problems: []Problem{}, Notes: []Problem{},
		},
	}
	v.found(h.Problems...)
	v.pin()
	v.expect()
	v.walk()
	v.standing()
	if err := v.look(ctx); err != nil {
		return nil, err
	}
	v.unpublished()
	byPlace := func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.File, b.File), strings.Compare(a.What, b.What))
	}
	slices.SortStableFunc(v.Problems, byPlace)
	slices.SortStableFunc(v.Notes, byPlace)
	return &v.Verification, nil
}

// verifier is a verification in progress.
type verifier struct {
	Verification
	mu sync.Mutex // guards the lists of problems and notes while looks run

	history  *History
	opts     VerifyOptions
	expected map[string]expectation // files, by name
	folders  map[string]bool        // that hold expected files
	looks    []look
	asked    map[string]bool // URIs with their versions, that looks ask for
	swapped  string          // what a single file's digest is, where it is not the manifest's
}

// expectation is a file that a manifest, or the form of an output, promises.
type expectation struct {
	Output
	run      string
	known    bool // its size, digest and rows are
	optional bool
	// delimiter separates the fields of CSV; it tells where quotes begin, and so which
	// lines are rows.
	delimiter string
}

// look is something to read, in parallel to others.
type look struct {
	bytes int64
	do    func(ctx context.Context) error // its error is ctx's
}

func (v *verifier) found(problems ...Problem) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.Problems = append(v.Problems, problems...)
}

func (v *verifier) note(problem Problem) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.Notes = append(v.Notes, problem)
}

// pin compares the newest manifest with the digest that the caller knows.
func (v *verifier) pin() {
	if want := v.opts.Manifest; want != "" && !strings.EqualFold(want, v.ManifestSHA256) {
		v.found(Problem{
			File: v.history.file(v.Run, manifestName), Run: v.Run,
			What: fmt.Sprintf("has the sha256 %s, not the one asked for, %s", cmp.Or(v.ManifestSHA256, "that cannot be known"), want),
			Do:   "the output is of another run than you mean, or its history was rewritten: restore it",
		})
	}
}

// expect lists what should be there.
func (v *verifier) expect() {
	h := v.history
	for _, r := range h.Live() {
		v.LiveRuns = append(v.LiveRuns, r.Run)
		if r.Manifest == nil {
			continue
		}
		for _, out := range r.Manifest.Outputs {
			v.Files++
			v.Bytes += out.Bytes
			v.Rows += out.Rows
			delimiter, _ := r.Manifest.Settings["output_delimiter"].(string)
			v.expectFile(expectation{Output: out, run: r.Run, known: true, delimiter: delimiter}, v.outputName(out.Name))
		}
	}
	for _, r := range h.Runs {
		for _, name := range []string{manifestName, sealName} { // read already
			v.expectFile(expectation{Output: Output{Name: h.file(r.Run, name)}, run: r.Run, optional: true}, "")
		}
		if r.Manifest == nil {
			// What it says of rejects cannot be known.
			v.expectFile(expectation{Output: Output{Name: h.file(r.Run, rejectsName)}, run: r.Run, optional: true}, "")
		} else if rejects := r.Manifest.Rejects; rejects != nil {
			refused := ""
			if want := h.file(r.Run, rejectsName); rejects.Name != want {
				refused = fmt.Sprintf("names its rejects %q; want %q", rejects.Name, want)
			}
			v.expectFile(expectation{Output: *rejects, run: r.Run, known: true, optional: !r.Live}, refused)
		}
	}
	for _, run := range h.kept {
		v.expectFile(expectation{Output: Output{Name: h.file(run, rejectsName)}, run: run}, "")
	}
	if !h.Single {
		v.expectFile(expectation{Output: Output{Name: successName}, run: v.Run}, "")
	}
}

// outputName says why a name in a manifest is none that a run gives an output.
func (v *verifier) outputName(name string) (refused string) {
	h := v.history
	switch {
	case h.Single && name != filepath.Base(h.Output):
		return fmt.Sprintf("names the output %q, and this is %q: it was renamed, or belongs to another output", name, filepath.Base(h.Output))
	case !filepath.IsLocal(name) || filepath.Clean(name) != name || name == ".":
		return fmt.Sprintf("names an output %q, outside of this one", name)
	case !h.Single && passedOver(name):
		return fmt.Sprintf("names an output %q, which readers would pass over", name)
	}
	return ""
}

// expectFile adds a file, unless its name is refused, with why.
func (v *verifier) expectFile(e expectation, refused string) {
	if twice, ok := v.expected[e.Name]; ok && refused == "" {
		refused = fmt.Sprintf("names %q, which run %s names already", e.Name, twice.run)
	}
	if refused == "" && (e.Bytes < 0 || e.Rows < 0) {
		refused = fmt.Sprintf("gives %q %d bytes and %d rows", e.Name, e.Bytes, e.Rows)
	}
	if refused != "" {
		v.found(Problem{File: v.history.file(e.run, manifestName), Run: e.run, What: refused, Do: "restore the manifest from a copy"})
		return
	}
	v.expected[e.Name] = e
	for dir := filepath.Dir(e.Name); dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		v.folders[dir] = true
	}
}

// look takes all looks, the largest first, as many at a time as there are cores.
func (v *verifier) look(ctx context.Context) error {
	slices.SortStableFunc(v.looks, func(a, b look) int { return cmp.Compare(b.bytes, a.bytes) })
	for _, l := range v.looks {
		v.opts.Progress.TotalBytes.Add(l.bytes)
	}
	v.opts.Progress.TotalFiles.Store(int64(len(v.looks)))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, l := range v.looks {
		group.Go(func() (err error) {
			defer func() { // readers do not panic; if one does, it is a fault of ours and no crash
				if r := recover(); r != nil {
					err = fmt.Errorf("internal error, a fault of millrace's; please report it: %v\n%s", r, debug.Stack())
				}
			}()
			defer v.opts.Progress.Files.Add(1)
			return l.do(ctx)
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("verify %q: %w", v.Output, err)
	}
	return nil
}

// unpublished explains a single file that is another run's: a run that was
// stopped between its manifest and its file leaves that, see Staging.
func (v *verifier) unpublished() {
	h, newest := v.history, v.history.Newest()
	if v.swapped == "" || newest.Manifest == nil {
		return
	}
	for _, r := range h.Runs[1:] {
		m, err := h.whole(r)
		if err != nil || len(m.Outputs) != 1 || m.Outputs[0].SHA256 != v.swapped {
			continue
		}
		v.found(Problem{
			File: filepath.Base(h.Output), Run: newest.Run,
			What: fmt.Sprintf("is that of run %s, before the newest: the newest was stopped before its last step, or is taking it now, or an old file was put back", r.Run),
			Do:   "run the newest run's command again",
		})
		return
	}
}

// missing lists the expected files that are not among those found.
func (v *verifier) missing(found map[string]bool) {
	for _, name := range slices.Sorted(maps.Keys(v.expected)) {
		e := v.expected[name]
		if e.optional || found[name] {
			continue
		}
		p := Problem{File: name, Run: e.run, What: "is missing", Do: "restore it from a copy, or score again with --if-exists replace"}
		if name == successName {
			p.What, p.Do = "is missing: readers that wait for it take the output for unfinished", "verify what else is wrong; if nothing is, make the empty file again"
		}
		v.found(p)
	}
}
