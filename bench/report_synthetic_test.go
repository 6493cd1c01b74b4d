package bench

import (
	"bytes"
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write testdata again")

// synthetic is a machine as the made records have it. The numbers are invented,
// in the range of real ones: a model of 100 trees on 32 columns of Parquet.
type synthetic struct {
	id      string
	machine Machine
	price   float64
	started time.Time
	commit  string
	seed    uint64
	// CPU seconds per row of each stage on this machine, at its best settings.
	read, assemble, infer, write float64
	watts                        float64
}

var (
	syntheticSmall = synthetic{
		id: "20261120T091500-small", seed: 1, started: time.Date(2026, 11, 20, 9, 15, 0, 0, time.UTC),
		machine: Machine{
			Name: "m7i.large", CPU: "Intel(R) Xeon(R) Platinum 8488C", Arch: "amd64", Cores: 2, CoresOnline: 2,
			CPUFeatures: []string{"avx2", "avx512f"}, L1Bytes: 48 << 10, L2Bytes: 2 << 20, L3Bytes: 105 << 20,
			MemoryBytes: 8 << 30, Kernel: "6.12.8",
		},
		price: 0.1008, commit: "4f1d2c9a77e0b8d6c5a4938271605f4e3d2c1b0a",
		read: 98e-9, assemble: 21e-9, infer: 1450e-9, write: 34e-9,
	}
	syntheticLarge = synthetic{
		id: "20261120T103000-large", seed: 2, started: time.Date(2026, 11, 20, 10, 30, 0, 0, time.UTC),
		machine: Machine{
			Name: "on-prem EPYC", CPU: "AMD EPYC 9375F 32-Core Processor", Arch: "amd64", Cores: 8, CoresOnline: 64,
			CPUFeatures: []string{"avx2", "avx512f", "avx512vnni"}, L1Bytes: 48 << 10, L2Bytes: 1 << 20, L3Bytes: 256 << 20,
			MemoryBytes: 32 << 30, Kernel: "6.12.8", PowerSource: "rapl",
		},
		price: 0.31, commit: "4f1d2c9a77e0b8d6c5a4938271605f4e3d2c1b0a",
		read: 71e-9, assemble: 15e-9, infer: 905e-9, write: 26e-9, watts: 11.5,
	}
)

// records writes the records of a whole measurement.
func (m *synthetic) records(tb testing.TB, w *bytes.Buffer) {
	tb.Helper()
	noise := rand.New(rand.NewPCG(m.seed, 7))
	cores := m.machine.Cores
	out, err := NewWriter(w, m.id, &Head{
		Started: m.started,
		Command: []string{"millrace", "bench", "--model", "flights_gbdt.onnx", "--input", "flights wide.parquet", "--nulls", "nan", "--output", "results.jsonl"},
		Machine: m.machine, PricePerHour: m.price,
		Versions: Versions{Millrace: "v0.3.0", Commit: m.commit, Go: "go1.26.0", ORT: "1.31.1", Kernels: "avx512"},
		Model:    Model{Name: "flights_gbdt.onnx", SHA256: "9b1d7c3e5f20418aa6c4e8d2b09f13577c6a4e21d8b3f5907e1c2a4d6b8f0e13", Bytes: 713_216},
		Data:     Data{Source: "input", Format: "parquet", Files: 1, Rows: 3_000_000, Bytes: 301_989_888, Columns: 34, SHA256: "51c0ffee51c0ffee51c0ffee51c0ffee51c0ffee51c0ffee51c0ffee51c0ffee"},
	})
	if err != nil {
		tb.Fatal(err)
	}
	const rows = 3_000_000
	repeat := func(stage Stage, arm Arm, times int, cpuPerRow float64, busyCores float64, more func(r *Repeat)) {
		for i := range times + 1 {
			spread := math.Exp(0.006 * noise.NormFloat64())
			if i == 0 {
				spread *= 1.06 // caches are cold
			} else if noise.Float64() < 0.06 {
				spread *= 1.035 // a neighbour
			}
			cpu := cpuPerRow * rows * (1 + (spread-1)*0.6)
			r := &Repeat{Stage: stage, Arm: arm, Index: i, Warmup: i == 0, Rows: rows, Seconds: cpuPerRow * rows * spread / busyCores, CPUSeconds: cpu}
			if m.watts > 0 {
				r.Joules = r.Seconds * m.watts * (4 + float64(cores)*0.8) / 2
			}
			if more(r); r.PeakMemoryBytes > 0 {
				r.PeakMemoryBytes += int64(noise.IntN(3 << 20))
			}
			if err := out.Repeat(r); err != nil {
				tb.Fatal(err)
			}
		}
	}
	// perRow is what inference costs with batches of n: a fixed cost of a Run, and
	// a cache that large batches spill from.
	perRow := func(n int) float64 {
		return m.infer * (1 + 22/float64(n) + 0.055*math.Max(0, math.Log2(float64(n)/8192)))
	}
	memory := func(n, workers int) int64 { return 92<<20 + int64(n*workers)*560 }
	all := Arm{Provider: "cpu", BatchRows: 8192, Workers: cores, IntraOpThreads: 1}
	c := float64(cores)
	repeat(StageRead, all, 7, m.read, 0.96*c, func(r *Repeat) { r.BytesRead, r.PeakMemoryBytes = rows*142, 71<<20 })
	repeat(StageAssemble, all, 7, m.assemble, 0.99*c, func(r *Repeat) { r.BytesCopied, r.PeakMemoryBytes = rows*128, 64<<20 })
	repeat(StageWrite, all, 7, m.write, 1, func(r *Repeat) { r.BytesWritten, r.PeakMemoryBytes = rows*12, 58<<20 })
	batches := []int{64, 256, 1024, 4096, 8192, 16384, 65536}
	for _, n := range batches {
		for _, w := range []Arm{{"cpu", n, 1, 1}, {"cpu", n, 1, cores}, {"cpu", n, cores, 1}} {
			used, waste := float64(w.Workers), 1.0
			if w.IntraOpThreads > 1 {
				used, waste = 0.82*c, 1.15+2.2/math.Log2(float64(n))
			}
			if n == 64 && w.IntraOpThreads > 1 {
				repeat(StageInfer, w, 1, perRow(n)*waste, used, func(*Repeat) {})
				if err := out.Stop(&Stop{Stage: StageInfer, Arm: w, After: 1, Reason: "2.1 times slower than the best so far"}); err != nil {
					tb.Fatal(err)
				}
				continue
			}
			repeat(StageInfer, w, 5, perRow(n)*waste, used*0.985, func(r *Repeat) { r.PeakMemoryBytes = memory(n, w.Workers) - 30<<20 })
		}
	}
	endToEnd := func(arm Arm, chosen bool, times int) {
		whole := m.read + m.assemble + perRow(arm.BatchRows)*1.012 + m.write
		repeat(StageEndToEnd, arm, times, whole, 0.972*c, func(r *Repeat) {
			r.Chosen = chosen
			r.BytesRead, r.BytesCopied, r.BytesWritten = rows*142, rows*128, rows*12
			r.PeakMemoryBytes = memory(arm.BatchRows, arm.Workers) + 44<<20
			r.StageSeconds = map[Stage]float64{
				StageRead: m.read * rows * 1.04, StageAssemble: m.assemble * rows * 1.1,
				StageInfer: perRow(arm.BatchRows) * rows * 1.012, StageWrite: m.write * rows,
			}
		})
	}
	for _, n := range batches {
		endToEnd(Arm{"cpu", n, cores, 1}, false, 5)
	}
	endToEnd(Arm{"cpu", 4096, cores, 1}, true, 10)
}

// twoMachines are the made records, read from testdata: the generator's floating
// point is not the same to the last bit on every processor.
func twoMachines(tb testing.TB) []*Bench {
	tb.Helper()
	path := filepath.Join("testdata", "two-machines.jsonl")
	if *update {
		var w bytes.Buffer
		syntheticSmall.records(tb, &w)
		syntheticLarge.records(tb, &w)
		if err := os.WriteFile(path, w.Bytes(), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return mustRead(tb, data)
}

// withExported is the first of the made measurements with the model as exported,
// at a share of inference alone, in three of the rounds.
func withExported(tb testing.TB, share float64) *Bench {
	tb.Helper()
	b := twoMachines(tb)[0]
	b.Head.Rewrites = []string{`TreeEnsembleRegressor of "output" (200 trees, 12600 leaves) runs on millrace's kernel`}
	arm := Arm{Provider: "cpu", BatchRows: 8192, Workers: 2, IntraOpThreads: 1}
	for i, index := range []int{0, 1, 5, 9} {
		rate := 1.36e6 * share * (1 + 0.01*float64(i))
		b.Repeats = append(b.Repeats, Repeat{
			Stage: StageInferExported, Arm: arm, Index: index, Warmup: i == 0, Rows: 3_000_000, Seconds: 3e6 / rate, CPUSeconds: 6e6 / rate,
		})
	}
	return b
}

func mustRead(tb testing.TB, data []byte) []*Bench {
	tb.Helper()
	all, err := ReadRecords(bytes.NewReader(data))
	if err != nil {
		tb.Fatal(err)
	}
	return all
}

// golden compares got with the file in testdata, or writes it with -update.
func golden(tb testing.TB, name string, got []byte) {
	tb.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			tb.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		tb.Errorf("%s differs; look at it with -update and git diff. Got:\n%s", path, got)
	}
}
