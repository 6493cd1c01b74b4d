package ledger

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// IfExists says what to do when the output is there already.
type IfExists string

// The choices of --if-exists.
const (
	IfExistsError   IfExists = "error"
	IfExistsReplace IfExists = "replace"
	// IfExistsAppend adds files to a directory that a run published.
	IfExistsAppend IfExists = "append"
	// IfExistsUpsert puts rows into a table in the place of those with the same ids.
	IfExistsUpsert IfExists = "upsert"
)

// StageOptions describe an output.
type StageOptions struct {
	// Output is the path to publish at: a directory, or a file if Single. A
	// symbolic link is followed. Directories above it are made.
	Output string
	// Single makes one file instead of a directory. With Pieces, its parts are staged
	// as files of their own, which the caller joins to the one of Whole.
	Single, Pieces bool
	// PartitionBy are the columns whose values name the folders of files, outermost
	// first, and Numbered says that a part may have several files in one folder; with
	// either, parts are made by PartFiles.
	PartitionBy []string
	Numbered    bool
	// IfExists is what to do with an existing output; empty means
	// IfExistsError. An empty directory does not count as existing.
	IfExists IfExists
	// RunID names the run; see NewRunID.
	RunID string
	// Job is what decides the output. With it the run has a journal: what a run of
	// an equal job finished before it stopped is taken over, and an output that an
	// equal run published is left as it is. Without, nothing outlives the process.
	Job *Job
	// Restart drops the progress of earlier runs, and does not ask whether an equal
	// run published the output.
	Restart bool
	// Follows, unless nil, is the SHA-256 of the newest run's manifest, empty where there
	// is none, from which the run's inputs were chosen: when another run has published
	// since, ErrHeld says so.
	Follows *string
	// Ext is the extension of part files, with or without its dot.
	Ext string
	// FS is the file system; nil means the local one.
	FS FS
}

// EnsureDefaults fills zero fields.
func (o *StageOptions) EnsureDefaults() {
	if o.IfExists == "" {
		o.IfExists = IfExistsError
	}
	if o.FS == nil {
		o.FS = osFS{}
	}
	if o.Ext != "" && !strings.HasPrefix(o.Ext, ".") {
		o.Ext = "." + o.Ext
	}
}

// Validate reports every problem of the options.
func (o *StageOptions) Validate() error {
	var errs []error
	if o.Output == "" {
		errs = append(errs, errors.New("Output is empty"))
	}
	switch o.IfExists {
	case IfExistsError, IfExistsReplace:
	case IfExistsAppend:
		if o.Single {
			errs = append(errs, errors.New("a single file cannot be appended to"))
		}
	default:
		errs = append(errs, fmt.Errorf("IfExists (%q) must be %q, %q or %q", o.IfExists, IfExistsError, IfExistsReplace, IfExistsAppend))
	}
	if o.Single && (len(o.PartitionBy) > 0 || o.Numbered) {
		errs = append(errs, errors.New("a single file cannot be several"))
	}
	if !ValidRunID(o.RunID) {
		errs = append(errs, fmt.Errorf("RunID (%q) must be as NewRunID makes it", o.RunID))
	}
	if strings.ContainsRune(o.Ext, filepath.Separator) {
		errs = append(errs, fmt.Errorf("extension (%q) must not contain %q", o.Ext, filepath.Separator))
	}
	return errors.Join(errs...)
}

// Staging is an output that nobody sees yet.
//
//	Stage    lock the output, look at what is there, make the staging directory
//	         or take over the one of a run that stopped
//	Begin    write the journal's head: what the run is
//	Part     write a part under a temporary name; Commit: fsync, rename, fsync dir
//	Record   append the part to the journal, fsync
//	Publish  check accounts, write manifest, _SUCCESS; fsync; ONE rename; fsync parent
//	Suspend  keep what is finished, give the lock up; or
//	Discard  remove what is left, give the lock up; one of them is always called
//
// For --output DIR/out, and for --output DIR/scores.parquet:
//
//	DIR/.out.millrace.lock                 held from Stage to Discard
//	DIR/.out.millrace-RUN/                 the run's own directory
//	    journal
//	    loading                            while the model is loaded
//	    rejects-00000.arrow                of each part that has some
//	    data/                              becomes DIR/out
//	        part-00000.parquet _SUCCESS    or date=2026-11-22/part-00000.parquet ...
//	        _millrace/RUN/manifest.json, manifest.sha256, rejects.parquet
//
//	DIR/.scores.parquet.millrace-RUN/
//	    journal
//	    piece-00000                        of each part, where there are several
//	    data/scores.parquet                becomes DIR/scores.parquet
//	    data/_millrace/RUN/                becomes DIR/_scores.parquet.millrace/RUN
//
// The run's directory stands beside the output since a rename cannot cross file
// systems. A run that takes it over renames it to an id of its own: whoever had it
// before, and may only have been stalled, finds none of its files any more.
//
// The one step. A fresh directory: rename(2), which also replaces an empty
// directory and refuses any other, so no flag is needed. Replacing a directory:
// renameat2(2) with RENAME_EXCHANGE, after which data/ is the old output, to be
// removed. Appending is replacing by a directory that has links to the old files
// beside the new ones. A fresh file: renameat2 with RENAME_NOREPLACE.
// Replacing a file: rename(2). Where the file system lacks the flags of
// renameat2, a fresh file is published by rename(2) after a look that nothing
// is there, under the lock; and a directory is replaced by two renames, between
// which a reader finds no output, never a mixture, and a crash is repaired by
// the next run.
//
// A single file has no room for its manifest, and two renames are not one
// step. So the manifest goes first, to a name of its own run's, and the
// data's rename is the step. Whenever the file is there, the manifest whose
// digest it has is there too; a manifest that fits no file was not published,
// and the next run removes it. (One name for the manifest, such as
// scores.parquet.json, would stand for a moment beside data of another run.)
//
// History. The manifests of earlier runs go with the output: a directory takes
// links to them along, a single file's stay where they are.
type Staging struct {
	opts   StageOptions
	fs     FS
	output string // absolute, links followed
	parent string
	name   string // last element of output
	dir    string // the run's own
	data   string // in it, what becomes the output

	mu struct {
		sync.Mutex

		lock      Lock
		made      []string // directories made above the output, outermost first
		parts     map[int]stagedPart
		whole     *PartFile // of pieces
		rejects   *PartFile
		scratch   map[*PartFile]bool
		unmerged  map[int]*PartFile
		side      string // directory beside the output that this run made
		moved     bool   // this run's own files may be in the side directory
		staged    bool   // dir is there and is ours to remove
		published bool
		durable   bool // the published name is
		closed    bool // after Publish, Discard: no more parts

		before  *history // of what stands at the output's name
		first   int      // number of the first output file
		taken   *Journal // of the run that is continued; nil for a fresh one
		journal *journal // nil before Begin

		loadDeaths int // of starts before this one, see LoadDeaths
	}
}

// Stage locks the output, checks that it may be written, cleans up after dead
// runs, and makes the staging directory. Errors wrap ErrHeld, ErrExists or
// ErrOutput; on error nothing is left behind.
func Stage(opts StageOptions) (*Staging, error) {
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		return nil, fmt.Errorf("stage output: %w", err)
	}
	output, err := resolveOutput(opts.Output)
	if err != nil {
		return nil, err
	}
	s := &Staging{
		opts:   opts,
		fs:     opts.FS,
		output: output,
		parent: filepath.Dir(output),
		name:   filepath.Base(output),
	}
	s.dir = s.dirOf(opts.RunID)
	s.data = filepath.Join(s.dir, dataName)
	s.mu.parts, s.mu.unmerged, s.mu.scratch = make(map[int]stagedPart), make(map[int]*PartFile), make(map[*PartFile]bool)
	if err := s.prepare(); err != nil {
		return nil, errors.Join(err, s.Discard())
	}
	return s, nil
}

// resolveOutput makes a path absolute and follows a link at its end.
func resolveOutput(output string) (string, error) {
	path, err := filepath.Abs(output)
	if err != nil {
		return "", outputError(output, err)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		target, err := filepath.EvalSymlinks(path)
		if errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("output %q: %w: it is a link to what is not there; remove the link, or give the place that it leads to: %w", output, ErrOutput, err)
		}
		if err != nil {
			return "", outputError(output, err)
		}
		path = target
	}
	if path == filepath.Dir(path) {
		return "", fmt.Errorf("output %q: %w: it is the root directory", output, ErrOutput)
	}
	return path, nil
}

// prepare does Stage's work; Discard undoes it.
func (s *Staging) prepare() error {
	if err := s.makeParents(s.parent); err != nil {
		return outputError(s.output, err)
	}
	lock, err := takeLock(s.fs, lockPath(s.output), s.output, s.opts.RunID)
	if err != nil {
		return err
	}
	s.mu.lock = lock
	dead, err := s.cleanDeadRuns()
	if err != nil {
		return outputError(s.output, err)
	}
	if s.mu.before, err = s.readHistory(dead); err == nil {
		err = s.readLoading(dead)
	}
	if err != nil {
		return outputError(s.output, err)
	}
	if s.opts.Follows != nil && *s.opts.Follows != s.mu.before.sum {
		return fmt.Errorf("output %q: %w until a moment ago, which published: run the same command again", s.output, ErrHeld)
	}
	if err := s.publishedAlready(); err != nil {
		return err
	}
	if _, err := s.look(); err != nil {
		return err
	}
	s.mu.first = s.firstFile()
	if took, err := s.takeOver(dead); err != nil || took {
		s.mu.staged = took && err == nil
		return err
	}
	s.mu.staged = true
	for _, dir := range []string{s.dir, s.data, filepath.Dir(s.runDir()), s.runDir()} {
		if err := s.fs.Mkdir(dir); err != nil {
			s.mu.staged = dir != s.dir
			return outputError(s.output, err)
		}
	}
	return nil
}

// Output is the absolute path to be published.
func (s *Staging) Output() string { return s.output }

// RunID is the id under which the run publishes.
func (s *Staging) RunID() string { return s.opts.RunID }

// runDir is where this run's manifest and rejects are staged.
func (s *Staging) runDir() string { return filepath.Join(s.data, ownName, s.opts.RunID) }

// dirOf is the directory of a run.
func (s *Staging) dirOf(run string) string {
	return filepath.Join(s.parent, s.stagingPrefix()+run)
}

// sideDir holds what belongs to an output that is no directory, or that was
// not published. Its name starts with "_", so readers of the parent skip it.
func (s *Staging) sideDir() string { return filepath.Join(s.parent, sideName(s.name)) }

func (s *Staging) stagingPrefix() string { return "." + s.name + ".millrace-" }

// aside is where the old output waits while two renames replace it.
func (s *Staging) aside() string { return filepath.Join(s.dir, asideName) }

// Names in a run's directory.
const (
	dataName  = "data"
	asideName = "old"
)

func (s *Staging) makeParents(dir string) error {
	_, err := s.fs.Lstat(dir)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := s.makeParents(filepath.Dir(dir)); err != nil {
		return err
	}
	err = s.fs.Mkdir(dir)
	if errors.Is(err, fs.ErrExist) {
		return nil // another run was faster
	}
	if err == nil {
		s.mu.made = append(s.mu.made, dir)
	}
	return err
}

// vacant says whether nothing, or an empty directory, stands at the output's
// name.
func (s *Staging) vacant() bool {
	if _, err := s.fs.Lstat(s.output); err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	entries, err := s.fs.ReadDir(s.output)
	return err == nil && len(entries) == 0
}

// place is what stands at the output's name.
type place int

const (
	absent place = iota
	emptyDir
	fullDir
	file
)

// look finds out what stands at the output's name, and returns an error if
// that may not give way to the output.
func (s *Staging) look() (place, error) {
	info, err := s.fs.Lstat(s.output)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return absent, nil
	case err != nil:
		return absent, outputError(s.output, err)
	case s.opts.Single && info.Mode().IsRegular():
		if s.opts.IfExists != IfExistsReplace {
			return file, s.exists("replaces it when the new one is whole", "--if-exists replace")
		}
		return file, nil
	case s.opts.Single:
		return file, s.exists(fmt.Sprintf("it is a %s, and a single file cannot take its place", kind(info)), "")
	case !info.IsDir():
		return file, s.exists(fmt.Sprintf("it is a %s, and a directory cannot take its place", kind(info)), "")
	case s.fs.MountPoint(s.output):
		return fullDir, fmt.Errorf("output %q: %w: it is a mount point and cannot be renamed; give a directory below it", s.output, ErrOutput)
	}
	return s.lookInside()
}

func (s *Staging) lookInside() (place, error) {
	entries, err := s.fs.ReadDir(s.output)
	if err != nil {
		return fullDir, outputError(s.output, err)
	}
	if len(entries) == 0 {
		return emptyDir, nil
	}
	switch s.opts.IfExists {
	case IfExistsError:
		return fullDir, s.exists("replaces it when the new one is whole, append adds to it", "--if-exists replace")
	case IfExistsAppend:
		if len(s.mu.before.live) == 0 {
			return fullDir, s.exists("it has no manifest, so nothing is known about what to append to; choose another place", "")
		}
		return fullDir, s.checkBeside()
	}
	// Replacing removes the whole directory, so it must look like an output
	// and not like somebody's home.
	for _, entry := range entries {
		if entry.Name() == successName || entry.Name() == ownName {
			return fullDir, nil
		}
	}
	return fullDir, s.exists("it has neither _SUCCESS nor _millrace, so it is no output and will not be removed; remove it yourself or choose another place", "")
}

// exists words ErrExists: what is in the way, or which flag does what.
func (s *Staging) exists(why, flag string) error {
	if flag != "" {
		return fmt.Errorf("%w: %q; %s %s", ErrExists, s.output, flag, why)
	}
	return fmt.Errorf("%w: %q: %s", ErrExists, s.output, why)
}

func kind(info fs.FileInfo) string {
	switch mode := info.Mode(); {
	case mode.IsDir():
		return "directory"
	case mode.IsRegular():
		return "file"
	default:
		return "special file (" + mode.Type().String() + ")"
	}
}
