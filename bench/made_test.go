package bench

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/io/dataset"
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
				opts, err := made.make(t.Context(), path, openModel(t, reference(model)), names{}, nil)
				if err != nil {
					t.Fatal(err)
				}
				again := filepath.Join(dir, "again")
				if _, err := made.make(t.Context(), again, openModel(t, reference(model)), names{}, nil); err != nil {
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

// tensor is a model's input; dimensions below zero are open.
func tensor(name string, elem models.ElementType, dims ...int64) models.Value {
	shape := make(models.Shape, 0, len(dims))
	for _, d := range dims {
		shape = append(shape, models.Dim{Size: d})
	}
	return models.Value{Name: name, Kind: models.Tensor, Elem: elem, Shape: shape, HasShape: true}
}

// TestMadeColumns: which columns are made for which signature.
func TestMadeColumns(t *testing.T) {
	for _, c := range []struct {
		about  string
		inputs []models.Value
		listed string // the model's feature_names
		called names
		want   string // columns and their types, or what the error says
	}{
		{"a vector", []models.Value{tensor("x", models.Int64, -1)}, "", names{}, "x int64"},
		{"a matrix of known width", []models.Value{tensor("x", models.Float32, -1, 2)}, "", names{}, "f0 float32, f1 float32"},
		{"a matrix with names", []models.Value{tensor("x", models.Float64, -1, 2)}, "a,b", names{}, "a float64, b float64"},
		{"a name that stands twice is one column", []models.Value{tensor("x", models.Float32, -1, 3)}, "a,a,b", names{}, "a float32, b float32"},
		{"an open matrix whose features the user names", []models.Value{tensor("x", models.Float32, -1, -1)}, "", names{features: []string{"p", "q"}}, "p float32, q float32"},
		{"columns that the user binds", []models.Value{tensor("x", models.Float32, -1, 2), tensor("s", models.String, -1)}, "", names{bind: map[string][]string{"x": {"p", "q"}, "s": {"word"}}}, "p float32, q float32, word utf8"},
		{"two matrices are lists", []models.Value{tensor("a", models.Float32, -1, 2), tensor("b", models.Uint8, -1, 3)}, "", names{}, "a fixed_size_list<item: float32, nullable>[2], b fixed_size_list<item: uint8, nullable>[3]"},
		{"a higher rank is a list", []models.Value{tensor("x", models.Float16, -1, 2, 3)}, "", names{}, "x fixed_size_list<item: float16, nullable>[6]"},
		{"an open matrix without names", []models.Value{tensor("x", models.Float32, -1, -1)}, "", names{}, "--features"},
		{"an open dimension of a higher rank", []models.Value{tensor("x", models.Float32, -1, -1, 2)}, "", names{}, "leaves a dimension of [?,?,2] open"},
		{"no values", []models.Value{tensor("x", models.Float32, -1, 0)}, "", names{}, "a dimension of [?,0] is 0"},
		{"a scalar", []models.Value{tensor("x", models.Float32)}, "", names{}, "is a scalar"},
		{"a type that no column has", []models.Value{tensor("x", models.BFloat16, -1)}, "", names{}, "bfloat16"},
		{"a sequence", []models.Value{{Name: "x", Kind: models.Sequence}}, "", names{}, "is no tensor"},
		{"an endless row", []models.Value{tensor("x", models.Float32, -1, 1<<40, 1<<40)}, "", names{}, "values a row"},
		{"too few columns bound", []models.Value{tensor("x", models.Float32, -1, 3)}, "", names{bind: map[string][]string{"x": {"p", "q"}}}, "2 columns, and it takes 3"},
		{"one column as two types", []models.Value{tensor("x", models.Float32, -1), tensor("y", models.Int64, -1)}, "", names{bind: map[string][]string{"y": {"x"}}}, "shares column"},
	} {
		model := &models.Model{Metadata: map[string]string{"feature_names": c.listed}}
		model.Inputs = c.inputs
		columns, _, err := madeColumns(model, c.called)
		if err != nil {
			if !errors.Is(err, engine.ErrUsage) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v; want a usage error that says %q", c.about, err, c.want)
			}
			continue
		}
		var got []string
		for _, column := range columns {
			got = append(got, column.name+" "+column.typed.String())
		}
		if text := strings.Join(got, ", "); text != c.want {
			t.Errorf("%s: columns %s; want %s", c.about, text, c.want)
		}
	}
}

// Every type is made and read back, with an id beside a column of its name.
func TestMadeDataOfEveryType(t *testing.T) {
	model := &models.Model{}
	for _, elem := range []models.ElementType{
		models.Float32, models.Float64, models.Float16, models.Int64, models.Int32, models.Int16, models.Int8,
		models.Uint64, models.Uint32, models.Uint16, models.Uint8, models.Bool, models.String,
	} {
		model.Inputs = append(model.Inputs, tensor(elem.String(), elem, -1), tensor(elem.String()+"_list", elem, -1, 2, 2))
	}
	model.Inputs = append(model.Inputs, tensor("row_id", models.String, -1))
	for _, kind := range []format.Name{format.Parquet, format.ArrowFile} {
		made := Made{Rows: 300, NullShare: 0.2, Format: kind}
		path := filepath.Join(t.TempDir(), "made."+extension(&made))
		opts, err := made.make(t.Context(), path, model, names{}, nil)
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		if len(opts.IDs) != 1 || opts.IDs[0] != "row_id_" {
			t.Errorf("%s: ids are %v; want row_id_, as row_id is the model's", kind, opts.IDs)
		}
		data, err := dataset.Open(t.Context(), []string{path}, dataset.Options{})
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		if data.Rows() != 300 || data.Schema().NumFields() != len(model.Inputs)+1 {
			t.Errorf("%s: %d rows of %d columns; want 300 of %d", kind, data.Rows(), data.Schema().NumFields(), len(model.Inputs)+1)
		}
		if err := data.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A folder that takes no more is the output's fault, and one that waits is told
// at once.
func TestMakingDataFails(t *testing.T) {
	model := openModel(t, reference("flights_linear"))
	made := Made{Rows: 100}
	if _, err := made.make(t.Context(), filepath.Join(t.TempDir(), "none", "made"), model, names{}, nil); !errors.Is(err, ledger.ErrOutput) || !strings.Contains(err.Error(), "--dir") {
		t.Errorf("make in no folder = %v; want an output error that says --dir", err)
	}
	if _, err := made.make(t.Context(), "/dev/full", model, names{}, nil); !errors.Is(err, ledger.ErrOutput) {
		t.Errorf("make on a full disk = %v; want an output error", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	endless := Made{Rows: math.MaxInt64}
	_, err := endless.make(ctx, filepath.Join(t.TempDir(), "made"), model, names{}, func(rows int64) {
		if rows > 0 {
			cancel(engine.ErrInterrupted)
		}
	})
	if !errors.Is(err, engine.ErrInterrupted) {
		t.Errorf("make that is interrupted = %v; want the cause", err)
	}
}

func TestDataThatCannotBeMade(t *testing.T) {
	model := openModel(t, reference("flights_linear"))
	model.Inputs[0].HasShape = false
	_, err := (&Made{Rows: 1}).make(t.Context(), filepath.Join(t.TempDir(), "made"), model, names{}, nil)
	if !errors.Is(err, engine.ErrUsage) || !strings.Contains(err.Error(), model.Inputs[0].Name) || !strings.Contains(err.Error(), "--input") {
		t.Errorf("make for an input of unknown rank = %v; want a usage error with its name and what to do", err)
	}
}
