package engine

import (
	"context"
	"os"
	"testing"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
)

// Each stage alone does at least the rows asked for, of the bytes that they
// have, and leaves nothing.
func TestRig(t *testing.T) {
	lib := orttest.Library(t)
	ctx := context.Background()
	live := ort.Live()
	plan, err := NewPlan(ctx, sampleRun(t, "flights_mlp", 1))
	if err != nil {
		t.Fatal(err)
	}
	const held, batch, rows = 10_000, 512, 25_000
	rig, err := NewRig(ctx, plan, lib, held)
	if err != nil {
		t.Fatal(err)
	}
	if rig.Rows() != held {
		t.Errorf("the rig holds %d rows; want %d", rig.Rows(), held)
	}
	dir := t.TempDir()
	full := int64((rows + batch - 1) / batch * batch)
	stages := []struct {
		name    string
		measure func() (Measure, error)
		want    Measure
	}{
		// Spans of 10,000 rows; id is 8 bytes and 32 features 4 each.
		{"read", func() (Measure, error) { return rig.Read(ctx, 2, rows) }, Measure{Rows: 30_000, Bytes: 30_000 * 136}},
		{"assemble", func() (Measure, error) { return rig.Assemble(batch, 2, rows) }, Measure{Rows: full, Bytes: full * 128, BytesCopied: full * 128}},
		{"infer", func() (Measure, error) { return rig.Infer(ctx, batch, 2, 1, rows) }, Measure{Rows: full}},
		{"infer with two threads", func() (Measure, error) { return rig.Infer(ctx, batch, 1, 2, rows) }, Measure{Rows: full}},
		{"infer in larger batches than there are rows", func() (Measure, error) { return rig.Infer(ctx, 1<<20, 2, 1, rows) }, Measure{Rows: 3 * held}},
		{"a row asked for is a batch", func() (Measure, error) { return rig.Infer(ctx, batch, 2, 1, 1) }, Measure{Rows: batch}},
		{"write", func() (Measure, error) { return rig.Write(ctx, dir, batch, rows) }, Measure{Rows: full}},
	}
	for _, s := range stages {
		t.Run(s.name, func(t *testing.T) {
			got, err := s.measure()
			if err != nil {
				t.Fatal(err)
			}
			if got.Elapsed <= 0 || got.CPU <= 0 {
				t.Errorf("took %v, %v of processor time; want more than nothing", got.Elapsed, got.CPU)
			}
			got.Elapsed, got.CPU = 0, 0
			if s.name == "write" {
				if got.Bytes < full { // a prediction takes more than a byte, however compressed
					t.Errorf("wrote %d bytes for %d rows", got.Bytes, full)
				}
				got.Bytes = 0
			}
			if got != s.want {
				t.Errorf("measured %+v; want %+v", got, s.want)
			}
		})
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left in the folder: %v, %v", left, err)
	}
	if err := rig.Close(); err != nil {
		t.Error(err)
	}
	if err := plan.Close(); err != nil {
		t.Error(err)
	}
	if now := ort.Live(); now != live {
		t.Errorf("%+v of ONNX Runtime are live; were %+v", now, live)
	}
}
