package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
)

// DigestMode says what proves later that an input is the one that was read.
type DigestMode string

// The modes.
const (
	// DigestAuto takes the strongest that the run hardly notices; see budget.
	DigestAuto   DigestMode = "auto"
	DigestSHA256 DigestMode = ledger.SHA256
	DigestXXH3   DigestMode = ledger.XXH3
	// DigestSizeMTime takes none: size and time of change stand for a file.
	DigestSizeMTime DigestMode = "size-mtime"
)

// DigestChoice is how a run's inputs are digested, and why so.
type DigestChoice struct {
	Asked DigestMode `json:"asked"`
	// Algorithm is sha256 or xxh3; empty where size and time of change stand for
	// every file.
	Algorithm string `json:"algorithm,omitempty"`
	Reason    string `json:"reason"`
}

// VersionsReason is that of inputs which all have a version instead of a digest.
const VersionsReason = "what a store calls an object's, or the digest of a query's rows"

// digests takes the digests of a run's inputs while it goes on.
//
// One goroutine reads every file once, from its first byte to its last, whichever
// way the run's readers go: a digest of the whole file is what others can check
// with their own tools. It keeps near to where the run reads, so that a file on a
// disk is read once, and the work is spread over the run:
//
//	choose the algorithm
//	for each file without a digest:
//		read and digest, no further than leadBytes before the run
//		check that the file is still the one that was planned; note it in the journal
//
// The alternative, to digest what the readers read where they read it, needs the
// bytes in order, and they read columns of several spans at a time; and Parquet's
// readers do not read columns that nobody asked for.
//
// Files are read and not mapped. XXH3 of a mapping costs a third less (7 GB/s in
// place of 5), but a mapping is memory that counts as the process's, and one that
// is cut is a fault and no error.
type digests struct {
	mode     DigestMode
	open     func(ctx context.Context, input int) (io.ReadCloser, error) // by its place among the inputs
	files    []digestFile
	listed   []int // by place among the inputs: which of files
	rows     int64 // of all listed files
	size     int64 // bytes of files
	progress *Progress
	record   func(ledger.DigestRecord) error
	meter    meter

	position int64 // bytes of files that were digested, in the order of files
	choice   DigestChoice
	ended    chan struct{} // closed when the run has read everything
	done     chan struct{} // closed when the goroutine is
	err      error         // why it failed
}

// digestFile is one file, however often it is listed.
type digestFile struct {
	dataset.FileInfo

	first  int // its first place among the inputs
	digest string
}

// leadBytes is how far before the run's own readers files are digested, at most. Then
// nothing is until burstBytes are allowed: what is digested goes through the caches that a
// worker needs, so it goes seldom (by a burst of 8 MiB, the linear model on Parquet spent 7% on
// XXH3 in place of 11%).
const (
	leadBytes  = 16 << 20
	burstBytes = 8 << 20
)

// pause is the time between two looks at how far the run is.
const pause = 5 * time.Millisecond

// newDigests takes over what an earlier start found, which may be nil.
func (p *Plan) newDigests(progress *Progress, record func(ledger.DigestRecord) error, before *ledger.Journal) *digests {
	d := &digests{
		mode: p.Options.Digest, open: p.Dataset.OpenBytes, rows: p.Dataset.Rows(), progress: progress, record: record, meter: newMeter(),
		ended: make(chan struct{}), done: make(chan struct{}),
	}
	at := map[string]int{}
	for i, f := range p.Dataset.Files() {
		k, known := at[f.Path]
		if !known {
			k = len(d.files)
			at[f.Path] = k
			d.files = append(d.files, digestFile{FileInfo: f, first: i})
			d.size += f.Size
			if before != nil {
				d.files[k].digest = before.Digests[i]
			}
		}
		d.listed = append(d.listed, k)
	}
	return d
}

// start begins, and cancels the run where it fails. One of finish or abandon must be
// called.
func (d *digests) start(ctx context.Context, cancel context.CancelCauseFunc) {
	go func() {
		defer close(d.done)
		if d.err = guarded(func() error { return d.run(ctx) }); d.err != nil {
			cancel(d.err)
		}
	}()
}

// finish waits for the digests when the run has read everything, and returns the
// choice that was made.
func (d *digests) finish() (*DigestChoice, error) {
	close(d.ended)
	<-d.done
	return &d.choice, d.err
}

// abandon waits for the goroutine after the run was canceled.
func (d *digests) abandon() { <-d.done }

// of is the digest of an input by its place; empty where there is none. It may be
// asked after finish.
func (d *digests) of(input int) string {
	if d == nil {
		return ""
	}
	return d.files[d.listed[input]].digest
}

func (d *digests) run(ctx context.Context) error {
	if err := d.choose(ctx); err != nil {
		return err
	}
	for i := range d.files {
		f := &d.files[i]
		if d.choice.Algorithm == "" {
			f.digest = ""
			continue
		}
		if d.mode == DigestAuto && f.Version != "" { // which proves it, and costs nothing
			d.position += f.Size
			continue
		}
		if algorithmOf(f.digest) == d.choice.Algorithm {
			d.position += f.Size
			continue
		}
		if err := d.take(ctx, f); err != nil {
			return err
		}
		if err := d.record(ledger.DigestRecord{File: f.first, Digest: f.digest}); err != nil {
			return err
		}
	}
	return nil
}

// algorithmOf is the algorithm of a digest; empty for none.
func algorithmOf(digest string) string {
	algorithm, _, _ := strings.Cut(digest, ":")
	return algorithm
}

// take digests one file. Its error wraps dataset.ErrInput, and format.ErrChanged
// where the file is not the one that was planned.
func (d *digests) take(ctx context.Context, f *digestFile) error {
	file, err := d.open(ctx, f.first)
	if err != nil {
		return digestError(f.Path, err)
	}
	defer func() { _ = file.Close() }() // it was only read
	var n int64
	f.digest, n, err = ledger.DigestReader(&pacedReader{ctx: ctx, digests: d, file: file}, d.choice.Algorithm)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		return digestError(f.Path, err)
	}
	same := true // of an object, its store gives no other bytes
	// What was read is what Dataset.Changed looks at, unless it changed before this
	// look; what changes after it, Changed finds before anything is published.
	if local, ok := file.(*os.File); ok {
		info, err := local.Stat()
		if err != nil {
			return digestError(f.Path, err)
		}
		same = info.Size() == f.Size && info.ModTime().Equal(f.ModTime)
	}
	if n != f.Size || !same {
		return fmt.Errorf("input %q: %w: %w: it had %d bytes when the run began, and %d were read for its digest",
			f.Path, dataset.ErrInput, format.ErrChanged, f.Size, n)
	}
	return nil
}

// digestError words that a file cannot be read for its digest. One that is gone was
// there when the run was planned.
func digestError(path string, err error) error {
	if errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("%w: %w", format.ErrChanged, err)
	}
	return fmt.Errorf("input %q: digest: %w: %w", path, dataset.ErrInput, err)
}

// pacedReader reads a file no faster than the run.
type pacedReader struct {
	ctx     context.Context //nolint:containedctx // a reader has no other way to end
	digests *digests
	file    io.Reader
}

// Read waits until the run is near.
func (r *pacedReader) Read(p []byte) (int, error) {
	d := r.digests
	room := int64(0)
	if d.position > d.allowed() {
		room = burstBytes
	}
	if err := d.await(r.ctx, func() bool { return d.position+room <= d.allowed() }); err != nil {
		return 0, err
	}
	n, err := r.file.Read(p)
	d.position += int64(n)
	return n, err
}

// allowed is how many bytes of all files may be digested by now.
func (d *digests) allowed() int64 {
	share := float64(d.progress.RowsRead.Load()) / float64(max(d.rows, 1))
	return leadBytes + int64(share*float64(d.size))
}

// await waits until ready, the run's end, or that of ctx, which is its error.
func (d *digests) await(ctx context.Context, ready func() bool) error {
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if d.over() || ready() {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-d.ended:
		case <-time.After(pause):
		}
	}
}

// over says that the run has read everything.
func (d *digests) over() bool {
	select {
	case <-d.ended:
		return true
	default:
		return false
	}
}

// unproved are the files that no store has a version of.
func (d *digests) unproved() []digestFile {
	return slices.DeleteFunc(slices.Clone(d.files), func(f digestFile) bool { return f.Version != "" })
}

// choose fixes the algorithm for all files.
func (d *digests) choose(ctx context.Context) error {
	d.choice = DigestChoice{Asked: d.mode, Reason: "--digest"}
	switch d.mode {
	case DigestSHA256, DigestXXH3:
		d.choice.Algorithm = string(d.mode)
		return nil
	case DigestSizeMTime:
		return nil
	}
	for i := range d.files {
		if a := algorithmOf(d.files[i].digest); a != "" {
			d.choice.Algorithm, d.choice.Reason = a, "as the run's first start chose"
			return nil
		}
	}
	if unproved := d.unproved(); len(unproved) == 0 {
		d.choice.Reason = VersionsReason
		return nil
	}
	var err error
	d.choice.Algorithm, d.choice.Reason, err = d.afford(ctx)
	return err
}
