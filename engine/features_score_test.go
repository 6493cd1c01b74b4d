package engine_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/batcher/feature"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/unique"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/lines"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// featureRows are raw columns: an id, a delay that is null at times, a carrier of whom
// one is unknown, and a time in seconds.
func featureRows(rows int) []named {
	mem := memory.DefaultAllocator
	id, delay, carrier := array.NewInt64Builder(mem), array.NewFloat32Builder(mem), array.NewStringBuilder(mem)
	at := array.NewTimestampBuilder(mem, &arrow.TimestampType{Unit: arrow.Second, TimeZone: "UTC"})
	for row := range rows {
		id.Append(int64(row))
		if row%7 == 3 {
			delay.AppendNull()
		} else {
			delay.Append(float32(row % 50))
		}
		carrier.Append([]string{"AA", "DL", "ZZ"}[row%11%3])
		at.Append(arrow.Timestamp(row * 1800))
	}
	return []named{{"id", id.NewArray()}, {"delay", delay.NewArray()}, {"carrier", carrier.NewArray()}, {"at", at.NewArray()}}
}

const featureSpecs = `[
	{"name": "delay", "column": "delay", "transforms": [{"fill": -1}, {"clip": {"max": 40}}, {"scale": {"multiply": 0.5, "add": 1}}]},
	{"name": "who", "column": "carrier", "transforms": [{"onehot": {"categories": [["AA"], ["DL"]]}}]},
	{"name": "hour", "column": "at", "transforms": [{"datetime": {"part": "hour", "zone": "+01:00"}}]}]`

// wantFeatures are a row's values by a plain loop; known is whether all categories are.
func wantFeatures(row int) (values []float32, known bool) {
	delay := float32(min(row%50, 40))
	if row%7 == 3 {
		delay = -1
	}
	who := row % 11 % 3
	one := []float32{0, 0}
	if who < 2 {
		one[who] = 1
	}
	return []float32{delay/2 + 1, one[0], one[1], float32((row/2 + 1) % 24)}, who < 2
}

func specsOf(t *testing.T, text string) []feature.Feature {
	t.Helper()
	var specs []feature.Feature
	if err := json.Unmarshal([]byte(text), &specs); err != nil {
		t.Fatal(err)
	}
	return specs
}

// Features are computed from raw columns, an unknown category makes a bad row, and the
// rejects have what features read, so that they are scored again once it is known.
func TestFeaturesAreScored(t *testing.T) {
	const rows = 3000
	dir := t.TempDir()
	opts := engine.Options{
		Model: onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N", 4)), Inputs: []string{writeParquet(t, filepath.Join(dir, "in.parquet"), 700, featureRows(rows)...)},
		IDs: []string{"id"}, Format: format.ArrowFile, BatchRows: 1200, PartRows: 1000, FeatureSpecs: specsOf(t, featureSpecs), OnBadRow: engine.BadReject, MaxRejects: -1,
	}
	first := ""
	for _, workers := range []int{1, 2, 5} {
		opts.Workers, opts.Output = workers, filepath.Join(dir, fmt.Sprint("out", workers))
		mustRun(t, opts)
		checkFeatures(t, opts.Output, func(row int) bool { _, known := wantFeatures(row); return known })
		var text strings.Builder
		for _, part := range partsOf(t, opts.Output) {
			data, err := os.ReadFile(part)
			if err != nil {
				t.Fatal(err)
			}
			text.Write(data)
		}
		all := text.String()
		if first == "" {
			first = all
		}
		if all != first {
			t.Errorf("%d workers write other bytes than one", workers)
		}
	}
	if r := replay(t, replayOf(t, opts.Output, 1500)); len(r.Rows) != 1 || r.Equal != 1 || r.Err() != nil {
		t.Errorf("replay of a row = %+v; want it equal", r)
	}
	again := opts
	again.Inputs, again.Output = []string{rejectsOf(t, opts.Output)}, filepath.Join(dir, "again")
	again.FeatureSpecs = specsOf(t, strings.Replace(featureSpecs, `["DL"]]`, `["DL"]], "unknown": "zeros"`, 1))
	mustRun(t, again)
	checkFeatures(t, again.Output, func(row int) bool { _, known := wantFeatures(row); return !known })

	failing := opts
	failing.OnBadRow, failing.Output = engine.BadFail, filepath.Join(dir, "failing")
	if _, err := run(t, failing); !errors.Is(err, engine.ErrBadRows) || !strings.Contains(err.Error(), `feature "who", row `) || !strings.Contains(err.Error(), `category "ZZ" is unknown`) {
		t.Errorf("run() = %v; want ErrBadRows that names the feature, the row and the category", err)
	}
	failing.Where, failing.Workers = "id < 2 or id > 500", 1 // the first unknown carrier is in row 503 then
	if _, err := run(t, failing); !errors.Is(err, engine.ErrBadRows) || !strings.Contains(err.Error(), `feature "who", row 503: `) {
		t.Errorf("run() of filtered rows = %v; want ErrBadRows that names the row in the file", err)
	}
	failing.Unique = unique.Spec{Columns: []string{"id"}, On: unique.OnReject}
	if _, err := run(t, failing); !errors.Is(err, engine.ErrBadRows) || !strings.Contains(err.Error(), `"who", row 503: category "ZZ" is unknown; add it to the categories`) {
		t.Errorf("run() where duplicates are left out = %v; want ErrBadRows that says what to do", err)
	}
	failing.FeatureSpecs, failing.Where = specsOf(t, strings.Replace(featureSpecs, `{"fill": -1}`, `{"abs": {}}`, 1)), "id > 503"
	if _, err := run(t, failing); !errors.Is(err, engine.ErrBadRows) || !strings.Contains(err.Error(), `"delay", row 507: null; give it a transform that fills (fill), or `) {
		t.Errorf("run() where duplicates are left out = %v; want ErrBadRows that says what to do with a null", err)
	}
}

// checkFeatures compares an output of featureRows, which the model gives back as they
// are, for the rows that should be there.
func checkFeatures(t *testing.T, output string, there func(row int) bool) {
	t.Helper()
	_, records := readArrow(t, output)
	row, seen := 0, 0
	for _, record := range records {
		lists := record.Column(1).(*array.FixedSizeList)
		values := lists.ListValues().(*array.Float32)
		for r := range int(record.NumRows()) {
			for !there(row) {
				row++
			}
			want, _ := wantFeatures(row)
			got := values.Float32Values()[4*(lists.Offset()+r):][:4]
			if id := record.Column(0).(*array.Int64).Value(r); id != int64(row) || !slices.Equal(got, want) {
				t.Fatalf("%s: row %d = id %d, %v; want %v", output, row, id, got, want)
			}
			row++
			seen++
		}
	}
	if seen < 300 {
		t.Errorf("%s has %d rows; want hundreds", output, seen)
	}
}

// A fill that rejects does so whatever becomes of bad rows, and what is wrong with
// features is the user's mistake.
func TestFeaturesThatReject(t *testing.T) {
	dir := t.TempDir()
	opts := engine.Options{
		Model: onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N", 1)), Inputs: []string{writeParquet(t, filepath.Join(dir, "in.parquet"), 700, featureRows(700)...)},
		Output: filepath.Join(dir, "out"), IDs: []string{"id"}, MaxRejects: -1,
		FeatureSpecs: specsOf(t, `[{"name": "delay", "column": "delay", "transforms": [{"fill": "reject"}]}]`),
	}
	if s := mustRun(t, opts); s.Rows.Rejected != 100 || s.Rows.Scored != 600 {
		t.Errorf("rows = %+v; want 100 rejected of 700", s.Rows)
	}
	opts.Output = filepath.Join(dir, "wrong")
	opts.FeatureSpecs = specsOf(t, `[{"name": "delay", "column": "dela", "transforms": [{"abs": {}}]}]`)
	if _, err := run(t, opts); !errors.Is(err, engine.ErrUsage) || !strings.Contains(err.Error(), `(did you mean "delay"?)`) {
		t.Errorf("run() = %v; want ErrUsage that names the nearest column", err)
	}
}

// A feature that no model takes asks nothing of the data: rows that were rejected have not its
// columns, and lines that are read again for a replay not their types.
func TestFeaturesThatNobodyTakes(t *testing.T) {
	dir := t.TempDir()
	in := filepath.Join(dir, "in.csv")
	if err := os.WriteFile(in, []byte("id,x,code\n0,-1,007\n1,,008\n2,-3,009\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	opts := engine.Options{
		Model: onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N", 1)), Inputs: []string{in}, Output: filepath.Join(dir, "out"), IDs: []string{"id"},
		Lines: lines.Options{Types: []lines.ColumnType{{Name: "code", Type: arrow.PrimitiveTypes.Int64}}},
		FeatureSpecs: specsOf(t, `[
			{"name": "left", "column": "code", "transforms": [{"abs": {}}]},
			{"name": "half", "column": "left", "transforms": [{"scale": {"multiply": 0.5, "add": 0}}]},
			{"name": "size", "column": "x", "transforms": [{"abs": {}}]}]`),
		Features: []string{"size"}, OnBadRow: engine.BadReject, MaxRejects: -1,
	}
	if s := mustRun(t, opts); s.Rows.Scored != 2 || s.Rows.Rejected != 1 {
		t.Fatalf("rows = %+v; want 2 scored and 1 rejected", s.Rows)
	}
	if r := replay(t, replayOf(t, opts.Output, 2)); len(r.Rows) != 1 || r.Equal != 1 || r.Err() != nil {
		t.Errorf("replay of a row = %+v; want it equal", r)
	}
	again := opts
	again.Inputs, again.Lines, again.Output = []string{rejectsOf(t, opts.Output)}, lines.Options{}, filepath.Join(dir, "again")
	again.Nulls.Default = batcher.NullPolicy{Action: batcher.NullNaN}
	if s := mustRun(t, again); s.Rows.Scored != 1 {
		t.Errorf("rows of the rejects = %+v; want 1 scored", s.Rows)
	}
	again.Features, again.Output = []string{"half"}, filepath.Join(dir, "half")
	if _, err := engine.NewPlan(t.Context(), again); !errors.Is(err, engine.ErrUsage) || !strings.Contains(err.Error(), `feature "left": no column or earlier feature "code"`) {
		t.Errorf("a feature whose column is not there = %v; want ErrUsage that names it", err)
	}
}
