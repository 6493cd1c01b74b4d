package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/millrace/millrace/batcher"
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
		{"infer as exported", func() (Measure, error) { return rig.InferExported(ctx, batch, 2, 1, rows) }, Measure{Rows: full}},
		{"infer as exported with two threads", func() (Measure, error) { return rig.InferExported(ctx, batch, 1, 2, rows) }, Measure{Rows: full}},
		{"infer again, in other batches", func() (Measure, error) { return rig.Infer(ctx, 2*batch, 2, 2, 1) }, Measure{Rows: 2 * batch}},
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

// Rows that the run would leave out keep no stage from being measured.
// A rig that is interrupted while it reads says by what.
func TestRigInterrupted(t *testing.T) {
	lib := orttest.Library(t)
	plan, err := NewPlan(context.Background(), sampleRun(t, "flights_linear", 1))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(ErrInterrupted)
	if _, err := NewRig(ctx, plan, lib, 200); !errors.Is(err, ErrInterrupted) {
		t.Errorf("a rig whose context ended = %v; want its cause", err)
	}
	if err := plan.Close(); err != nil {
		t.Error(err)
	}
}

func TestRigWritesManyFiles(t *testing.T) {
	lib, ctx := orttest.Library(t), context.Background()
	for about, set := range map[string]func(*Options){
		"files of a size":          func(o *Options) { o.TargetFileBytes = 10_000 },
		"folders":                  func(o *Options) { o.PartitionBy = []string{"id"} },
		"folders, files of a size": func(o *Options) { o.PartitionBy, o.TargetFileBytes = []string{"id"}, 10_000 },
	} {
		opts := sampleRun(t, "flights_linear", 1)
		set(&opts)
		plan, err := NewPlan(ctx, opts)
		if err != nil {
			t.Fatal(err)
		}
		rig, err := NewRig(ctx, plan, lib, 200)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if got, err := rig.Write(ctx, dir, 100, 200); err != nil || got.Rows != 200 || got.Bytes < 200 {
			t.Errorf("%s: wrote %+v, %v; want 200 rows", about, got, err)
		}
		if err := errors.Join(rig.Close(), plan.Close()); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s: %v is left, %v; want nothing", about, left, err)
		}
	}
}

func TestRigOfBadRows(t *testing.T) {
	lib := orttest.Library(t)
	ctx := context.Background()
	opts := sampleRun(t, "flights_mlp", 1)
	opts.Nulls.Default = batcher.NullPolicy{} // an error, and the first rows have some
	opts.OnBadRow = BadReject
	plan, err := NewPlan(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	rig, err := NewRig(ctx, plan, lib, 5000)
	if err != nil {
		t.Fatal(err)
	}
	for stage, measure := range map[string]func() (Measure, error){
		"assemble": func() (Measure, error) { return rig.Assemble(512, 2, 5000) },
		"infer":    func() (Measure, error) { return rig.Infer(ctx, 512, 2, 1, 5000) },
		"write":    func() (Measure, error) { return rig.Write(ctx, t.TempDir(), 512, 5000) },
	} {
		if _, err := measure(); err != nil {
			t.Errorf("%s: %v", stage, err)
		}
	}
	if err := errors.Join(rig.Close(), plan.Close()); err != nil {
		t.Error(err)
	}
}

// LightGBM's exporter declares one label for any number of rows, and ONNX Runtime holds
// memory of ours to that: such an output it allocates, and the others lie in ours.
func TestRigInferOfMisdeclaredOutputs(t *testing.T) {
	lib := orttest.Library(t)
	ctx := t.Context()
	opts := sampleRun(t, "", 1)
	opts.Model = filepath.Join("..", "models", "testdata", "lgb-two.onnx")
	opts.Features = []string{"distance", "month", "hour"}
	plan, err := NewPlan(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := plan.Close(); err != nil {
			t.Error(err)
		}
	}()
	rig, err := NewRig(ctx, plan, lib, 1024)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := rig.Close(); err != nil {
			t.Error(err)
		}
	}()
	for name, infer := range map[string]func(context.Context, int, int, int, int64) (Measure, error){"Infer": rig.Infer, "InferExported": rig.InferExported} {
		if got, err := infer(ctx, 256, 2, 1, 1000); err != nil || got.Rows != 1024 {
			t.Errorf("%s = %+v, %v; want 1024 rows", name, got, err)
		}
	}

	s, err := plan.openScoring(lib, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}()
	s.usePool(1)
	w := s.worker(256, &Progress{})
	for _, b := range rig.sample.first(1024).batches(256) {
		if err := learn(ctx, s, w, b); err != nil {
			t.Fatal(err)
		}
	}
	if label, scores := &w.outputs[0], &w.outputs[1]; label.preset() || !scores.preset() {
		t.Errorf("ONNX Runtime writes into memory of ours: %s %t, %s %t; want the scores alone", label.value.Name, label.preset(), scores.value.Name, scores.preset())
	}
	if err := w.close(); err != nil {
		t.Error(err)
	}
}

// The model as exported has none of our kernels. Where a run has none either,
// there is nothing more to measure.
func TestRigInferExported(t *testing.T) {
	lib := orttest.Library(t)
	ctx := t.Context()
	for _, c := range []struct {
		about, model string
		kernels      Kernels
		own          bool
	}{
		{"trees are replaced", "flights_gbdt", KernelsAuto, true},
		{"so is a chain of Imputer, Scaler and LinearRegressor", "flights_linear", KernelsAuto, true},
		{"nothing is, as was asked", "flights_linear", KernelsONNXRuntime, false},
	} {
		t.Run(c.about, func(t *testing.T) {
			opts := sampleRun(t, c.model, 1)
			opts.Kernels = c.kernels
			plan, err := NewPlan(ctx, opts)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := plan.Close(); err != nil {
					t.Error(err)
				}
			}()
			if plan.OwnKernels != c.own {
				t.Fatalf("the plan of %s has kernels of ours: %t; want %t", c.model, plan.OwnKernels, c.own)
			}
			rig, err := NewRig(ctx, plan, lib, 1024)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := rig.Close(); err != nil {
					t.Error(err)
				}
			}()
			if !c.own {
				if _, err := rig.InferExported(ctx, 256, 1, 1, 256); !errors.Is(err, ErrUsage) {
					t.Errorf("InferExported = %v; want a usage error", err)
				}
				return
			}
			if got, err := rig.InferExported(ctx, 256, 1, 1, 1000); err != nil || got.Rows != 1024 {
				t.Fatalf("InferExported = %+v, %v; want 1024 rows", got, err)
			}
			asIs, err := plan.openExported(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if n := len(plan.Model.Rewrites) - len(asIs[0].Rewrites); n < 1 {
				t.Errorf("rewrites of the model as exported: %q; want fewer than %q", asIs[0].Rewrites, plan.Model.Rewrites)
			}
		})
	}
}
