package main

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/millrace/millrace/io/blobstore/blobtest"
)

// TestKilledInStore kills runs into a bucket at random moments, most by SIGKILL, until as
// many were killed as there are to be; each is started again until it publishes. Parts are
// large enough to be uploaded in pieces. After each start that publishes, the objects are a
// local output's, and nothing is left: no upload, no staged object.
func TestKilledInStore(t *testing.T) {
	slow(t)
	g := blobtest.Start(t)
	s, repo := bareSoak(t, "testdata/flights-sample.parquet")
	s.args = []string{
		"score", "--model", filepath.Join(repo, "models/reference/flights_gbdt.onnx"), "--nulls", "reject", "--ids", "id",
		"--part-rows", "250000", "--output-format", "arrow", "--json", "--endpoint", g.URL, "--grace", "0s",
	}
	for _, column := range []string{"month", "day", "weekday", "distance", "network_mean_delay_1d", "origin_flights_7d", "origin_mean_delay_1d", "dest_flights_7d", "route_mean_delay_28d", "day_of_year", "hour", "minute_of_day", "minute_sin", "minute_cos", "weekday_sin", "weekday_cos", "is_weekend", "log_distance", "network_late_share_1d", "origin_flights_today", "delay"} {
		s.args = append(s.args, "--keep", column)
	}
	for i := range soakFiles {
		s.args = append(s.args, "--input", s.input(i))
	}
	s.whole(t)
	uploads := 0 // that killed runs left
	for kills, outputs := 0, 0; kills < soakRuns(t); outputs++ {
		out := "s3://bucket/" + filepath.Join(t.Name(), string(rune('a'+outputs%26)), time.Now().Format("150405.000"))
		folder := filepath.Join(g.Dir, strings.TrimPrefix(out, "s3://"))
		for start := 1; ; start++ {
			before := unfinishedUploads(t, g) // a start that is told to stop at once may not have come to those
			p := s.start(out)
			timer := time.AfterFunc(time.Duration(s.random.Int64N(int64(2*s.took))), func() {
				signal := syscall.SIGKILL
				if s.random.IntN(4) == 0 {
					signal = syscall.SIGTERM
				}
				_ = p.cmd.Process.Signal(signal) // it may be over
			})
			code, text := p.wait(t)
			if timer.Stop(); code == 0 {
				break
			}
			if code != -1 && code != 75 {
				t.Fatalf("start %d into %s exits %d: %s", start, out, code, text)
			}
			kills++
			left := unfinishedUploads(t, g)
			if code == 75 && left > before {
				t.Errorf("%d uploads are left by a run that was told to stop, and %d were there before: %s", left, before, text)
			}
			uploads += max(left-before, 0)
		}
		got := readFileset(t, folder)
		maps.DeleteFunc(got, func(name, _ string) bool { return strings.HasPrefix(name, "_millrace/log/") })
		if !maps.Equal(got, s.want) {
			t.Errorf("%s has %v; want %v", out, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(s.want)))
		}
		if left := unfinishedUploads(t, g); left > 0 {
			t.Errorf("%s: %d uploads are left", out, left)
		}
	}
	t.Logf("%d uploads were left by killed runs, and found", uploads)
}

// unfinishedUploads counts those of the test's bucket.
func unfinishedUploads(t *testing.T, g *blobtest.Gateway) int {
	t.Helper()
	var client *s3.Client
	if !g.Bucket.As(&client) {
		t.Fatal("the bucket is not of S3")
	}
	bucket := "bucket"
	page, err := client.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &bucket})
	if err != nil {
		t.Fatal(err)
	}
	return len(page.Uploads)
}
