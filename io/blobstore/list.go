package blobstore

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"

	"gocloud.dev/blob"
	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
)

// mostObjects bounds a listing, so that a pattern that means a whole lake is found out
// before memory is full.
const mostObjects = 5_000_000

// List implements dataset.Store. A key is an object's, or else stands for all objects
// below it, as a folder; a pattern matches element by element. Only what begins like the
// pattern up to its first wildcard is listed.
func (s *Store) List(ctx context.Context, input string) (dataset.Listing, error) {
	return s.ListFormat(ctx, input, "")
}

// ListFormat implements dataset.FormatLister.
func (s *Store) ListFormat(ctx context.Context, input string, asked format.Name) (dataset.Listing, error) {
	l, err := ParseURI(input)
	if err != nil {
		return dataset.Listing{}, err
	}
	b, err := s.bucket(ctx, l)
	if err != nil {
		return dataset.Listing{}, err
	}
	w := &listing{store: s, bucket: b, at: l, asked: asked}
	if err := w.list(ctx); err != nil {
		return dataset.Listing{}, fmt.Errorf("list %s: %w", l, err)
	}
	slices.Sort(w.Files)
	slices.Sort(w.Skipped)
	if len(w.Files) == 0 {
		if len(w.Skipped) > 0 {
			return dataset.Listing{}, fmt.Errorf("%s: %w: none is of a known format (skipped: %q)", l, dataset.ErrNoMatch, w.Skipped[:min(len(w.Skipped), 5)])
		}
		return dataset.Listing{}, fmt.Errorf("%s: %w", l, dataset.ErrNoMatch)
	}
	return w.Listing, nil
}

// listing is one List under way.
type listing struct {
	dataset.Listing

	store  *Store
	bucket *blob.Bucket
	at     Location
	asked  format.Name
	after  string   // only what comes behind this key is listed, where the store can
	unsure []string // keys whose first bytes say what they are
	table  error    // that a folder is one
}

const wildcards = `*?[\`

// list asks for the object of the key itself and for all that the key may stand for besides
// at the same time; the first is taken where it is there.
func (w *listing) list(ctx context.Context) error {
	if w.at.Key == "" || strings.HasSuffix(w.at.Key, "/") {
		return w.several(ctx)
	}
	several, cancel := context.WithCancel(ctx)
	defer cancel()
	rest := &listing{store: w.store, bucket: w.bucket, at: w.at, asked: w.asked}
	listed := make(chan error, 1) // the one outcome
	go func() { listed <- rest.several(several) }()
	exact, err := w.exact(ctx)
	if statusOf(err) == http.StatusForbidden && !strings.ContainsAny(w.at.Key, wildcards) && w.unlisted(ctx) {
		exact, err = true, nil
	}
	if err != nil || exact {
		cancel()
		<-listed //nolint:errcheck // how that ended is of no interest
		return err
	}
	err = <-listed
	w.Listing = rest.Listing
	return err
}

// several takes what is in a folder, or fits a pattern.
func (w *listing) several(ctx context.Context) error {
	key := w.at.Key
	if !strings.ContainsAny(key, wildcards) {
		if key != "" && !strings.HasSuffix(key, "/") {
			key += "/"
		}
		if err := w.walk(ctx, key, func(o *blob.ListObject) { w.below(o, strings.TrimPrefix(o.Key, key)) }); err != nil {
			return err
		}
		return w.sniff(ctx)
	}
	pattern := strings.Split(key, "/")
	for i, element := range pattern {
		pattern[i] = dataset.Pattern(element)
		if _, err := path.Match(pattern[i], ""); err != nil {
			return fmt.Errorf("%w: %q is no pattern", ErrURI, element)
		}
	}
	prefix := key[:strings.IndexAny(key, wildcards)]
	err := w.walk(ctx, prefix, func(o *blob.ListObject) {
		switch rest, ok := match(pattern, strings.Split(o.Key, "/")); {
		case !ok:
		case len(rest) == 0:
			w.take(o)
		default:
			w.below(o, strings.Join(rest, "/"))
		}
	})
	if err != nil {
		return err
	}
	return w.sniff(ctx)
}

// exact takes the object of the key itself, if there is one. It is the first of all that
// begin like it.
func (w *listing) exact(ctx context.Context) (ok bool, err error) {
	var first []*blob.ListObject
	err = w.store.attempt(ctx, func(ctx context.Context, _ *progress) error {
		var err error
		first, _, err = w.page(ctx, w.at.Key, blob.FirstPageToken, 1)
		return err
	})
	if err != nil || len(first) == 0 || first[0].Key != w.at.Key {
		return false, err
	}
	w.take(first[0])
	return true, nil
}

// unlisted takes the object of the key itself where a bucket may be read and not listed.
func (w *listing) unlisted(ctx context.Context) bool {
	f, err := w.store.look(ctx, w.bucket, w.at)
	if err != nil {
		return false // that nothing may be listed says better what to do
	}
	uri := w.at.String()
	w.Files = append(w.Files, uri)
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	w.store.mu.listed[uri] = f
	return true
}

// page lists some objects, and gives no token where there are no more. An answer that broke off
// may be an io.EOF: it is an error like others.
func (w *listing) page(ctx context.Context, prefix string, token []byte, most int) (page []*blob.ListObject, next []byte, err error) {
	opts := &blob.ListOptions{Prefix: prefix}
	if w.at.Scheme == S3 {
		opts.BeforeList = s3List(prefix, w.after)
	}
	page, next, err = w.bucket.ListPage(ctx, token, most, opts)
	if err != nil {
		return nil, nil, err
	}
	as := map[string]func(*blob.ListObject) (string, bool){S3: s3Key, Azure: azureKey}[w.at.Scheme]
	if as == nil {
		return page, next, nil
	}
	for _, o := range page {
		if key, ok := as(o); ok {
			o.Key = key
		}
	}
	return page, next, nil
}

// walk visits all objects of a prefix.
func (w *listing) walk(ctx context.Context, prefix string, visit func(*blob.ListObject)) error {
	token := blob.FirstPageToken
	for n := 0; len(token) > 0; {
		var page []*blob.ListObject
		var next []byte
		err := w.store.attempt(ctx, func(ctx context.Context, _ *progress) error {
			var err error
			page, next, err = w.page(ctx, prefix, token, 1000)
			return err
		})
		if err != nil {
			return err
		}
		for _, o := range page {
			if !strings.HasSuffix(o.Key, "/") { // a folder's mark
				visit(o)
			}
		}
		if n += len(page); n > mostObjects {
			return fmt.Errorf("%w: it stands for more than %d objects", ErrURI, mostObjects)
		}
		token = next
	}
	return nil
}

// take lists an object, and keeps what is known of it.
func (w *listing) take(o *blob.ListObject) {
	uri := w.at.of(o.Key).String()
	w.Files = append(w.Files, uri)
	w.keep(uri, o)
}

func (w *listing) keep(uri string, o *blob.ListObject) {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	w.store.mu.listed[uri] = foundIn(w.at.Scheme, o)
}

func (w *listing) found(key string) found {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	return w.store.mu.listed[w.at.of(key).String()]
}

// below lists an object in a folder, by the rest of its key from there.
func (w *listing) below(o *blob.ListObject, rest string) {
	if folder, format := dataset.TableOf(o.Key); format != "" && w.table == nil {
		w.table = dataset.TableError(w.at.of(folder).String(), format)
	}
	for element := range strings.SplitSeq(rest, "/") {
		if dataset.Hidden(element) {
			return
		}
	}
	switch takes, known := dataset.TakesName(o.Key, w.asked); {
	case known && takes:
		w.take(o)
		return
	case known:
		w.Skipped = append(w.Skipped, w.at.of(o.Key).String())
		return
	}
	w.keep(w.at.of(o.Key).String(), o)
	w.unsure = append(w.unsure, o.Key)
}

// sniff reads the first bytes of objects whose names say nothing, unless a folder was a table.
func (w *listing) sniff(ctx context.Context) error {
	if w.table != nil {
		return w.table
	}
	is := make([]bool, len(w.unsure))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(w.store.opts.Requests)
	for i, key := range w.unsure {
		group.Go(func() error {
			o := w.store.object(w.at.of(key), w.bucket, w.found(key))
			head, err := o.head(ctx)
			is[i] = dataset.TakesHead(head, key, w.asked)
			return errors.Join(err, o.Close())
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, key := range w.unsure {
		if uri := w.at.of(key).String(); is[i] {
			w.Files = append(w.Files, uri)
		} else {
			w.Skipped = append(w.Skipped, uri)
		}
	}
	return nil
}

// match matches the elements of a pattern with the first of a key's, and gives those that
// are left: of what a folder holds. Wildcards stand for no hidden element, unless their
// own begins like it; ** stands for any number of elements.
func match(pattern, key []string) (rest []string, ok bool) {
	if len(pattern) == 0 || len(pattern) == 1 && pattern[0] == "" { // ends in a slash
		return key, true
	}
	element := pattern[0]
	if element == "**" {
		for i := range key {
			if rest, ok := match(pattern[1:], key[i:]); ok && (len(pattern) > 1 || len(rest) > 0) {
				return rest, true
			}
			if dataset.Hidden(key[i]) {
				return nil, false
			}
		}
		return nil, false
	}
	if len(key) == 0 || strings.ContainsAny(element, wildcards) && dataset.Hidden(key[0]) && key[0][0] != element[0] {
		return nil, false
	}
	if ok, _ := path.Match(element, key[0]); !ok { // its syntax was checked
		return nil, false
	}
	return match(pattern[1:], key[1:])
}
