package engine

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/klauspost/cpuid/v2"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/models"
)

// checkOf compares a model that stands in for a plan's rewritten one with the
// plan's own as exported.
func checkOf(t *testing.T, name string) (*Plan, error) {
	t.Helper()
	lib := orttest.Library(t)
	opts := sampleRun(t, "flights_gbdt", 1)
	plan, err := NewPlan(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	run, err := models.OpenRewritten("../models/reference/"+name+".onnx", models.Options{}, models.Rewrites{Kernels: true})
	if err != nil {
		t.Fatal(err)
	}
	s, err := plan.openScoringOf([]*models.Model{run}, lib, 1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	check := plan.checkAside(ctx, cancel, lib, s)()
	if check != nil && !errors.Is(context.Cause(ctx), check) {
		t.Errorf("the run ends with %v; want what the check found", context.Cause(ctx))
	}
	cancel(nil)
	if err := errors.Join(s.close(), plan.Close()); err != nil {
		t.Error(err)
	}
	return plan, check
}

func TestCheckRewrites(t *testing.T) {
	plan, err := checkOf(t, "flights_gbdt")
	if c := plan.rewriteCheck; err != nil || c == nil || c.Rows != checkRows || c.Largest != 0 || c.Labels != 0 {
		t.Errorf("a model of the same bits: %+v, %v; want no difference in %d rows", c, err, checkRows)
	}
	plan, err = checkOf(t, "flights_linear")
	if c := plan.rewriteCheck; !errors.Is(err, ErrRewrite) || !errors.Is(err, models.ErrModel) || c == nil || c.Largest < 1 {
		t.Errorf("another model: %+v, %v; want ErrRewrite", c, err)
	}
}

// Dense layers are an operator of ours on the CPU, and ONNX Runtime's on devices,
// which have no kernel of ours for them.
func TestDenseLayersByProvider(t *testing.T) {
	operators := func(provider ort.Provider) (names []string) {
		t.Helper()
		opts := Options{Model: "../models/reference/flights_mlp.onnx", Provider: provider}
		opts.EnsureDefaults()
		m, err := opts.openModel(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range m.Operators {
			names = append(names, o.Name)
		}
		return names
	}
	if got := operators(ort.CPU); cpuid.CPU.Supports(cpuid.AVX2, cpuid.FMA3) && !slices.Equal(got, []string{"Reshape", "Dense"}) {
		t.Errorf("operators on the CPU = %q; want all layers as one", got)
	}
	if got := operators(ort.CUDA); slices.Contains(got, "Dense") || !slices.Contains(got, "MatMul") || !slices.Contains(got, "Affine") {
		t.Errorf("operators on a device = %q; want an Affine, and the layers left alone", got)
	}
}
