package batcher

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/batcher/feature"
	"github.com/millrace/millrace/models"
)

// peersDir names the folder with the inputs of the peers' jobs, which
// bench/features/run.py makes; the results are written there too.
const peersDir = "MILLRACE_FEATURES_DIR"

// make bench-features
//
// The jobs of bench/features: a pass over all rows of a file that is in memory, in
// batches of 4,096 rows; seconds is the least processor time of all passes.
func BenchmarkPeersFeatures(b *testing.B) {
	dir := os.Getenv(peersDir)
	if dir == "" {
		b.Skip(peersDir + " is not set; see bench/features")
	}
	for job, specs := range map[string]func(b *testing.B, dir string) []feature.Feature{
		"scale": scaleJob, "onehot": oneHotJob, "map": mapJob, "hash": hashJob, "datetime": dateTimeJob,
	} {
		b.Run("job="+job, func(b *testing.B) {
			record := readRecord(b, filepath.Join(dir, job+".arrow"))
			defer record.Release()
			a := featuresAssembler(b, models.Float32, record.Schema(), specs(b, dir))
			var batches []*Batch
			for at := 0; at < int(record.NumRows()); at += benchRows {
				segment := Segment{Record: record, From: at, Rows: min(benchRows, int(record.NumRows())-at)}
				batches = append(batches, &Batch{Rows: segment.Rows, Segments: []Segment{segment}})
			}
			out, err := os.Create(filepath.Join(dir, job+".millrace"))
			if err != nil {
				b.Fatal(err)
			}
			defer out.Close()
			for _, batch := range batches {
				tensors, err := a.Assemble(batch)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := out.Write(tensors.Inputs[0].Data); err != nil {
					b.Fatal(err)
				}
			}
			least := time.Hour
			for b.Loop() {
				start := processorTime(b)
				for _, batch := range batches {
					if _, err := a.Assemble(batch); err != nil {
						b.Fatal(err)
					}
				}
				least = min(least, processorTime(b)-start)
			}
			b.ReportMetric(least.Seconds(), "seconds")
		})
	}
}

// processorTime is the process's own, user's and system's.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var use unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// readRecord reads the only record batch of a file into memory.
func readRecord(b *testing.B, path string) arrow.RecordBatch {
	b.Helper()
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	r, err := ipc.NewFileReader(f)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	if n := r.NumRecords(); n != 1 {
		b.Fatalf("%s has %d record batches; want 1", path, n)
	}
	record, err := r.RecordBatch(0)
	if err != nil {
		b.Fatal(err)
	}
	record.Retain()
	return record
}

func scaleJob(b *testing.B, dir string) (specs []feature.Feature) {
	b.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "scale.json"))
	if err != nil {
		b.Fatal(err)
	}
	var columns []struct {
		Name                       string
		Fill, Low, High, Mean, Std float64
	}
	if err := json.Unmarshal(data, &columns); err != nil {
		b.Fatal(err)
	}
	for _, c := range columns {
		fill := feature.NumberOf(c.Fill)
		specs = append(specs, feature.Feature{Column: c.Name, Transforms: []feature.Step{
			{Fill: &fill}, {Clip: &feature.Clip{Min: &c.Low, Max: &c.High}}, {Scale: &feature.Scale{Mean: &c.Mean, Std: &c.Std}},
		}})
	}
	return specs
}

func oneHotJob(b *testing.B, _ string) []feature.Feature {
	b.Helper()
	onehot := feature.OneHot{Unknown: feature.UnknownZeros}
	for i := range 300 {
		onehot.Categories = append(onehot.Categories, feature.Category{feature.TextOf(fmt.Sprintf("c%03d", i))})
	}
	return []feature.Feature{{Column: "c", Transforms: []feature.Step{{OneHot: &onehot}}}}
}

func mapJob(*testing.B, string) []feature.Feature {
	m := &feature.Map{Values: map[string]float64{}}
	for i := range 200_000 {
		m.Values[fmt.Sprintf("customer %06d", i)] = float64(i) / 64
	}
	return []feature.Feature{{Column: "c", Transforms: []feature.Step{{Map: m}}}}
}

func hashJob(*testing.B, string) []feature.Feature {
	return []feature.Feature{{Column: "c", Transforms: []feature.Step{{Hash: &feature.Hash{Buckets: 4096}}}}}
}

func dateTimeJob(*testing.B, string) (specs []feature.Feature) {
	const zone = "America/New_York"
	for _, part := range []feature.TimePart{
		feature.Year, feature.Month, feature.Day, feature.DayOfYear, feature.Weekday, feature.Hour, feature.Minute,
	} {
		specs = append(specs, feature.Feature{Name: string(part), Column: "t", Transforms: []feature.Step{{DateTime: &feature.DateTime{Part: part, Zone: zone}}}})
	}
	for _, part := range []feature.TimePart{feature.Hour, feature.DayOfYear} {
		specs = append(specs, feature.Feature{
			Name: "circle of " + string(part), Column: "t",
			Transforms: []feature.Step{{DateTime: &feature.DateTime{Part: part, Zone: zone, Cyclic: feature.CyclicBoth}}},
		})
	}
	return specs
}
