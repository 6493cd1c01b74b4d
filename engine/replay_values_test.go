package engine_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/engine"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// A value of a condition is read as its column's type: in any form that an expression takes,
// and of bytes as they are or as they are shown.
func TestReplayReadsValuesByType(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out.arrow")
	keep := writeTypes(t, filepath.Join(dir, "in.arrow"), []typed{
		{&arrow.Decimal128Type{Precision: 10, Scale: 2}, `["1.50", "-0.07"]`},
		{&arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "Europe/Berlin"}, `["2013-01-31 17:05:00Z", "2013-07-31 17:05:00Z"]`},
		{&arrow.TimestampType{Unit: arrow.Nanosecond}, `["2013-01-31 17:05:00.25", null]`},
		{arrow.FixedWidthTypes.Date32, `["2013-01-31", null]`},
		{arrow.FixedWidthTypes.Time32ms, `["17:05:00", "00:00:00"]`},
		{arrow.FixedWidthTypes.Duration_ms, `["90000ms", null]`},
		{arrow.FixedWidthTypes.Boolean, `[true, false]`},
		{arrow.BinaryTypes.Binary, `["YWI=", "/+8="]`},
		{&arrow.Decimal256Type{Precision: 60, Scale: 3}, `["1.500", "-0.070"]`},
	})
	mustRun(t, engine.Options{
		Model: onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N", 2)), Bind: map[string][]string{"x": {"v"}},
		Inputs: []string{filepath.Join(dir, "in.arrow")}, Output: out, IDs: []string{"id"}, Keep: keep,
	})
	for column, forms := range map[string]struct{ found, none, bad []string }{
		"c0": {[]string{"1.50", "1.5", "15e-1"}, []string{"1.505", "2"}, []string{"x", "1/2"}},
		"c1": {
			[]string{"2013-01-31T17:05:00Z", "2013-01-31T18:05:00+01:00", "2013-01-31 18:05"},
			[]string{"2013-01-31T17:05:00", "2013-01-31T17:05:00.0000001Z"},
			[]string{"yesterday", "2013-02-30"},
		},
		"c2": {[]string{"2013-01-31T17:05:00.25", "2013-01-31 17:05:00.250"}, []string{"2013-01-31"}, []string{"2013-01-31T17:05:00.25Z"}},
		"c3": {[]string{"2013-01-31"}, []string{"2013-01-30", "2013-01-31T01:00:00"}, []string{"31.1.2013"}},
		"c4": {[]string{"17:05:00", "17:05", "17:05:00.000"}, []string{"17:06"}, []string{"5pm"}},
		"c5": {[]string{"90s", "1m30s", "90000ms"}, []string{"90.0005s"}, []string{"90"}},
		"c6": {[]string{"true", "True", "1"}, nil, []string{"yes"}},
		"c7": {[]string{"ab", "YWI="}, []string{"YWI"}, nil},
		"c8": {[]string{"1.5"}, []string{"0.0001"}, []string{""}},
	} {
		replayed := func(value string) (*engine.Replay, error) {
			opts := replayOf(t, out, 1)
			opts.Where = []engine.Condition{{Column: column, Value: value}}
			return opts.Replay(t.Context())
		}
		for _, value := range forms.found {
			if r, err := replayed(value); err != nil || r.Equal != 1 || r.Rows[0].Columns[0].Value != "1" {
				t.Errorf("%s=%s: %+v, %v; want the first row", column, value, r, err)
			}
		}
		for _, value := range forms.none {
			if r, err := replayed(value); !errors.Is(err, engine.ErrNoRow) {
				t.Errorf("%s=%s: %+v, %v; want no row", column, value, r, err)
			}
		}
		for _, value := range forms.bad {
			if r, err := replayed(value); !errors.Is(err, engine.ErrUsage) || !strings.Contains(err.Error(), column) {
				t.Errorf("%s=%s: %+v, %v; want that the column has no such value", column, value, r, err)
			}
		}
	}
}
