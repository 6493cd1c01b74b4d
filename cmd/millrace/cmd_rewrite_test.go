package main

import (
	"context"
	"encoding/csv"
	"errors"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/models"
)

// closeTo A.csv B.csv TOLERANCE fails unless two files have the same columns and
// rows, and their numbers lie no further apart, relative to the larger of 1 and
// the number.
func closeTo(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: close A.csv B.csv TOLERANCE")
	}
	tolerance, err := strconv.ParseFloat(args[2], 64)
	ts.Check(err)
	var files [2][][]string
	for i := range files {
		files[i], err = csv.NewReader(strings.NewReader(ts.ReadFile(args[i]))).ReadAll()
		ts.Check(err)
	}
	if len(files[0]) < 2 || len(files[0]) != len(files[1]) {
		ts.Fatalf("%d and %d lines", len(files[0]), len(files[1]))
	}
	for line, cells := range files[0] {
		for i, a := range cells {
			b := files[1][line][i]
			x, errA := strconv.ParseFloat(a, 64)
			y, errB := strconv.ParseFloat(b, 64)
			if a != b && (errA != nil || errB != nil || !(math.Abs(x-y) <= tolerance*max(1, math.Abs(x)))) {
				ts.Fatalf("line %d, cell %d: %s and %s", line+1, i+1, a, b)
			}
		}
	}
}

// golden PREDICTIONS.parquet SCORES.csv ATOL RTOL fails unless a file of scores has
// the rows and columns of a training library's own predictions, in that order, and
// its numbers lie no further from theirs than ATOL + RTOL * their size.
func golden(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: golden PREDICTIONS.parquet SCORES.csv ATOL RTOL")
	}
	atol, err := strconv.ParseFloat(args[2], 64)
	ts.Check(err)
	rtol, err := strconv.ParseFloat(args[3], 64)
	ts.Check(err)
	got, err := csv.NewReader(strings.NewReader(ts.ReadFile(args[1]))).ReadAll()
	ts.Check(err)
	data, err := dataset.Open(context.Background(), []string{args[0]}, dataset.Options{})
	ts.Check(err)
	defer func() { _ = data.Close() }()
	columns := make([]string, 0, data.Schema().NumFields())
	for _, f := range data.Schema().Fields() {
		columns = append(columns, f.Name)
	}
	if int64(len(got)) != data.Rows()+1 || len(got) == 1 || len(got[0]) != len(columns) {
		ts.Fatalf("%s has %d lines of %d columns; want %d and %d", args[1], len(got), len(got[0]), data.Rows()+1, len(columns))
	}
	line := 1
	for _, part := range data.Parts(data.Rows()) {
		for _, span := range part.Spans {
			ts.Check(data.ReadSpan(context.Background(), span, columns, func(b arrow.RecordBatch) error {
				for row := range int(b.NumRows()) {
					for i, cell := range got[line] {
						want, err := strconv.ParseFloat(b.Column(i).ValueStr(row), 64)
						ts.Check(err)
						if v, err := strconv.ParseFloat(cell, 64); err != nil || !(math.Abs(v-want) <= atol+rtol*math.Abs(want)) {
							ts.Fatalf("line %d, %s: %s; want %g", line+1, got[0][i], cell, want)
						}
					}
					line++
				}
				return nil
			}))
		}
	}
}

// A rewrite that does not compute the same is an error before anything is
// written.
func TestRewriteRefusesAnotherModel(t *testing.T) {
	orttest.Library(t)
	library, _ := orttest.Path()
	dir := t.TempDir()
	open := func(name string, weight float32) *models.Model {
		p := sumModel(nil)
		p.Graph.Initializer[0].FloatData[0] = weight
		write(t, filepath.Join(dir, name), encode(t, p))
		m, err := models.Open(filepath.Join(dir, name), models.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	was := open("was.onnx", 1)
	for _, test := range []struct {
		why    string
		weight float32
		want   string // of the error; none
	}{
		{"the same", 1, ""},
		{"next to it", 1 + 1e-6, ""},
		{"another", 1.01, "differs by up to 0.0216 on made rows; nothing is written (--max-difference 0.0001 is the limit)"},
		{"no number", float32(math.NaN()), "has in 93 of 100 values on made rows a NaN or an infinity for a number"},
	} {
		o := rewriteOptions{CheckRows: 100, MaxDifference: 1e-4}
		r := &rewriteReport{}
		err := o.check(t.Context(), ort.LibraryOptions{Path: library}, was, open("now.onnx", test.weight), r)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) || r.Check == nil || r.Check.Rows != 100 || err != nil && (!errors.Is(err, models.ErrModel) || exitCode(err) != exitModel) {
			t.Errorf("%s: check = %v, %+v", test.why, err, r.Check)
		}
	}
}
