package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/procfs"

	"github.com/millrace/millrace/io/blobstore/blobtest"
)

// BenchmarkStores scores 3, 9 and 27 million flights by the GBDT from files into files, and
// from and into a bucket whose server answers after some latency, in turns, each into a new
// place. Of each arm it gives the least and the median of all rounds, in seconds: s by the
// clock; cpu, the program's processor time; others, that of the server and of what delays it,
// which take the same cores; own, the clock without their share of the cores. In "served" the
// server sends the same bytes while files are scored.
//
//	go test ./cmd/millrace -run '^$' -bench Stores -benchtime 5x -timeout 60m
func BenchmarkStores(b *testing.B) {
	for _, copies := range []int{1, 3, 9} {
		b.Run(fmt.Sprintf("rows=%dM", 3*copies), func(b *testing.B) { benchStores(b, copies) })
	}
}

func benchStores(b *testing.B, copies int) {
	b.Helper()
	s := newStoresBench(b, copies)
	const bucketIn, bucketOut = "s3://bucket/in/", "s3://bucket/out"
	localIn, localOut := filepath.Join(s.dir, "in"), filepath.Join(s.dir, "out")
	for b.Loop() {
		s.run("local", localIn, localOut, s.gateway.URL)
		served, stop := context.WithCancel(b.Context())
		ended := make(chan error, 1) // the one outcome
		go func() { ended <- s.fetchAll(served) }()
		s.run("served", localIn, localOut, s.gateway.URL)
		stop()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			b.Fatal(err)
		}
		for _, latency := range []time.Duration{time.Millisecond, 50 * time.Millisecond} {
			endpoint := blobtest.Delay(b, s.gateway.URL, latency)
			s.run(fmt.Sprint("in-", latency), bucketIn, localOut, endpoint)
			s.run(fmt.Sprint("out-", latency), localIn, bucketOut, endpoint)
		}
	}
	b.ReportMetric(0, "ns/op")
	for arm, all := range s.seconds {
		slices.Sort(all)
		b.ReportMetric(all[0], arm+"-least")
		b.ReportMetric(all[len(all)/2], arm+"-median")
	}
}

// storesBench is the flights, in files and in a bucket, and a program to score them.
type storesBench struct {
	*testing.B

	gateway *blobtest.Gateway
	dir     string
	repo    string
	program string
	env     []string
	copies  int // of the flights
	runs    int // so far
	seconds map[string][]float64
}

func newStoresBench(b *testing.B, copies int) *storesBench {
	b.Helper()
	s := &storesBench{B: b, gateway: blobtest.Start(b), dir: b.TempDir(), copies: copies, seconds: map[string][]float64{}}
	var err error
	if s.repo, err = filepath.Abs("../.."); err != nil {
		b.Fatal(err)
	}
	flights := filepath.Join(s.repo, ".data/flights-nulls.parquet")
	if _, err := os.Stat(flights); err != nil {
		b.Skipf("make data: %v", err)
	}
	s.program, s.env = programIn(b, s.dir)
	if err := os.Mkdir(filepath.Join(s.dir, "in"), 0o755); err != nil {
		b.Fatal(err)
	}
	for i := range copies {
		name := fmt.Sprintf("in/flights-%d.parquet", i)
		if err := os.Symlink(flights, filepath.Join(s.dir, name)); err != nil {
			b.Fatal(err)
		}
		s.gateway.PutFile(b, name, flights)
	}
	return s
}

// run scores once.
func (s *storesBench) run(arm, input, output, endpoint string) {
	s.Helper()
	s.runs++
	output = fmt.Sprintf("%s-%d/", output, s.runs)
	cmd := exec.Command(s.program, "score", "--model", filepath.Join(s.repo, "models/reference/flights_gbdt.onnx"), "--nulls", "nan", "--ids", "id",
		"--input", input, "--output", output, "--batch-size", "4096", "--quiet", "--endpoint", endpoint)
	cmd.Env = s.env
	before, started := s.others(), time.Now()
	if said, err := cmd.CombinedOutput(); err != nil {
		s.Fatalf("%v: %s", err, said)
	}
	clock, others := time.Since(started).Seconds(), s.others()-before
	_ = os.RemoveAll(output) // a bucket's is in the server's folder, which goes with the test
	own := clock - others/float64(runtime.GOMAXPROCS(0))
	for name, seconds := range map[string]float64{
		"s": clock, "cpu-s": (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), "others-s": others, "own-s": own,
	} {
		s.seconds[arm+"-"+name] = append(s.seconds[arm+"-"+name], seconds)
	}
}

// others is the processor time so far of the server, and of this process.
func (s *storesBench) others() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		s.Fatal(err)
	}
	server, err := procfs.NewProc(s.gateway.PID)
	if err != nil {
		s.Fatal(err)
	}
	stat, err := server.Stat()
	if err != nil {
		s.Fatal(err)
	}
	return stat.CPUTime() + time.Duration(usage.Utime.Nano()+usage.Stime.Nano()).Seconds()
}

// fetchAll has the server send all objects once, as a run asks for them.
func (s *storesBench) fetchAll(ctx context.Context) error {
	for i := range s.copies {
		key := fmt.Sprintf("in/flights-%d.parquet", i)
		attrs, err := s.gateway.Bucket.Attributes(ctx, key)
		if err != nil {
			return err
		}
		for off := int64(0); off < attrs.Size; off += 4 << 20 {
			r, err := s.gateway.Bucket.NewRangeReader(ctx, key, off, 4<<20, nil)
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, r)
			if err = errors.Join(err, r.Close()); err != nil {
				return err
			}
		}
	}
	return nil
}
