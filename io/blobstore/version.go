package blobstore

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/storage"
	azblobblob "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"gocloud.dev/blob"

	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
)

// found is what a listing says of an object.
type found struct {
	size    int64
	modTime time.Time
	version string
	byTime  bool   // version is the time, which no request can be conditional on
	md5     []byte // of the bytes, as the store says; empty where it does not
}

func (f *found) facts() dataset.Facts {
	return dataset.Facts{Size: f.size, ModTime: f.modTime, Version: f.version}
}

// foundIn takes it out of a listing.
func foundIn(scheme string, o *blob.ListObject) found {
	f := found{size: o.Size, modTime: o.ModTime, md5: o.MD5}
	switch scheme {
	case S3:
		f.version = s3Version(o)
	case GS:
		f.version = gsVersion(o)
	case Azure:
		f.version = azureVersion(o)
	}
	return f.known()
}

// foundBy is what a store says of an object that it is asked for.
func foundBy(scheme string, a *blob.Attributes) found {
	f := found{size: a.Size, modTime: a.ModTime, version: a.ETag, md5: a.MD5}
	switch scheme {
	case GS:
		var attrs storage.ObjectAttrs
		if a.As(&attrs) {
			f.version = strconv.FormatInt(attrs.Generation, 10)
		}
	case S3:
		var out s3.HeadObjectOutput
		if !a.As(&out) { // another driver, whose requests are not conditional
			f.version = ""
		}
	case Azure:
	default:
		f.version = ""
	}
	return f.known()
}

// known takes the quotes off a version. Without one, the time of change stands for it.
func (f found) known() found {
	if f.version = strings.Trim(f.version, `"`); f.version == "" {
		f.version, f.byTime = f.modTime.UTC().Format(time.RFC3339Nano), true
	}
	return f
}

// errNoCondition says that a driver is not the one of its scheme.
var errNoCondition = fmt.Errorf("%w: a request cannot say which version it is for", ErrOptions)

// ifVersion are the options of a request that only the version first seen may answer.
func (f *found) ifVersion(l Location) *blob.ReaderOptions {
	if f.byTime {
		return nil
	}
	return &blob.ReaderOptions{BeforeRead: func(as func(any) bool) error {
		ok := true
		switch l.Scheme {
		case S3:
			ok = s3IfVersion(as, l.Key, f.version)
		case GS:
			ok = gsIfVersion(as, f.version)
		case Azure:
			ok = azureIfVersion(as, f.version)
		}
		if !ok {
			return errNoCondition
		}
		return nil
	}}
}

// errAnswer says that a store answered something else than was asked for.
var errAnswer = errors.New("the store answered with other bytes than it was asked for")

// check compares an answer's headers with what was asked for: a server, or what stands
// before it, may know neither conditions nor ranges.
func (f *found) check(scheme string, r *blob.Reader, off int64) error {
	version, rangeText := f.version, fmt.Sprintf("bytes %d-", off)    // of a driver that says neither
	if at := r.ModTime(); f.byTime && at.Unix() != f.modTime.Unix() { // headers have seconds
		return fmt.Errorf("%w: it was written at %s", format.ErrChanged, at.UTC().Format(time.RFC3339))
	}
	switch scheme {
	case S3:
		var out s3.GetObjectOutput
		if r.As(&out) {
			version, rangeText = aws.ToString(out.ETag), aws.ToString(out.ContentRange)
		}
	case GS:
		var out *storage.Reader
		if r.As(&out) {
			rangeText = fmt.Sprintf("bytes %d-", out.Attrs.StartOffset)
			if out.Attrs.Generation != 0 {
				version = strconv.FormatInt(out.Attrs.Generation, 10)
			}
		}
	case Azure:
		var out azblobblob.DownloadStreamResponse
		if r.As(&out) {
			if out.ETag != nil {
				version = strings.Trim(string(*out.ETag), `"`)
			}
			rangeText = aws.ToString(out.ContentRange)
		}
	}
	switch {
	case !f.byTime && version == "":
		return fmt.Errorf("%w: an answer that names no version of the object", errAnswer)
	case !f.byTime && strings.Trim(version, `"`) != f.version:
		return fmt.Errorf("%w: its version is %s, and was %s", format.ErrChanged, version, f.version)
	case r.Size() != f.size:
		return fmt.Errorf("%w: an object of %d bytes in place of %d", errAnswer, r.Size(), f.size)
	case rangeText == "" && off == 0: // the whole of it
		return nil
	case !strings.HasPrefix(rangeText, fmt.Sprintf("bytes %d-", off)):
		return fmt.Errorf("%w: %q in place of those from %d on", errAnswer, oneLine(rangeText), off)
	}
	return nil
}

// changed words the refusal of a condition, and that an object is gone.
func changed(l Location, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, format.ErrChanged):
		return fmt.Errorf("%s: %w", l, err)
	case unmet(err):
		return fmt.Errorf("%s: %w: another object stands in its place", l, format.ErrChanged)
	case gone(err):
		return fmt.Errorf("%s: %w: it is gone", l, format.ErrChanged)
	case statusOf(err) == http.StatusRequestedRangeNotSatisfiable: // of a server that knows no conditions
		return fmt.Errorf("%s: %w: it has fewer bytes than it had", l, format.ErrChanged)
	}
	return fmt.Errorf("%s: %w", l, err)
}
