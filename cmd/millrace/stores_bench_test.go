package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace/io/blobstore/blobtest"
)

// BenchmarkStores scores flights by the GBDT from files into files, and from and into a
// bucket whose server answers after some latency, in turns; medians of rounds, in seconds
// by the clock, and of the program's processor time: the server and the proxy before it
// take the same cores.
//
//	go test ./cmd/millrace -run '^$' -bench Stores -benchtime 5x -timeout 30m
func BenchmarkStores(b *testing.B) {
	const copies = 4
	gateway := blobtest.Start(b)
	repo, err := filepath.Abs("../..")
	if err != nil {
		b.Fatal(err)
	}
	flights := filepath.Join(repo, ".data/flights-nulls.parquet")
	if _, err := os.Stat(flights); err != nil {
		b.Skipf("make data: %v", err)
	}
	dir := b.TempDir()
	program, env := programIn(b, dir)
	local := filepath.Join(dir, "in")
	if err := os.Mkdir(local, 0o755); err != nil {
		b.Fatal(err)
	}
	for i := range copies {
		name := fmt.Sprintf("flights-%d.parquet", i)
		if err := os.Symlink(flights, filepath.Join(local, name)); err != nil {
			b.Fatal(err)
		}
		gateway.PutFile(b, "in/"+name, flights)
	}
	seconds := map[string][]float64{}
	run := func(arm, input, output, endpoint string) {
		cmd := exec.Command(program, "score", "--model", filepath.Join(repo, "models/reference/flights_gbdt.onnx"), "--nulls", "nan", "--ids", "id",
			"--input", input, "--output", output, "--if-exists", "replace", "--restart", "--batch-size", "4096", "--quiet", "--endpoint", endpoint)
		cmd.Env = env
		started := time.Now()
		if said, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, said)
		}
		seconds[arm+"-s"] = append(seconds[arm+"-s"], time.Since(started).Seconds())
		seconds[arm+"-cpu-s"] = append(seconds[arm+"-cpu-s"], (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds())
	}
	const bucketIn, bucketOut = "s3://bucket/in/", "s3://bucket/out/"
	localOut := filepath.Join(dir, "out")
	for b.Loop() {
		run("local", local, localOut, gateway.URL)
		for _, latency := range []time.Duration{0, time.Millisecond, 50 * time.Millisecond} {
			proxy := blobtest.NewProxy(b, gateway.URL)
			proxy.Set(latency, nil)
			run(fmt.Sprint("in-", latency), bucketIn, localOut, proxy.URL)
			run(fmt.Sprint("out-", latency), local, bucketOut, proxy.URL)
		}
	}
	b.ReportMetric(0, "ns/op")
	for arm, all := range seconds {
		slices.Sort(all)
		b.ReportMetric(all[len(all)/2], arm)
	}
}
