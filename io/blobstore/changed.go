package blobstore

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"

	"gocloud.dev/blob"
	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/io/dataset"
)

const (
	// pageObjects is how many objects a page of a listing has.
	pageObjects = 1000
	// relistedAtLeast and relistedAtMost are of how many objects in a row pages are asked for,
	// in place of each of them.
	relistedAtLeast = 8
	relistedAtMost  = 900
	// relistedPages is how many pages that are at most, where others lie between them.
	relistedPages = 3
)

var _ dataset.Rechecker = (*Store)(nil)

// ChangedAll implements dataset.Rechecker: it asks for pages of listings, and then about each
// object whose version those do not confirm.
func (s *Store) ChangedAll(all []dataset.Object) []error {
	errs := make([]error, len(all))
	same := s.confirm(all)
	var group errgroup.Group
	group.SetLimit(s.opts.Requests)
	for i, o := range all {
		if !same[o] {
			group.Go(func() error {
				errs[i] = o.Changed()
				return nil
			})
		}
	}
	_ = group.Wait() // the goroutines report through errs
	return errs
}

// confirm finds objects by listings that are as they were. That one is not among them says
// nothing.
func (s *Store) confirm(all []dataset.Object) map[dataset.Object]bool {
	var ours []*object
	for _, one := range all {
		if o, ok := one.(*object); ok {
			ours = append(ours, o)
		}
	}
	slices.SortFunc(ours, func(a, b *object) int {
		return cmp.Or(strings.Compare(bucketOf(a), bucketOf(b)), strings.Compare(a.at.Key, b.at.Key))
	})
	same := map[dataset.Object]bool{}
	var mu sync.Mutex
	var group errgroup.Group
	for len(ours) > 0 {
		n := 1
		for n < min(len(ours), relistedAtMost) && bucketOf(ours[n]) == bucketOf(ours[0]) {
			n++
		}
		run := ours[:n]
		ours = ours[n:]
		if n < relistedAtLeast {
			continue
		}
		group.Go(func() error {
			found := s.relist(run)
			mu.Lock()
			defer mu.Unlock()
			for _, o := range run {
				f, ok := found[o.at.Key]
				same[o] = ok && f.version == o.found.version && f.size == o.found.size
			}
			return nil
		})
	}
	_ = group.Wait() // what could not be listed is asked for
	return same
}

// bucketOf is where an object lies.
func bucketOf(o *object) string { return o.at.of("").String() }

// relist lists what lies where some objects do, which are sorted: all of them where they lie
// close together, and else some.
func (s *Store) relist(run []*object) map[string]found {
	first, last := run[0], run[len(run)-1]
	prefix := commonPrefix(first.at.Key, last.at.Key)
	w := &listing{store: s, bucket: first.bucket, at: first.at, after: justBefore(first.at.Key)}
	all := map[string]found{}
	token := blob.FirstPageToken
	for range relistedPages {
		var page []*blob.ListObject
		err := s.attempt(first.life, func(ctx context.Context, _ *progress) (err error) {
			page, token, err = w.page(ctx, prefix, token, pageObjects)
			return err
		})
		if err != nil {
			return all
		}
		for _, o := range page {
			all[o.Key] = foundIn(first.at.Scheme, o)
		}
		if len(token) == 0 || len(page) == 0 || page[len(page)-1].Key >= last.at.Key {
			break
		}
	}
	return all
}

// commonPrefix is what two keys begin with, up to a slash.
func commonPrefix(a, b string) string {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return a[:strings.LastIndexByte(a[:n], '/')+1]
}

// justBefore is a key before another, with little between them.
func justBefore(key string) string {
	runes := []rune(key)
	return string(runes[:len(runes)-1])
}
