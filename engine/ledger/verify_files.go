package ledger

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
	textfile "github.com/millrace/millrace/io/lines"
)

// maxEntries bounds the files of an output that are looked at.
const maxEntries = 1 << 20

// walk compares what is there with what is expected, and plans a look into each
// file. Of a single file's folder, only its own are looked at.
func (v *verifier) walk() {
	h := v.history
	found := map[string]bool{}
	roots := []string{"."}
	if h.Single {
		roots = []string{filepath.Base(h.Output), h.side}
	}
	entries := 0
	for _, root := range roots {
		err := fs.WalkDir(h.tree, root, func(name string, d fs.DirEntry, err error) error {
			if entries++; entries > maxEntries {
				return fmt.Errorf("it has more than %d files and folders, which no run makes", maxEntries)
			}
			return v.visit(name, d, err, found)
		})
		if err != nil {
			v.found(Problem{What: "the output cannot be looked through: " + err.Error(), Do: "verify as a user who may read it"})
		}
	}
	v.missing(found)
}

// visit takes one entry of the walk.
func (v *verifier) visit(name string, d fs.DirEntry, err error, found map[string]bool) error {
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // missing says it, or it went meanwhile and nobody needs it
		}
		v.found(Problem{File: name, What: "cannot be read: " + cause(err), Do: "verify as a user who may read it"})
		found[name] = true
		return nil
	}
	e, expected := v.expected[name]
	switch {
	case d.IsDir() && (name == "." || v.folders[name]):
		return nil
	case d.IsDir():
		v.extra(name, d)
		found[name] = true
		return fs.SkipDir
	case !expected:
		v.extra(name, d)
		return nil
	}
	found[name] = true
	info, err := d.Info()
	if err != nil {
		v.found(Problem{File: name, Run: e.run, What: "cannot be read: " + cause(err), Do: "verify again"})
		return nil
	}
	if e.optional && !e.known {
		return nil // a manifest, which is read already
	}
	if !info.Mode().IsRegular() {
		v.found(Problem{File: name, Run: e.run, What: fmt.Sprintf("is a %s; runs write plain files, and what it leads to is not looked at", kind(info)), Do: "put the file itself there"})
		return nil
	}
	v.plan(name, &e, info)
	return nil
}

// extra reports what no run wrote.
func (v *verifier) extra(name string, d fs.DirEntry) {
	what := "file"
	switch {
	case d.IsDir():
		what = "folder"
	case !d.Type().IsRegular():
		what = "special file or link"
	}
	p := Problem{File: name, What: fmt.Sprintf("is a %s that no run of this output wrote", what), Do: "move it away"}
	if !v.history.Single && !passedOver(name) {
		p.What += ", and readers of the output take it for data"
	}
	if v.history.cut {
		p.What, p.Do = fmt.Sprintf("is a %s of no run whose manifest can be read", what), "restore the manifests first, and verify again"
	}
	v.found(p)
}

// passedOver says that readers of a directory pass over a name, by convention.
func passedOver(name string) bool {
	for part := range strings.SplitSeq(name, string(filepath.Separator)) {
		if strings.HasPrefix(part, "_") || strings.HasPrefix(part, ".") {
			return true
		}
	}
	return false
}

// plan adds the look that an expected file needs.
func (v *verifier) plan(name string, e *expectation, info fs.FileInfo) {
	switch {
	case name == successName && info.Size() != 0:
		v.found(Problem{File: name, Run: e.run, What: fmt.Sprintf("has %d bytes; it should be empty", info.Size()), Do: "empty it, if nothing else is wrong"})
	case !e.known:
	case info.Size() != e.Bytes:
		v.found(Problem{
			File: name, Run: e.run, What: fmt.Sprintf("has %d bytes, and run %s wrote %d", info.Size(), e.run, e.Bytes),
			Do: "restore it from a copy, or score again with --if-exists replace",
		})
		if v.isSingle(name) && !v.opts.Quick { // another run's, perhaps
			v.looks = append(v.looks, look{bytes: info.Size(), do: func(ctx context.Context) error {
				v.swapped, _ = v.digest(ctx, name, info.Size())
				return ctx.Err()
			}})
		}
	default:
		v.looks = append(v.looks, look{bytes: v.toRead(e), do: func(ctx context.Context) error { return v.check(ctx, name, e) }})
	}
}

// toRead is how many bytes the look into a file reads.
func (v *verifier) toRead(e *expectation) int64 {
	if v.opts.Quick {
		return 0
	}
	return e.Bytes
}

// isSingle says that a name is the file that is the whole output.
func (v *verifier) isSingle(name string) bool {
	return v.history.Single && name == filepath.Base(v.history.Output)
}

// check compares one file with what its manifest says.
func (v *verifier) check(ctx context.Context, name string, e *expectation) error {
	if !v.opts.Quick {
		digest, err := v.digest(ctx, name, e.Bytes)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			v.found(Problem{File: name, Run: e.run, What: "cannot be read: " + cause(err), Do: "verify again, as a user who may read it"})
			return nil
		case digest != e.SHA256:
			v.found(Problem{
				File: name, Run: e.run, What: fmt.Sprintf("was changed since run %s wrote it: its sha256 is %.12s…, and the manifest says %.12s…", e.run, digest, e.SHA256),
				Do: "restore it from a copy, or score again with --if-exists replace",
			})
			if v.isSingle(name) {
				v.swapped = digest
			}
			return nil
		}
	}
	return v.checkRows(ctx, name, v.history.tree.Path(name), e)
}

// checkRows compares the row count that a file itself announces. Text has none: its rows are
// counted, but for a quick look.
func (v *verifier) checkRows(ctx context.Context, name, path string, e *expectation) error {
	opts := dataset.Options{Stores: v.opts.Stores}
	if kind, ok := format.KindOf(name); ok && kind.Format.IsText() {
		if v.opts.Quick {
			return nil
		}
		opts.Format, opts.Lines = kind.Format, textfile.Options{Header: textfile.HeaderFirst, Delimiter: e.delimiter}
	}
	data, err := dataset.Open(ctx, []string{path}, opts)
	if err == nil {
		rows := data.Rows()
		err = data.Close()
		if err == nil && rows != e.Rows {
			v.found(Problem{
				File: name, Run: e.run, What: fmt.Sprintf("has %d rows by its own account, and run %s says that it wrote %d", rows, e.run, e.Rows),
				Do: "score again with --if-exists replace",
			})
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		v.found(Problem{File: name, Run: e.run, What: "its rows cannot be counted: " + err.Error(), Do: "restore it from a copy, or score again with --if-exists replace"})
	}
	return nil
}

// hashBytes is how much of a file is read at a time.
const hashBytes = 1 << 20

// digest is the SHA-256 in hex of a file's bytes; one that has grown past size
// bytes is an error.
func (v *verifier) digest(ctx context.Context, name string, size int64) (string, error) {
	f, err := v.history.tree.Open(name)
	if err != nil {
		return "", err
	}
	return v.digestOf(ctx, f, SHA256, size)
}

// digestBy is the digest of a file on this machine by one of the algorithms of NewHash.
func (v *verifier) digestBy(ctx context.Context, path, algorithm string, size int64) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	return v.digestOf(ctx, f, algorithm, size)
}

// digestOf digests a file and closes it.
func (v *verifier) digestOf(ctx context.Context, f io.ReadCloser, algorithm string, size int64) (string, error) {
	sum, err := NewHash(algorithm)
	if err != nil {
		return "", errors.Join(err, f.Close())
	}
	n, err := v.copyTo(ctx, sum, io.LimitReader(f, size))
	if err == nil && n == size && size > 0 {
		var more [1]byte
		if _, e := f.Read(more[:]); !errors.Is(e, io.EOF) {
			err = errors.New("it grew while it was read")
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// copyTo hashes what is read, until it ends or ctx does.
func (v *verifier) copyTo(ctx context.Context, sum hash.Hash, from io.Reader) (int64, error) {
	buf := make([]byte, hashBytes)
	var total int64
	for {
		if ctx.Err() != nil {
			return total, context.Cause(ctx)
		}
		n, err := from.Read(buf)
		sum.Write(buf[:n])
		total += int64(n)
		v.opts.Progress.Bytes.Add(int64(n))
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}
