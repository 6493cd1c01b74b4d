package dataset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace/io/format"
)

// Listing is what inputs resolve to.
type Listing struct {
	// Files are the files to read, in order.
	Files []string
	// Skipped are the files that a directory holds and that are not read,
	// because neither name nor first bytes make them of a format that is read. Hidden
	// files (name starts with "_" or ".") are not mentioned.
	Skipped []string
}

// Resolve turns inputs into files in a stable order; List says by which rules.
func Resolve(inputs []string) ([]string, error) {
	l, err := List(inputs)
	return l.Files, err
}

// List turns inputs (files, directories, globs, file:// URIs) into files. The
// inputs keep their order; within a directory or glob files are sorted by
// path. A file that two inputs name is listed twice.
//
//   - A path that exists is taken as it is, even if it has glob characters.
//   - A directory is walked recursively, through symbolic links too. Names
//     that start with "_" or "." are passed over (_SUCCESS, _millrace, .crc
//     files). Of the others, files with a known extension are listed (of x.csv.gz
//     it is .csv), and those without one whose first bytes are Arrow's or
//     Parquet's; the rest goes to Skipped. A table (see TableOf) is refused.
//   - In a glob, * ? [a-z] stay within a name and ** stands for any number of
//     directories. Wildcards do not match hidden names unless the pattern
//     starts with the same "_" or ".". Files that match are listed whatever
//     their extension; directories that match are walked.
//
// Every problem of every input is in the error, which wraps ErrInput.
func List(inputs []string) (Listing, error) {
	return ListIn(context.Background(), inputs, nil)
}

// ListIn is List, and inputs may be URIs of stores too, by scheme.
func ListIn(ctx context.Context, inputs []string, stores map[string]Store) (Listing, error) {
	return Lister{Stores: stores}.List(ctx, inputs)
}

// Lister lists inputs.
type Lister struct {
	// Stores are those of URIs, by scheme.
	Stores map[string]Store
	// Format is that of all files, as in Options: then a directory's files are listed
	// whatever their extension, unless that or their first bytes say another format.
	Format format.Name
}

// List is as the package's List.
func (a Lister) List(ctx context.Context, inputs []string) (Listing, error) {
	var l Listing
	var errs []error
	if len(inputs) == 0 {
		errs = append(errs, fmt.Errorf("no input given: %w", ErrNoMatch))
	}
	for _, input := range inputs {
		one, err := a.listInput(ctx, input)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, path := range one.Files {
			if !utf8.ValidString(path) {
				errs = append(errs, asInput(fmt.Errorf("input %q: the name is not UTF-8, as which journal and manifest hold it, so it could not be known again: rename it", path)))
			}
		}
		l.Files = append(l.Files, one.Files...)
		l.Skipped = append(l.Skipped, one.Skipped...)
	}
	if err := joinListed(errs); err != nil {
		return Listing{}, err
	}
	return l, nil
}

func (a Lister) listInput(ctx context.Context, input string) (Listing, error) {
	if store := a.Stores[Scheme(input)]; store != nil {
		if err := CheckName(input); err != nil {
			return Listing{}, fmt.Errorf("input of scheme %q: %w", Scheme(input), err)
		}
		return a.listStored(ctx, store, input)
	}
	path, err := localPath(input, a.Stores)
	if err != nil {
		return Listing{}, err
	}
	if err := CheckName(path); err != nil {
		return Listing{}, fmt.Errorf("input: %w", err)
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		l, err := a.listDir(path)
		if err == nil && len(l.Files) == 0 {
			err = emptyDir(path, l.Skipped)
		}
		return l, err
	case err == nil:
		return Listing{Files: []string{path}}, nil
	case !errors.Is(err, os.ErrNotExist) || !hasMeta(path):
		return Listing{}, statError(input, err)
	}
	l, err := a.listGlob(path)
	if err == nil && len(l.Files) == 0 {
		err = fmt.Errorf("glob %q: %w", input, ErrNoMatch)
		if len(l.Skipped) > 0 {
			err = fmt.Errorf("glob %q: %w (skipped: %s)", input, ErrNoMatch, quoteList(l.Skipped, 5))
		}
	}
	return l, err
}

func emptyDir(path string, skipped []string) error {
	if len(skipped) == 0 {
		return fmt.Errorf("directory %q: %w", path, ErrNoMatch)
	}
	return fmt.Errorf("directory %q: %w: none is of a format that is read, by name or content (skipped: %s)",
		path, ErrNoMatch, quoteList(skipped, 5))
}

// localPath takes the file scheme off a URI and refuses all others.
func localPath(input string, stores map[string]Store) (string, error) {
	if input == "" {
		return "", fmt.Errorf("input %q: %w", input, ErrNoSuchFile)
	}
	_, rest, ok := strings.Cut(input, "://")
	switch scheme := Scheme(input); {
	case !ok || scheme == "":
		return input, nil
	case scheme != "file" || !strings.HasPrefix(rest, "/"):
		return "", schemeError(scheme, stores)
	}
	return rest, nil
}

// hidden says whether data tools agree to pass over a file of this name.
func hidden(name string) bool {
	return strings.HasPrefix(name, "_") || strings.HasPrefix(name, ".")
}

// knownExtension says whether a name promises a format that we read.
func knownExtension(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".arrow", ".arrows", ".stream", ".ipc", ".feather":
		return true
	}
	return parquetExtension(name)
}

func parquetExtension(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".parquet", ".parq", ".pq":
		return true
	}
	return false
}

// listDir walks a directory; an empty result is not an error.
func (a Lister) listDir(dir string) (Listing, error) {
	w := walker{accept: a.accept, format: a.Format}
	if err := w.walk(dir, nil); err != nil {
		return Listing{}, err
	}
	w.sort()
	return w.Listing, nil
}

// accept decides on a file that nobody named.
func (a Lister) accept(path string) (bool, error) {
	if takes, known := TakesName(path, a.Format); known {
		return takes, nil
	}
	head, err := readHead(path)
	if err != nil {
		return false, err
	}
	return TakesHead(head, path, a.Format), nil
}

// walker collects the files under a directory.
type walker struct {
	Listing

	accept func(path string) (bool, error)
	format format.Name // the only one; empty: any
}

func (w *walker) sort() {
	slices.Sort(w.Files)
	w.Files = slices.Compact(w.Files)
	slices.Sort(w.Skipped)
	w.Skipped = slices.Compact(w.Skipped)
}

// walk visits dir; above holds the directories that lead to it, so that a
// symbolic link back to one of them is noticed.
func (w *walker) walk(dir string, above []fs.FileInfo) error {
	info, err := os.Stat(dir)
	if err != nil {
		return statError(dir, err)
	}
	for _, a := range above {
		if os.SameFile(a, info) {
			return asInput(fmt.Errorf("input %q: symbolic link leads back to %q", dir, a.Name()))
		}
	}
	above = append(slices.Clip(above), info)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return statError(dir, err)
	}
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		if folder, table := TableOf(filepath.ToSlash(path)); table != "" {
			return TableError(cmp.Or(folder, dir), table)
		}
		if hidden(entry.Name()) {
			continue
		}
		if err := w.visit(path, entry.Type(), above); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) visit(path string, mode fs.FileMode, above []fs.FileInfo) error {
	if mode&fs.ModeSymlink != 0 {
		info, err := os.Stat(path)
		if err != nil {
			return statError(path, err)
		}
		mode = info.Mode().Type()
	}
	takes, known := TakesName(path, w.format)
	switch {
	case mode.IsDir():
		return w.walk(path, above)
	case !mode.IsRegular() && known && takes: // a fifo or device would block or never end
		return asInput(fmt.Errorf("input %q: not a regular file (%s), and its name says that it has data: take it out of the folder, or name the files that are to be read", path, mode))
	case !mode.IsRegular():
		w.Skipped = append(w.Skipped, path)
		return nil
	}
	ok, err := w.accept(path)
	if err != nil {
		return err
	}
	if ok {
		w.Files = append(w.Files, path)
	} else {
		w.Skipped = append(w.Skipped, path)
	}
	return nil
}
