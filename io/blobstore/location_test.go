package blobstore

import (
	"errors"
	"strings"
	"testing"
)

func TestParseURI(t *testing.T) {
	for _, c := range []struct {
		name, uri string
		want      Location
	}{
		{"an object", "s3://bucket/a/b.parquet", Location{S3, "bucket", "a/b.parquet"}},
		{"the scheme in capitals", "S3://bucket/a", Location{S3, "bucket", "a"}},
		{"a bucket alone", "gs://bucket.of_mine", Location{GS, "bucket.of_mine", ""}},
		{"a key as it is, with what URLs escape", "az://$root/a b?%20#c//d=1/*", Location{Azure, "$root", "a b?%20#c//d=1/*"}},
	} {
		if got, err := ParseURI(c.uri); got != c.want || err != nil {
			t.Errorf("%s: ParseURI(%q) = %+v, %v; want %+v", c.name, c.uri, got, err, c.want)
		}
	}
	for name, uri := range map[string]string{
		"no bucket":              "s3:///key",
		"credentials":            "s3://AKIA:secret@bucket/key",
		"a server":               "s3://secret:9000/key",
		"a space in the bucket":  "s3://buc ket/key",
		"a pattern in the place": "s3://buc*/secret",
	} {
		if _, err := ParseURI(uri); !errors.Is(err, ErrURI) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: ParseURI(%q) = %v; want ErrURI without the secret", name, uri, err)
		}
	}
}

func TestOptionsAreValidated(t *testing.T) {
	for name, o := range map[string]Options{
		"an endpoint without a scheme":    {Endpoint: "localhost:9000", Attempts: 1},
		"an endpoint with a password":     {Endpoint: "http://me:secret@host", Attempts: 1},
		"an endpoint with a signature":    {Endpoint: "http://host?sig=secret", Attempts: 1},
		"attempts that are fewer than 1":  {Attempts: -1},
		"an endpoint of another protocol": {Endpoint: "ftp://host", Attempts: 1},
	} {
		if _, err := OpenBucket(t.Context(), Location{S3, "b", ""}, o); !errors.Is(err, ErrOptions) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: OpenBucket() = %v; want ErrOptions without the secret", name, err)
		}
	}
}
