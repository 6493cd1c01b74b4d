package ledger

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/io/dataset"
)

// Standing says how a file that a run read compares with what it was then.
type Standing struct {
	// Same is false when the file is gone or has changed.
	Same bool
	// What is different, in words; with Same, what could not be compared.
	What string
	err  error // why it could not be looked at, which may pass
}

// unseen is what cannot be looked at.
func unseen(err error) Standing {
	return Standing{What: "cannot be looked at: " + cause(err), err: err}
}

// stat compares a file by what the file system says of it: size and, unless mtime
// is zero, time of change.
func stat(path string, bytes int64, mtime time.Time) Standing {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Standing{What: "is gone"}
	case err != nil:
		return unseen(err)
	case !info.Mode().IsRegular():
		return Standing{What: "is a " + kind(info) + " now"}
	case info.Size() != bytes:
		return Standing{What: fmt.Sprintf("has changed: it has %d bytes and had %d", info.Size(), bytes)}
	case !mtime.IsZero() && !info.ModTime().Equal(mtime):
		return Standing{What: fmt.Sprintf("was written to, or its time was set: %s, and it was of %s", info.ModTime().UTC().Format(time.RFC3339Nano), mtime.UTC().Format(time.RFC3339Nano))}
	}
	return Standing{Same: true}
}

// Standing compares an input, which is a file, by size and time of change.
func (in *Input) Standing() Standing { return stat(in.Path, in.Bytes, in.ModTime) }

// stored compares an input that lies in a store, which is asked, by size and version, or
// where it has none by time of change.
func (in *Input) stored(ctx context.Context, stores map[string]dataset.Store) Standing {
	scheme := dataset.Scheme(in.Path)
	if scheme == "-" {
		return Standing{What: "was a stream on standard input, which is gone"}
	}
	store := stores[scheme]
	if store == nil {
		return Standing{What: "cannot be looked at: nothing here opens " + scheme}
	}
	object, err := store.Open(ctx, in.Path)
	if err != nil {
		return unseen(err)
	}
	now := object.Facts()
	if err := object.Close(); err != nil {
		return unseen(err)
	}
	return in.compared(now)
}

// compared compares an input with what a store says of it.
func (in *Input) compared(now dataset.Facts) Standing {
	switch {
	case now.Size != in.Bytes:
		return Standing{What: fmt.Sprintf("has changed: it has %d bytes and had %d", now.Size, in.Bytes)}
	case now.Version != in.Version:
		return Standing{What: fmt.Sprintf("has changed: its version is %s, and was %s", now.Version, in.Version)}
	case in.Version == "" && !now.ModTime.Equal(in.ModTime):
		return Standing{What: fmt.Sprintf("was written to: %s, and it was of %s", now.ModTime.UTC().Format(time.RFC3339Nano), in.ModTime.UTC().Format(time.RFC3339Nano))}
	}
	return Standing{Same: true}
}

// ChangedTo is Changed of an input in a store, which said this of it.
func (in *Input) ChangedTo(now dataset.Facts) error {
	if s := in.compared(now); !s.Same {
		return fmt.Errorf("input %q %s", in.Path, s.What)
	}
	return nil
}

// Changed returns an error, which says what is different, unless an input is as
// it was: by size and time of change or, where only the time is another and the
// manifest has its digest, by its bytes. One that is a URI is looked up in the store of
// its scheme.
func (in *Input) Changed(ctx context.Context, stores map[string]dataset.Store) error {
	if dataset.Scheme(in.Path) != "" {
		s := in.stored(ctx, stores)
		switch {
		case s.Same:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case s.err != nil:
			return fmt.Errorf("input %q cannot be looked at: %w", in.Path, s.err)
		}
		return fmt.Errorf("input %q %s", in.Path, s.What)
	}
	s := in.Standing()
	if s.Same {
		return nil
	}
	if same := stat(in.Path, in.Bytes, time.Time{}); same.Same && in.digested() {
		algorithm, digest, _ := strings.Cut(in.Digest, ":")
		v := &verifier{opts: VerifyOptions{Progress: &VerifyProgress{}}}
		got, err := v.digestBy(ctx, in.Path, algorithm, in.Bytes)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return fmt.Errorf("input %q cannot be read: %s", in.Path, cause(err))
		case strings.EqualFold(got, digest):
			return nil
		}
		s.What = fmt.Sprintf("has changed: its %s is %.12s…, and was %.12s…", algorithm, got, digest)
	}
	return fmt.Errorf("input %q %s", in.Path, s.What)
}

// digested says whether the manifest has the digest of a whole input, by an algorithm
// that is known.
func (in *Input) digested() bool {
	algorithm, _, _ := strings.Cut(in.Digest, ":")
	return algorithm == SHA256 || algorithm == XXH3
}

// AddStanding looks at the models and inputs of live runs, as Verify does, for an output that
// is no files. Its error is ctx's.
func (v *Verification) AddStanding(ctx context.Context, h *History, opts VerifyOptions) error {
	opts.Progress = &VerifyProgress{} // of files, which these are no output's
	at := &verifier{Verification: Verification{Output: v.Output}, history: h, opts: opts}
	at.standing()
	err := at.look(ctx)
	v.Problems, v.Notes = append(v.Problems, at.Problems...), append(v.Notes, at.Notes...)
	return err
}

// standing plans a look at the models and inputs of live runs, once each.
func (v *verifier) standing() {
	type file struct {
		path, digest string
		bytes        int64
		modified     time.Time
	}
	seen := map[file]bool{}
	for _, r := range v.history.Live() {
		if r.Manifest == nil {
			continue
		}
		for _, m := range r.Manifest.ModelFiles() {
			if dataset.Scheme(m.Path) != "" {
				v.lookUpModel(m, r.Run)
				continue
			}
			own := WeightFile{Path: filepath.Base(m.Path), SHA256: cmp.Or(m.FileSHA256, m.SHA256), Bytes: m.Bytes}
			for _, part := range append(slices.Clone(m.Weights), own) {
				part.Path = filepath.Join(filepath.Dir(m.Path), part.Path)
				if f := (file{path: part.Path, digest: SHA256 + ":" + part.SHA256, bytes: part.Bytes}); !seen[f] {
					seen[f] = true
					v.lookAt(f.path, r.Run, "model", stat(f.path, f.bytes, time.Time{}), f.bytes, f.digest)
				}
			}
		}
		for i := range r.Manifest.Inputs {
			in := &r.Manifest.Inputs[i]
			if dataset.Scheme(in.Path) != "" {
				v.lookUp(in, r.Run)
				continue
			}
			digest := ""
			if in.digested() {
				digest = in.Digest
			}
			f := file{path: in.Path, digest: digest, bytes: in.Bytes, modified: in.ModTime}
			if seen[f] {
				continue
			}
			seen[f] = true
			s := in.Standing()
			if v.opts.Inputs && digest != "" {
				s = stat(in.Path, in.Bytes, time.Time{}) // the bytes decide, not the time
			}
			v.lookAt(in.Path, r.Run, "input", s, in.Bytes, digest)
		}
	}
}

// lookUp plans to ask the store of an input that is a URI, once each and only on
// request: a look at an output needs no network.
func (v *verifier) lookUp(in *Input, run string) {
	if !v.opts.Inputs || v.asked[in.Path+"\n"+in.Version] {
		return
	}
	if v.asked == nil {
		v.asked = map[string]bool{}
	}
	v.asked[in.Path+"\n"+in.Version] = true
	v.looks = append(v.looks, look{do: func(ctx context.Context) error {
		s := in.stored(ctx, v.opts.Stores)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !s.Same {
			v.otherwise(in.Path, run, "input", s.What)
		}
		return nil
	}})
}

// lookUpModel plans to read a model that is a URI again, as lookUp does.
func (v *verifier) lookUpModel(m ModelFile, run string) {
	if !v.opts.Inputs || v.asked[m.Path+"\n"+m.SHA256] {
		return
	}
	if v.asked == nil {
		v.asked = map[string]bool{}
	}
	v.asked[m.Path+"\n"+m.SHA256] = true
	v.looks = append(v.looks, look{bytes: m.Bytes, do: func(ctx context.Context) error {
		store, ok := v.opts.Stores[dataset.Scheme(m.Path)].(interface {
			ReadAll(ctx context.Context, uri string, most int64) ([]byte, error)
		})
		if !ok {
			v.otherwise(m.Path, run, "model", "cannot be looked at: nothing here opens it")
			return nil
		}
		data, err := store.ReadAll(ctx, m.Path, m.Bytes)
		sum := sha256.Sum256(data)
		switch got := hex.EncodeToString(sum[:]); {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			v.otherwise(m.Path, run, "model", "cannot be read: "+cause(err))
		case !strings.EqualFold(got, m.SHA256):
			v.otherwise(m.Path, run, "model", fmt.Sprintf("has changed: its SHA-256 is %.12s…, and was %.12s…", got, m.SHA256))
		}
		return nil
	}})
}

// lookAt reports a model or input that is not the same and, where its bytes are
// to be compared, plans a look into it: at a model's always, since most are
// small, at inputs' on request. digest is ALGORITHM:HEX, or empty.
func (v *verifier) lookAt(path, run, what string, s Standing, bytes int64, digest string) {
	if !s.Same {
		v.otherwise(path, run, what, s.What)
		return
	}
	if digest == "" || v.opts.Quick || what == "input" && !v.opts.Inputs {
		return
	}
	algorithm, digest, _ := strings.Cut(digest, ":")
	v.looks = append(v.looks, look{bytes: bytes, do: func(ctx context.Context) error {
		got, err := v.digestBy(ctx, path, algorithm, bytes)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			v.otherwise(path, run, what, "cannot be read: "+cause(err))
		case !strings.EqualFold(got, digest):
			v.otherwise(path, run, what, fmt.Sprintf("has changed: its %s is %.12s…, and was %.12s…", algorithm, got, digest))
		}
		return nil
	}})
}

// otherwise reports a model or input that is not what it was.
func (v *verifier) otherwise(path, run, what, is string) {
	p := Problem{File: path, Run: run, What: "the " + what + " " + is, Do: "run " + run + " cannot be replayed until it is as it was"}
	if v.opts.Inputs {
		v.found(p)
		return
	}
	v.note(p)
}
