package engine_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/models"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// trained is what the training library itself predicts; see
// models/testdata/make.py.
type trained struct {
	Predict []any       `json:"predict"`
	Scores  [][]float64 `json:"scores"` // [rows][classes]
}

func readJSON(t *testing.T, name string, into any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "models", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

// Classifiers of the three exporters, with labels of either type, with and
// without ZipMap, give the training library's predictions as one column for the
// label and one for each class, named after it, in each format.
func TestClassifiers(t *testing.T) {
	var predictions map[string]json.RawMessage
	readJSON(t, "predictions.json", &predictions)
	var rows [][]float32
	if err := json.Unmarshal(predictions["x"], &rows); err != nil {
		t.Fatal(err)
	}
	delete(predictions, "x")
	var labels map[string]map[string][]any
	readJSON(t, "labels.json", &labels)
	dir := t.TempDir()
	columns := make([]named, len(rows[0]))
	for k := range columns {
		values := make([]string, len(rows))
		for i, row := range rows {
			values[i] = fmt.Sprint(row[k])
		}
		columns[k] = named{fmt.Sprintf("f%d", k), fromJSON(t, arrow.PrimitiveTypes.Float32, jsonList(values))}
	}
	in := writeSpans(t, filepath.Join(dir, "in.arrow"), []int64{2, 1}, columns...)
	for name, raw := range predictions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var want trained
			if err := json.Unmarshal(raw, &want); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("..", "models", "testdata", name+".onnx")
			model, err := models.Open(path, models.Options{})
			if err != nil {
				t.Fatal(err)
			}
			// The output's columns: the prediction's, then one for each class.
			names := []string{model.Outputs[0].Name}
			if len(model.Outputs) > 1 {
				for _, class := range labels[name][model.Outputs[1].Name] {
					names = append(names, fmt.Sprintf("%s_%v", model.Outputs[1].Name, class))
				}
			}
			for _, file := range []string{"out.arrow", "out.parquet", "out.csv"} {
				opts := engine.Options{
					Model: path, Inputs: []string{in}, Features: []string{"f0", "f1", "f2"},
					Output: filepath.Join(t.TempDir(), file), BatchRows: 2, Workers: 2,
				}
				mustRun(t, opts)
				header, table := tableOf(t, opts.Output)
				if !slices.Equal(header, names) {
					t.Fatalf("%s: columns = %q; want %q", file, header, names)
				}
				if len(table) != len(want.Predict) {
					t.Fatalf("%s: %d rows; want %d", file, len(table), len(want.Predict))
				}
				for i, row := range table {
					if !equalText(row[0], fmt.Sprint(want.Predict[i])) {
						t.Errorf("%s: row %d predicts %s; want %v", file, i, row[0], want.Predict[i])
					}
					for k := range names[1:] {
						if !equalText(row[k+1], fmt.Sprint(want.Scores[i][k])) {
							t.Errorf("%s: row %d, %s = %s; want %g", file, i, names[k+1], row[k+1], want.Scores[i][k])
						}
					}
				}
			}
		})
	}
}

// tableOf reads an output of plain columns as text.
func tableOf(t *testing.T, output string) (header []string, rows [][]string) {
	t.Helper()
	if strings.HasSuffix(output, ".csv") {
		return readCSV(t, output)
	}
	schema, records := readBack(t, output)
	for i, f := range schema.Fields() {
		header = append(header, f.Name)
		for row, text := range columnTexts(t, records, i) {
			if row == len(rows) {
				rows = append(rows, nil)
			}
			rows[row] = append(rows[row], strings.Trim(text, `"`))
		}
	}
	return header, rows
}

// equalText compares texts, and numbers within what float32 arithmetic in
// another order may differ.
func equalText(got, want string) bool {
	var a, b float64
	if _, err := fmt.Sscan(got, &a); err == nil {
		if _, err := fmt.Sscan(want, &b); err == nil {
			return math.Abs(a-b) < 1e-5
		}
	}
	return got == want
}

// A ZipMap that cannot be taken off the graph is decoded into the same columns,
// in each layout.
func TestZipMapThatStays(t *testing.T) {
	for _, c := range []struct {
		name    string
		key     pb.TensorProto_DataType
		classes *pb.AttributeProto
		want    []string
	}{
		{"numbers", pb.TensorProto_INT64, onnxtest.Ints("classlabels_int64s", -5, 0, 7), []string{"maps_-5", "maps_0", "maps_7"}},
		{"words", pb.TensorProto_STRING, onnxtest.Strings("classlabels_strings", "no", "on time", "häß"), []string{"maps_no", "maps_on time", "maps_häß"}},
	} {
		g := onnxtest.Graph(
			onnxtest.Values(onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", "k")), onnxtest.Values(onnxtest.Maps("maps", c.key)),
			onnxtest.Node("Identity", onnxtest.Names("x"), onnxtest.Names("scores")), onnxtest.ZipMap("scores", "maps", c.classes))
		// Declared wider than the classes are, which stops the rewriting.
		g.ValueInfo = onnxtest.Values(onnxtest.Tensor("scores", pb.TensorProto_FLOAT, "N", 4))
		path := onnxtest.Write(t, onnxtest.Model(g))
		model, err := models.Open(path, models.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, changed, err := models.StripZipMap(model); err != nil || changed {
			t.Fatalf("%s: StripZipMap() = changed %t, %v; want it left", c.name, changed, err)
		}
		dir := t.TempDir()
		for _, layout := range []engine.Layout{engine.LayoutAuto, engine.LayoutColumns, engine.LayoutList} {
			opts := engine.Options{
				Model: path, Inputs: []string{writeSpans(t, filepath.Join(dir, "in.arrow"), nil, triples(t, []int{1, 2, 3, 4, 5}))},
				Output: filepath.Join(dir, string(layout)+".parquet"), Layout: layout, BatchRows: 2, Workers: 3,
			}
			mustRun(t, opts)
			schema, records := readBack(t, opts.Output)
			if layout == engine.LayoutList {
				checkColumn(t, schema, records, "maps", fromJSON(t, result(3)(arrow.PrimitiveTypes.Float32), `[[1,11,21],[2,12,22],[3,13,23],[4,14,24],[5,15,25]]`))
				continue
			}
			for k, name := range c.want {
				values := make([]string, 5)
				for row := range values {
					values[row] = strconv.Itoa(row + 1 + 10*k)
				}
				checkColumn(t, schema, records, name, fromJSON(t, arrow.PrimitiveTypes.Float32, jsonList(values)))
			}
			names := make([]string, 0, 3)
			for _, f := range schema.Fields() {
				names = append(names, f.Name)
			}
			if !slices.Equal(names, c.want) {
				t.Errorf("%s, %s: columns = %q; want %q", c.name, layout, names, c.want)
			}
		}
	}
}

// Two classes of one name have no columns of their own, whatever the prefix: the error says
// so, and what it says to do works.
func TestClassThatIsThereTwice(t *testing.T) {
	g := onnxtest.Graph(
		onnxtest.Values(onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", 3)), onnxtest.Values(onnxtest.Maps("maps", pb.TensorProto_STRING)),
		onnxtest.Node("Identity", onnxtest.Names("x"), onnxtest.Names("scores")), onnxtest.ZipMap("scores", "maps", onnxtest.Strings("classlabels_strings", "a", "b", "a")))
	dir := t.TempDir()
	opts := engine.Options{
		Model: onnxtest.Write(t, onnxtest.Model(g)), Inputs: []string{writeSpans(t, filepath.Join(dir, "in.arrow"), nil, triples(t, []int{1, 2}))},
		Output: filepath.Join(dir, "out.parquet"),
	}
	plan, err := engine.NewPlan(t.Context(), opts)
	if err == nil {
		_ = plan.Close()
	}
	if !errors.Is(err, engine.ErrUsage) || !strings.Contains(err.Error(), `two columns "maps_a"; output "maps" has that class twice: have its scores in one column by --output-layout list`) {
		t.Errorf("NewPlan() = %v; want the class that is there twice, and the layout", err)
	}
	opts.Layout = engine.LayoutList
	mustRun(t, opts)
	schema, records := readBack(t, opts.Output)
	checkColumn(t, schema, records, "maps", fromJSON(t, result(3)(arrow.PrimitiveTypes.Float32), `[[1,11,21],[2,12,22]]`))
}
