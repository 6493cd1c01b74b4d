package bench

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/models"
)

func reference(name string) string { return filepath.Join("..", "models", "reference", name+".onnx") }

func openModel(t *testing.T, path string) *models.Model {
	t.Helper()
	m, err := models.Open(path, models.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Made data fit the model that they are made for: they score, as many rows as
// asked for, with about the share of nulls asked for; and they are the same each
// time.
func TestMadeDataScores(t *testing.T) {
	lib := orttest.Library(t)
	const rows, share = 20_000, 0.1
	for _, model := range []string{"flights_linear", "embed", "nyc_pipeline"} {
		for _, kind := range []format.Name{format.Parquet, format.ArrowFile} {
			t.Run(model+"/"+string(kind), func(t *testing.T) {
				dir := t.TempDir()
				made := Made{Rows: rows, NullShare: share, Format: kind, Seed: 7}
				path := filepath.Join(dir, "made."+extension(&made))
				opts, err := made.make(path, openModel(t, reference(model)), nil)
				if err != nil {
					t.Fatal(err)
				}
				again := filepath.Join(dir, "again")
				if _, err := made.make(again, openModel(t, reference(model)), nil); err != nil {
					t.Fatal(err)
				}
				first, second := contents(t, path), contents(t, again)
				if first != second {
					t.Error("the same settings made other data")
				}
				opts.Model, opts.Output, opts.MaxRejects = reference(model), filepath.Join(dir, "out"), -1
				plan, err := engine.NewPlan(t.Context(), opts)
				if err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := plan.Close(); err != nil {
						t.Error(err)
					}
				}()
				summary, err := plan.Run(t.Context(), lib, plan.NewProgress())
				if err != nil {
					t.Fatal(err)
				}
				if summary.Rows.Scored != rows {
					t.Errorf("scored %d rows; want %d", summary.Rows.Scored, rows)
				}
				for _, f := range summary.Features {
					// Six standard deviations of a binomial count.
					if off := math.Abs(float64(f.Nulls) - rows*share); off > 6*math.Sqrt(rows*share*(1-share)) {
						t.Errorf("column %q has %d nulls of %d; want about %v of them", f.Column, f.Nulls, rows, share)
					}
				}
				if model == "flights_linear" && len(summary.Features) != 32 {
					t.Errorf("%d features have nulls; want all 32", len(summary.Features))
				}
			})
		}
	}
}

func contents(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestDataThatCannotBeMade(t *testing.T) {
	model := openModel(t, reference("flights_linear"))
	model.Inputs[0].HasShape = false
	_, err := (&Made{Rows: 1}).make(filepath.Join(t.TempDir(), "made"), model, nil)
	if !errors.Is(err, engine.ErrUsage) || !strings.Contains(err.Error(), model.Inputs[0].Name) || !strings.Contains(err.Error(), "--input") {
		t.Errorf("make for an input of unknown rank = %v; want a usage error with its name and what to do", err)
	}
}
