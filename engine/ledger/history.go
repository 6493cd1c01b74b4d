package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Bounds on what is read of an output, whose files may say anything.
const (
	maxManifestBytes = 256 << 20
	maxRuns          = 1 << 16
)

// The names of a run's own files.
const (
	manifestName = "manifest.json"
	sealName     = "manifest.sha256"
	rejectsName  = "rejects.parquet"
	successName  = "_SUCCESS"
	// ownName is the folder in an output that holds them, by run; see sideName.
	ownName = "_millrace"
)

// History is the runs of one output, by their manifests.
//
//	newest ──parent──▶ append ──parent──▶ replace ──parent──▶ fresh
//	└───────────── live ────────────────────────┘            └ replaced
//
// The newest run is the one that no other names as its parent. The output holds
// the files of the live runs: the newest and, while it appends, those before it
// down to the first that does not. Of the runs before them only manifests stand.
type History struct {
	Output string // absolute, links followed
	Single bool   // the output is one file
	// Runs are newest first, by their chain; those outside of it, which is a
	// problem, come last.
	Runs []*Recorded
	// Problems are those of manifests and their chain.
	Problems []Problem

	tree   Tree     // that names of files are relative to
	folder string   // of a tree on this machine; empty otherwise
	side   string   // holds the runs' own files; relative to folder
	kept   []string // runs that published nothing and left their rejects
	cut    bool     // a live run is missing, or its manifest cannot be read
}

// Recorded is one run of a history.
type Recorded struct {
	Run    string
	SHA256 string // of manifest.json, as it stands
	Bytes  int64  // of manifest.json
	// Manifest is whole for live runs. Others have no lists, which can be long:
	// inputs, outputs, parts, schema and settings. It is nil where it cannot be
	// read, which is a problem.
	Manifest *Manifest
	Live     bool
	Interval Interval // of its inputs, of all runs whose manifest can be read
}

// ReadHistory reads the manifests of the output at a path and checks each by
// itself, by manifest.sha256, by its accounts and by the run that follows it.
// What is wrong with them is in Problems. An error wraps ErrNoOutput, or is the
// file system's.
func ReadHistory(output string) (*History, error) {
	h, err := locate(output)
	if err != nil {
		return nil, err
	}
	return h, h.readAll()
}

// ReadHistoryIn is ReadHistory of an output in a tree: the tree itself, or a single file in
// it. output is what it is called.
func ReadHistoryIn(tree Tree, output, single string) (*History, error) {
	h := &History{Output: output, Single: single != "", tree: tree, side: ownName}
	if h.Single {
		h.side = sideName(single)
	}
	return h, h.readAll()
}

func (h *History) readAll() error {
	if err := h.readRuns(); err != nil {
		return err
	}
	if len(h.Runs) == 0 {
		return fmt.Errorf("%w: %q: no manifest is in %s, so nothing says what it should hold", ErrNoOutput, h.Output, h.side)
	}
	h.link()
	h.readLive()
	return nil
}

// readRuns reads the manifests that are there.
func (h *History) readRuns() error {
	entries, err := h.tree.ReadDir(h.side)
	if err != nil {
		return fmt.Errorf("%w: %q: %w", ErrNoOutput, h.Output, err)
	}
	if len(entries) > maxRuns {
		return fmt.Errorf("%w: %q has %d entries where runs keep their manifests, more than the %d that are read", ErrNoOutput, h.Output, len(entries), maxRuns)
	}
	for _, entry := range entries {
		if entry.IsDir() && ValidRunID(entry.Name()) {
			h.readRun(entry.Name())
		}
	}
	return nil
}

// locate finds out where an output keeps its runs' own files.
func locate(output string) (*History, error) {
	path, err := resolveOutput(output)
	if err != nil {
		return nil, fmt.Errorf("%w: %q: %w", ErrNoOutput, output, err)
	}
	info, err := os.Lstat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %q: %w", ErrNoOutput, output, err)
	}
	if err == nil && info.IsDir() {
		h := &History{Output: path, tree: folderTree{path}, folder: path, side: ownName}
		if !isDir(filepath.Join(path, h.side)) {
			return nil, fmt.Errorf("%w: %q has no folder %s with its runs' manifests; name the directory or file that score's --output named (millrace runs lists those below a folder)", ErrNoOutput, output, h.side)
		}
		return h, nil
	}
	folder := filepath.Dir(path)
	h := &History{Output: path, Single: true, tree: folderTree{folder}, folder: folder, side: sideName(filepath.Base(path))}
	if isDir(filepath.Join(h.folder, h.side)) {
		return h, nil // the file may be gone: that is a problem of the output's
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %q: there is no such file or directory", ErrNoOutput, output)
	}
	return nil, fmt.Errorf("%w: %q has no folder %s beside it with its runs' manifests; they move with the file", ErrNoOutput, output, h.side)
}

// sideName is the folder beside a single file that holds its runs' own files.
func sideName(file string) string { return "_" + file + ".millrace" }

// ManifestPath is where the manifest of a published run lies, by its output's path,
// which may be a link.
func ManifestPath(output, run string) string {
	if info, err := os.Stat(output); err == nil && !info.IsDir() {
		dir, file := filepath.Split(output)
		return filepath.Join(dir, sideName(file), run, manifestName)
	}
	return filepath.Join(output, ownName, run, manifestName)
}

// RejectsPath is where its rejects lie, if there are any.
func RejectsPath(output, run string) string {
	return filepath.Join(filepath.Dir(ManifestPath(output, run)), rejectsName)
}

func isDir(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}

// file is the name of one of a run's own files, relative to the folder.
func (h *History) file(run, name string) string { return filepath.Join(h.side, run, name) }

func (h *History) problem(p Problem) { h.Problems = append(h.Problems, p) }

// readRun adds the run of one folder.
func (h *History) readRun(run string) {
	name := h.file(run, manifestName)
	data, err := h.read(name, maxManifestBytes)
	if errors.Is(err, fs.ErrNotExist) && h.Single && h.onlyRejects(run) {
		h.kept = append(h.kept, run) // of a run that had too many, and published nothing
		return
	}
	r := &Recorded{Run: run}
	if err != nil {
		h.problem(Problem{File: name, Run: run, What: "cannot be read: " + cause(err), Do: "restore it from a copy"})
		h.Runs = append(h.Runs, r)
		return
	}
	digest := sha256.Sum256(data)
	r.SHA256, r.Bytes = hex.EncodeToString(digest[:]), int64(len(data))
	h.checkSeal(r)
	if r.Manifest, err = ParseManifest(data); err != nil {
		h.problem(Problem{File: name, Run: run, What: err.Error(), Do: "restore it from a copy, or verify with the millrace that wrote it"})
	} else {
		h.checkManifest(name, r)
		r.Interval = r.Manifest.Interval()
		r.Manifest.withoutLists()
	}
	h.Runs = append(h.Runs, r)
}

// read reads a regular file of the output whole.
func (h *History) read(name string, most int64) ([]byte, error) {
	info, err := h.tree.Stat(name)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("it is a %s, not a file", kind(info))
	case info.Size() > most:
		return nil, fmt.Errorf("it has %d bytes, more than the %d that are read", info.Size(), most)
	}
	f, err := h.tree.Open(name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("it has more than the %d bytes that are read", most)
	}
	return data, errors.Join(err, f.Close())
}

// cause is an error of the file system's without the path, which is said
// already.
func cause(err error) string {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return pathErr.Err.Error()
	}
	return err.Error()
}

func (h *History) onlyRejects(run string) bool {
	entries, err := h.tree.ReadDir(h.side + "/" + run)
	return err == nil && len(entries) == 1 && entries[0].Name() == rejectsName && entries[0].Type().IsRegular()
}

// checkSeal compares a manifest's bytes with manifest.sha256, the line that
// sha256sum writes.
func (h *History) checkSeal(r *Recorded) {
	name := h.file(r.Run, sealName)
	line, err := h.read(name, 1<<10)
	want := r.SHA256 + "  " + manifestName + "\n"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		h.problem(Problem{
			File: name, Run: r.Run, What: "is missing, so that an edit of the manifest would not show",
			Do: "restore it; versions of millrace before these files wrote none: once the manifest is known to be good, `sha256sum manifest.json > manifest.sha256` there makes it",
		})
	case err != nil:
		h.problem(Problem{File: name, Run: r.Run, What: "cannot be read: " + cause(err), Do: "restore it from a copy"})
	case len(line) != len(want) || string(line[2*sha256.Size:]) != want[2*sha256.Size:]:
		h.problem(Problem{File: name, Run: r.Run, What: "is not the one line that sha256sum writes of " + manifestName, Do: "restore it from a copy"})
	case string(line) != want:
		h.problem(Problem{
			File: h.file(r.Run, manifestName), Run: r.Run,
			What: fmt.Sprintf("was changed since it was published: its sha256 is %.12s…, and %s says %.12s…", r.SHA256, sealName, line),
			Do:   "restore both from a copy",
		})
	}
}

// checkManifest checks what a manifest says for itself.
func (h *History) checkManifest(name string, r *Recorded) {
	m := r.Manifest
	bad := func(what string) {
		h.problem(Problem{File: name, Run: r.Run, What: what, Do: "restore it from a copy"})
	}
	if m.Run != r.Run {
		bad(fmt.Sprintf("is that of run %q, and lies where run %s's belongs", m.Run, r.Run))
	}
	switch m.Mode {
	case ModeFresh, "": // none, in manifests before there were modes
		if m.Parent != nil && !h.Single { // a single file may be gone, and its runs are beside it
			bad("says that nothing was there before, and names a run before it")
		}
	case ModeReplace:
	case ModeAppend:
		if m.Parent == nil {
			bad("says that it appended, and names no run before it")
		}
		if h.Single {
			bad("says that it appended to a single file, which nothing does")
		}
	default:
		bad(fmt.Sprintf("has the mode %q; want %s, %s or %s", m.Mode, ModeFresh, ModeReplace, ModeAppend))
	}
	if m.Parent != nil && (!ValidRunID(m.Parent.Run) || m.Parent.Run == m.Run) {
		bad(fmt.Sprintf("names %q as the run before it, which is no other run's name", m.Parent.Run))
	}
	for _, err := range unjoined(m.Check()) {
		h.problem(Problem{File: name, Run: r.Run, What: err.Error(), Do: "this run's output cannot be trusted: score again"})
	}
}

// unjoined lists the errors that errors.Join made one of.
func unjoined(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || !strings.Contains(err.Error(), "\n") { // fmt.Errorf with several %w is one error
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, unjoined(e)...)
	}
	return all
}

// withoutLists drops what may be long and only live runs need.
func (m *Manifest) withoutLists() {
	m.Inputs, m.Outputs, m.PartFiles, m.Parts, m.Schema, m.Settings, m.Nodes = nil, nil, nil, nil, nil, nil, nil
	m.Predictions, m.Features, m.Work = nil, nil, nil
}

// readLive reads the manifests of live runs again, whole.
func (h *History) readLive() {
	for _, r := range h.Live() {
		if r.Manifest == nil {
			continue
		}
		m, err := h.whole(r)
		if err != nil {
			h.problem(Problem{File: h.file(r.Run, manifestName), Run: r.Run, What: "changed while it was read: " + cause(err), Do: "verify again"})
		}
		r.Manifest = m
	}
}

// whole reads a run's manifest with all its lists.
func (h *History) whole(r *Recorded) (*Manifest, error) {
	data, err := h.read(h.file(r.Run, manifestName), maxManifestBytes)
	if err != nil {
		return nil, err
	}
	if digest := sha256.Sum256(data); hex.EncodeToString(digest[:]) != r.SHA256 {
		return nil, errors.New("its bytes are others than a moment before")
	}
	return ParseManifest(data)
}

// Whole reads a run's manifest with all its lists, which those of runs before the live
// ones do not have in Runs. That of an output that is no files has them all.
func (h *History) Whole(r *Recorded) (*Manifest, error) {
	if r.Manifest != nil && (r.Live || h.tree == nil) {
		return r.Manifest, nil
	}
	if h.tree == nil {
		return nil, fmt.Errorf("%w: that of run %s of %q cannot be read", ErrManifest, r.Run, h.Output)
	}
	m, err := h.whole(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %q: %s", ErrManifest, h.file(r.Run, manifestName), cause(err))
	}
	return m, nil
}

// Newest is the newest run.
func (h *History) Newest() *Recorded { return h.Runs[0] }

// Live are the runs whose files the output holds, newest first.
func (h *History) Live() []*Recorded {
	return slices.DeleteFunc(slices.Clone(h.Runs), func(r *Recorded) bool { return !r.Live })
}

// Path is where a file of the output lies, by its name in a manifest. It refuses
// names that lead out of the output, and links, with an error that wraps
// ErrUnsound.
func (h *History) Path(name string) (string, error) {
	if h.tree == nil {
		return "", fmt.Errorf("%w: %q has no files", ErrUnsound, h.Output)
	}
	if h.folder == "" {
		return h.pathInTree(name)
	}
	folder, err := filepath.EvalSymlinks(h.folder)
	if err != nil {
		return "", fmt.Errorf("%w: %q: %w", ErrUnsound, h.Output, err)
	}
	if !filepath.IsLocal(name) {
		return "", fmt.Errorf("%w: %q: a manifest names the file %q, outside of it", ErrUnsound, h.Output, name)
	}
	path := filepath.Join(folder, name)
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", fmt.Errorf("%w: %q: %q: %s", ErrUnsound, h.Output, name, cause(err))
	}
	if info, err := os.Lstat(path); err != nil || resolved != path || !info.Mode().IsRegular() {
		return "", fmt.Errorf("%w: %q: %q is no plain file of it", ErrUnsound, h.Output, name)
	}
	return path, nil
}

// pathInTree is Path where there are no links.
func (h *History) pathInTree(name string) (string, error) {
	if !fs.ValidPath(name) {
		return "", fmt.Errorf("%w: %q: a manifest names the file %q, outside of it", ErrUnsound, h.Output, name)
	}
	if _, err := h.tree.Stat(name); err != nil {
		return "", fmt.Errorf("%w: %q: %q: %s", ErrUnsound, h.Output, name, cause(err))
	}
	return h.tree.Path(name), nil
}
