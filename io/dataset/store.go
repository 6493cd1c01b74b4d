package dataset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/nearest"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/query"
)

// Store reads the inputs of a URI scheme: an object store, a database, a pipe. Its
// errors name the input and have no secret in them; this package adds ErrInput. All
// methods may be called concurrently.
//
// The URIs that List gives are names: they stand in messages, the manifest and reject
// files. So they have no secret in them, and Open takes them in another process too.
type Store interface {
	// List turns an input into the URIs of objects, by the rules of the package's List.
	List(ctx context.Context, input string) (Listing, error)
	// Open looks an object up. It need not fetch any of it; the caller closes it.
	Open(ctx context.Context, uri string) (Object, error)
}

// Object is one input in a Store, as it was when it was opened. All methods may be
// called concurrently, except Close.
type Object interface {
	// Facts are what the store said when it was opened.
	Facts() Facts
	// Local gives a regular file that holds the object's bytes, for readers of files,
	// until done is called. It may be asked again, and then gives the same bytes.
	Local(ctx context.Context) (path string, done func() error, err error)
	// Changed returns an error that wraps format.ErrChanged and names the URI where the
	// store has something else by now, or nothing.
	Changed() error
	Close() error
}

// Looker is a Store that says what it knows of an object without giving up what a listing said
// of it, by which Open need not ask again.
type Looker interface {
	Look(ctx context.Context, uri string) (Facts, error)
}

// Rechecker is a Store that asks about many objects at once.
type Rechecker interface {
	// ChangedAll is what Changed of each object says.
	ChangedAll(objects []Object) []error
}

// Facts are what a Store says of an object.
type Facts struct {
	Format  format.Name // empty: its first bytes say
	Size    int64       // bytes
	ModTime time.Time   // zero where the store has none
	// Version tells these bytes from any others that stood or will stand there: an
	// ETag, a generation, a digest. Where it is empty the run digests the bytes itself.
	Version string
}

// Scheme is the scheme of a URI, such as "s3", in lower case. It is empty for a path;
// "-", for standard input, is one of its own. Those of databases that are files stand
// before a colon alone.
func Scheme(input string) string {
	if input == "-" {
		return input
	}
	if scheme := query.SchemeOf(input); scheme != "" {
		return scheme
	}
	scheme, _, ok := strings.Cut(input, "://")
	if !ok || scheme == "" || strings.ContainsAny(scheme, "/*?[") {
		return ""
	}
	return strings.ToLower(scheme)
}

// Hidden says whether an element of a path is passed over unless it is asked for.
func Hidden(element string) bool { return hidden(element) }

// FormatLister is a Store that lists objects of a format that is asked for, as Lister.Format
// says; empty stands for any.
type FormatLister interface {
	ListFormat(ctx context.Context, input string, asked format.Name) (Listing, error)
}

// TakesName says whether a file that nobody named is taken for its extension, where the
// format is asked for, or any if that is empty; known is false where its first bytes say it.
func TakesName(name string, asked format.Name) (takes, known bool) {
	byName := linesByName(name)
	return asked == "" || asked == byName, knownExtension(name) || byName != ""
}

// TakesHead is TakesName by a file's first bytes.
func TakesHead(head []byte, name string, asked format.Name) bool {
	found := Sniff(head, name)
	return found != "" && asked == "" || found == "" && asked != ""
}

// schemeError says that no store has a scheme. Only the scheme is printed: the rest may
// carry a password.
func schemeError(scheme string, stores map[string]Store) error {
	known := slices.Sorted(maps.Keys(stores))
	known = slices.DeleteFunc(known, func(s string) bool { return s == "-" })
	hint := "give a path or file:///path"
	if scheme == "file" {
		return fmt.Errorf("input %q: %w for another machine; %s", scheme+"://", ErrScheme, hint)
	}
	if len(known) > 0 {
		hint = "give a path or a URI of file, " + strings.Join(known, ", ") + nearest.DidYouMean(scheme, append(known, "file"))
	}
	return fmt.Errorf("input %q: %w; %s", scheme+"://", ErrScheme, hint)
}

// listStored lists an input of a store.
func (a Lister) listStored(ctx context.Context, store Store, input string) (l Listing, err error) {
	if by, ok := store.(FormatLister); ok {
		l, err = by.ListFormat(ctx, input, a.Format)
	} else {
		l, err = store.List(ctx, input)
	}
	if err != nil {
		return Listing{}, asInput(err)
	}
	if len(l.Files) == 0 {
		return Listing{}, fmt.Errorf("input of scheme %q: %w", Scheme(input), ErrNoMatch)
	}
	return l, nil
}

// loadStored opens a source's object and takes over what the store says of it.
func (p *pool) loadStored(ctx context.Context, src *source, store Store) error {
	object, err := store.Open(ctx, src.path)
	if err != nil {
		return asInput(err)
	}
	facts := object.Facts()
	src.object = object
	src.info = FileInfo{Path: src.path, Format: facts.Format, Size: facts.Size, ModTime: facts.ModTime, Version: facts.Version}
	if facts.Format != "" {
		return nil
	}
	if b, ok := object.(Beginner); ok && src.first && parquetExtension(src.path) {
		b.Begin()
	}
	if r, ok := object.(Ranged); ok {
		src.info.Format, err = detectRanged(ctx, r, src.path, p.opts.Format)
		return err
	}
	return src.withLocal(ctx, func(path string) error {
		src.info.Format, err = detect(path, src.path, p.opts.Format)
		return err
	})
}

// withLocal lends the object's local file.
func (s *source) withLocal(ctx context.Context, do func(path string) error) error {
	path, done, err := s.object.Local(ctx)
	if err != nil {
		return asInput(err)
	}
	return errors.Join(do(path), asInput(done()))
}

// storedReader gives its object's local file up when it is closed.
type storedReader struct {
	format.Reader

	done func() error
}

// Close closes the reader first.
func (r *storedReader) Close() error { return errors.Join(r.Reader.Close(), r.done()) }

// openStored opens a reader of the object's local file.
func (s *source) openStored(ctx context.Context, opener OpenFunc, opts format.ReadOptions) (format.Reader, error) {
	path, done, err := s.object.Local(ctx)
	if err != nil {
		return nil, err
	}
	opts.Name = s.path
	reader, err := opener(path, opts)
	if err != nil {
		return nil, errors.Join(err, done())
	}
	return &storedReader{Reader: reader, done: done}, nil
}

// OpenBytes opens all bytes of a file of the dataset, as they were read, from the first on.
func (d *Dataset) OpenBytes(ctx context.Context, file int) (io.ReadCloser, error) {
	src := d.files[file]
	if src.object == nil {
		return os.Open(src.path)
	}
	if object, ok := src.ranged().(Streamed); ok {
		return object.Bytes(ctx), nil
	}
	path, done, err := src.object.Local(ctx)
	if err != nil {
		return nil, asInput(err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.Join(asInput(fmt.Errorf("input %q: %w", src.path, err)), done())
	}
	return &storedBytes{File: f, done: done}, nil
}

// storedBytes are those of an object's local file.
type storedBytes struct {
	*os.File

	done func() error
}

// Close gives the local file up.
func (b *storedBytes) Close() error { return errors.Join(b.File.Close(), b.done()) }

// RedactAll is Redact of each.
func RedactAll(inputs []string) []string {
	if inputs == nil {
		return nil
	}
	redacted := make([]string, len(inputs))
	for i, input := range inputs {
		redacted[i] = Redact(input)
	}
	return redacted
}

// CheckName refuses a name of an input or output that may hold a secret, which messages and
// manifests would have; its error wraps secret.ErrGiven, and has nothing of the name. URIs of
// PostgreSQL may hold a password, and are shown without.
func CheckName(place string) error {
	switch query.SchemeOf(place) {
	case query.SchemePostgres, query.SchemePostgreSQL:
		return nil
	}
	return secret.In(place)
}

// queryAt finds the parameter of a database's URI that is a query, and last.
func queryAt(rest string) int {
	first := -1
	for _, begin := range []string{"?query=", "&query="} {
		if i := strings.Index(rest, begin); i >= 0 && (first < 0 || i < first) {
			first = i
		}
	}
	return first
}

// mask stands for a secret in an input's name.
const mask = "xxxxx"

// secretKeys are parts of the names of a URI's parameters whose values are secret.
var secretKeys = []string{"pass", "secret", "token", "key", "sig", "credential", "auth"}

// Redact takes what may be a secret out of an input that is a URI: a password before the
// host, and values of parameters by their names. A path comes back as it is.
func Redact(input string) string {
	if Scheme(input) == "" || input == "-" {
		return input
	}
	scheme, rest, slashes := strings.Cut(input, "://")
	switch query.SchemeOf(input) {
	case query.SchemeSQLite, query.SchemeDuckDB: // files
		return input
	case query.SchemePostgres, query.SchemePostgreSQL:
		if !slashes { // and so nothing in it has its place
			scheme, _, _ = strings.Cut(input, ":")
			return scheme + ":" + mask
		}
		if i := queryAt(rest); i >= 0 { // which may have any character
			return Redact(scheme+"://"+rest[:i]) + rest[i:]
		}
	}
	// The last "@", since people write passwords as they are.
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		user, _, given := strings.Cut(rest[:i], ":")
		if given {
			rest = user + ":" + mask + rest[i:]
		}
	}
	path, query, ok := strings.Cut(rest, "?")
	if !ok {
		return scheme + "://" + rest
	}
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		name, value, given := strings.Cut(pair, "=")
		switch {
		case !given:
		case unescaped(name) == "options":
			pairs[i] = name + "=" + redactOptions(value)
		case isSecretKey(unescaped(name)):
			pairs[i] = name + "=" + mask
		}
	}
	return scheme + "://" + path + "?" + strings.Join(pairs, "&")
}
