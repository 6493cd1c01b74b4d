package blobstore

import (
	"errors"
	"fmt"
	"strings"
)

// ErrURI says that a URI names no object or prefix of a store.
var ErrURI = errors.New("not a URI of an object store")

// Schemes of the stores, as URIs have them.
const (
	S3    = "s3"
	GS    = "gs"
	Azure = "az"
)

// Schemes are those that OpenBucket knows.
func Schemes() []string { return []string{S3, GS, Azure} }

// Location is a place in a store. Keys are as the store has them: nothing in a URI is
// escaped, and a question mark is one.
type Location struct {
	Scheme string
	Bucket string // of Azure, the container
	Key    string // of an object, or a prefix or pattern of some
}

// ParseURI reads SCHEME://BUCKET/KEY. Its error wraps ErrURI, and has no more of the URI
// than its scheme where that may have a secret in it.
func ParseURI(uri string) (Location, error) {
	scheme, rest, _ := strings.Cut(uri, "://")
	l := Location{Scheme: strings.ToLower(scheme)}
	l.Bucket, l.Key, _ = strings.Cut(rest, "/")
	switch {
	case l.Bucket == "":
		return l, fmt.Errorf("%w: %q: there is no bucket; write %s://BUCKET/KEY", ErrURI, scheme+"://", l.Scheme)
	case strings.ContainsAny(l.Bucket, "@:"):
		return l, fmt.Errorf("%w: %q: neither credentials nor a server belong in it; the first come from the environment (see docs/stores.md), the second from --endpoint", ErrURI, scheme+"://")
	case strings.Trim(l.Bucket, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._$") != "":
		return l, fmt.Errorf("%w: %q: a bucket's name has letters, digits, dots, hyphens and underscores", ErrURI, scheme+"://"+l.Bucket)
	}
	return l, nil
}

// String is the URI.
func (l Location) String() string { return l.Scheme + "://" + l.Bucket + "/" + l.Key }

// of is the location of another key in the same bucket.
func (l Location) of(key string) Location { return Location{l.Scheme, l.Bucket, key} }
