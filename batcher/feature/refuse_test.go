package feature_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/batcher/feature"
)

var refuseSchema = arrow.NewSchema([]arrow.Field{
	{Name: "delay", Type: arrow.PrimitiveTypes.Float32, Nullable: true},
	{Name: "flight", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	{Name: "carrier", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "made", Type: arrow.FixedWidthTypes.Date32, Nullable: true},
	{Name: "at", Type: &arrow.TimestampType{Unit: arrow.Second, TimeZone: "UTC"}, Nullable: true},
	{Name: "local", Type: &arrow.TimestampType{Unit: arrow.Second}, Nullable: true},
	{Name: "clock", Type: arrow.FixedWidthTypes.Time32s, Nullable: true},
	{Name: "late", Type: arrow.FixedWidthTypes.Boolean, Nullable: true},
	{Name: "list", Type: arrow.ListOf(arrow.PrimitiveTypes.Float32), Nullable: true},
	{Name: "twice", Type: arrow.PrimitiveTypes.Float32},
	{Name: "twice", Type: arrow.PrimitiveTypes.Float32},
}, nil)

// TestCompileRefuses: what is wrong, where, and what to do.
func TestCompileRefuses(t *testing.T) {
	tests := []struct{ name, specs, want string }{
		{"a column that is not there", `[{"column": "delya"}]`, `feature "delya": no column or earlier feature "delya" (did you mean "delay"?)`},
		{"a feature that comes later", `[{"name": "a", "column": "b", "transforms": [{"abs": {}}]}, {"name": "b", "column": "delay"}]`, `feature "a": "b" is a feature that comes later; move it before this one`},
		{"a column that stands twice", `[{"column": "twice"}]`, `feature "twice": column "twice" stands 2 times in the data`},
		{"two features of one name", `[{"name": "a", "column": "delay"}, {"name": "a", "column": "flight"}]`, `feature "a": the name stands twice, for features 1 and 2`},
		{"no column", `[{"name": "a"}]`, `feature "a": has neither column nor columns`},
		{"both", `[{"name": "a", "column": "delay", "columns": ["flight"]}]`, `feature "a": has both column and columns`},
		{"no name", `[{"columns": ["delay", "flight"], "transforms": [{"diff": {}}]}]`, `feature 1: is made of several columns, so it needs a name`},
		{"an empty step", `[{"column": "delay", "transforms": [{}]}]`, `feature "delay": transform 1 names no transform: one of fill, clip`},
		{"two transforms in a step", `[{"column": "delay", "transforms": [{"abs": {}, "log1p": {}}]}]`, `transform 1 has log1p and abs at once; write a step for each`},
		{"columns without what combines them", `[{"name": "a", "columns": ["delay", "flight"], "transforms": [{"abs": {}}]}]`, `has columns, and its first transform is not one of ratio`},
		{"combining one column", `[{"column": "delay", "transforms": [{"ratio": {}}]}]`, `transform 1 (ratio): combines columns, so it is the first transform of a feature whose columns list them`},
		{"too many columns", `[{"name": "a", "columns": ["delay", "flight", "delay"], "transforms": [{"diff": {}}]}]`, `transform 1 (diff): diff wants 2 columns, and has 3`},
		{"text among columns", `[{"name": "a", "columns": ["delay", "carrier"], "transforms": [{"product": {}}]}]`, `transform 1 (product): of its columns the second wants a number, and gets text`},
		{"numbers' transforms of text", `[{"column": "carrier", "transforms": [{"fill": "x"}, {"clip": {"min": 0}}]}]`, `feature "carrier": transform 2 (clip): wants a number, and gets text: cast it before`},
		{"numbers' transforms of times", `[{"column": "at", "transforms": [{"scale": {"mean": 0, "std": 1}}]}]`, `transform 1 (scale): wants a number, and gets a timestamp: take a part of it before`},
		{"a time at the end", `[{"column": "at", "transforms": [{"fill": "reject"}]}]`, `feature "at": ends in a timestamp, which is no number: take a part of it by datetime`},
		{"something after several values", `[{"column": "carrier", "transforms": [{"onehot": {"categories": [["AA"], ["DL"]]}}, {"abs": {}}]}]`, `transform 2 (abs): comes after one that gives several values a row, which must be the last`},
		{"a feature of several values in another", `[{"name": "a", "column": "carrier", "transforms": [{"onehot": {"categories": [["AA"], ["DL"]]}}]}, {"name": "b", "column": "a", "transforms": [{"abs": {}}]}]`, `feature "b": feature "a" has 2 values a row, and other features take those of one`},
		{"a list", `[{"column": "list", "transforms": [{"abs": {}}]}]`, `feature "list": column "list" is list<item: float32, nullable>: transforms do not read single values of type`},
		{"a clip without ends", `[{"column": "delay", "transforms": [{"clip": {}}]}]`, `transform 1 (clip): has neither min nor max`},
		{"a clip upside down", `[{"column": "delay", "transforms": [{"clip": {"min": 2, "max": 1}}]}]`, `transform 1 (clip): min is 2, and max is less: 1`},
		{"a scale of two kinds", `[{"column": "delay", "transforms": [{"scale": {"mean": 1, "std": 2, "min": 0, "max": 1}}]}]`, `transform 1 (scale): has both mean and min; write a step for each`},
		{"half a scale", `[{"column": "delay", "transforms": [{"scale": {"mean": 1}}]}]`, `transform 1 (scale): has mean without std`},
		{"a scale by 0", `[{"column": "delay", "transforms": [{"scale": {"mean": 1, "std": 0}}]}]`, `transform 1 (scale): std is 0, so it would divide by 0`},
		{"edges that fall", `[{"column": "delay", "transforms": [{"bucketize": {"edges": [1, 3, 3]}}]}]`, `transform 1 (bucketize): edges must rise: 3 comes after 3`},
		{"a category that is no number", `[{"column": "flight", "transforms": [{"map": {"values": {"AA": 1}}}]}]`, `transform 1 (map): category "AA" is not a number`},
		{"a category twice", `[{"column": "flight", "transforms": [{"onehot": {"categories": [[1], [2, 1.0]]}}]}]`, `transform 1 (onehot): category 1.0 stands twice`},
		{"a truth value among numbers", `[{"column": "flight", "transforms": [{"equals": true}]}]`, `transform 1 (equals): category true is a truth value, and these are numbers`},
		{"a word nobody knows", `[{"column": "carrier", "transforms": [{"onehot": {"categories": [["AA"]], "unknown": "zero"}}]}]`, `transform 1 (onehot): unknown is "zero", which is none of reject, zeros, other (did you mean "zeros"?)`},
		{"no buckets", `[{"column": "carrier", "transforms": [{"hash": {"buckets": 0}}]}]`, `transform 1 (hash): buckets (0) must be 1 or more`},
		{"a row of a billion values", `[{"column": "carrier", "transforms": [{"hash": {"buckets": 1000000000, "onehot": true}}]}]`, `transform 1 (hash): buckets (1000000000) must be 1048576 or fewer`},
		{"a part nobody knows", `[{"column": "at", "transforms": [{"datetime": {"part": "hours"}}]}]`, `transform 1 (datetime): part is "hours", which is none of year, month, day, day_of_year, weekday, hour, minute, second, epoch (did you mean "hour"?)`},
		{"a year has no circle", `[{"column": "at", "transforms": [{"datetime": {"part": "year", "cyclic": "sin"}}]}]`, `transform 1 (datetime): cyclic is for parts that come again, and year does not`},
		{"a zone nobody knows", `[{"column": "at", "transforms": [{"datetime": {"part": "hour", "zone": "Europe/Berln"}}]}]`, `transform 1 (datetime): unknown time zone "Europe/Berln"`},
		{"a zone outside of the database", `[{"column": "at", "transforms": [{"datetime": {"part": "hour", "zone": "../../etc/passwd"}}]}]`, `unknown time zone "../../etc/passwd"`},
		{"the machine's zone", `[{"column": "at", "transforms": [{"datetime": {"part": "hour", "zone": "Local"}}]}]`, `"Local" is no time zone`},
		{"a zone for clocks that say none", `[{"column": "local", "transforms": [{"datetime": {"part": "hour", "zone": "UTC"}}]}]`, `zone wants instants, and a timestamp without a time zone says no time zone: say where its clock was, such as from_zone: UTC`},
		{"a second zone", `[{"column": "at", "transforms": [{"datetime": {"part": "hour", "from_zone": "UTC"}}]}]`, `from_zone is for times that say no time zone, and these say "UTC"`},
		{"the month of a time of day", `[{"column": "clock", "transforms": [{"datetime": {"part": "month"}}]}]`, `a time of day has no month, only hour, minute and second`},
		{"a part of a number", `[{"column": "delay", "transforms": [{"datetime": {"part": "hour"}}]}]`, `transform 1 (datetime): wants a date or time, and gets a number`},
		{"a fill that fills nothing", `[{"column": "delay", "transforms": [{"fill": "unknown"}]}]`, `transform 1 (fill): fill: "unknown" is neither a number nor nan nor reject`},
		{"a type nobody knows", `[{"column": "delay", "transforms": [{"cast": {"to": "int32"}}]}]`, `transform 1 (cast): to is "int32", which is none of int64`},
		{"rounding what stays", `[{"column": "delay", "transforms": [{"cast": {"to": "float32", "round": "floor"}}]}]`, `round is for a cast to int64`},
		{"a unit nobody knows", `[{"name": "a", "columns": ["delay", "delay", "delay", "delay"], "transforms": [{"haversine": {"unit": "miles"}}]}]`, `transform 1 (haversine): unit is "miles", which is none of km, m, mi, nmi`},
		{"all problems at once", `[{"column": "nothing"}, {"column": "delay", "transforms": [{"clip": {}}]}, {"column": "carrier", "transforms": [{"abs": {}}]}]`, `feature "carrier": transform 1 (abs): wants a number`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var specs []feature.Feature
			if err := json.Unmarshal([]byte(test.specs), &specs); err != nil {
				t.Fatal(err)
			}
			programs, err := feature.Compile(specs, refuseSchema)
			if !errors.Is(err, feature.ErrFeature) || programs != nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Compile() = %v, %v; want ErrFeature with %s", programs, err, test.want)
			}
		})
	}
}

// TestFit: features that do not fit the schema, and those made of them, are unfit beside the others; of features that
// are not written as they must be there are no programs, whoever takes them.
func TestFit(t *testing.T) {
	specs := []feature.Feature{{Column: "nothing"}, {Name: "delay", Column: "delay"}, {Name: "of it", Column: "nothing", Hidden: true}}
	programs, unfit, err := feature.Fit(specs, refuseSchema)
	if err != nil || !errors.Is(unfit, feature.ErrFeature) || len(programs) != len(specs) {
		t.Fatalf("Fit() = %v, %v, %v; want %d programs and what does not fit", programs, unfit, err, len(specs))
	}
	for i, want := range []bool{true, false, true} {
		if p := programs[i]; p.Unfit() != want || p.Hidden() != specs[i].Hidden {
			t.Errorf("%s: Unfit() = %t, Hidden() = %t; want %t, %t", p.Name(), p.Unfit(), p.Hidden(), want, specs[i].Hidden)
		}
	}
	if programs, unfit, err := feature.Fit(append(specs, specs[1]), refuseSchema); !errors.Is(err, feature.ErrFeature) || programs != nil || unfit != nil {
		t.Errorf("Fit() of a name that stands twice = %v, %v, %v; want ErrFeature alone", programs, unfit, err)
	}
}

// TestCompileNames: what programs call their values, and what they read.
func TestCompileNames(t *testing.T) {
	const specs = `[
		{"column": "delay"},
		{"name": "who", "column": "carrier", "transforms": [{"onehot": {"categories": [["AA"], ["DL", "UA"], [null]], "unknown": "other"}}]},
		{"name": "turn", "column": "at", "transforms": [{"datetime": {"part": "hour", "cyclic": "both"}}]},
		{"name": "cell", "column": "flight", "transforms": [{"hash": {"buckets": 2, "onehot": true}}]},
		{"name": "share", "columns": ["delay", "flight"], "transforms": [{"ratio": {}}]},
		{"name": "again", "columns": ["share", "flight"], "transforms": [{"product": {}}, {"fill": "reject"}]},
		{"name": "same", "column": "again"}]`
	var features []feature.Feature
	if err := json.Unmarshal([]byte(specs), &features); err != nil {
		t.Fatal(err)
	}
	programs, err := feature.Compile(features, refuseSchema)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]string, 0, len(programs))
	for _, p := range programs {
		var values []string
		for i := range p.Width() {
			values = append(values, p.ValueName(i))
		}
		line := strings.Join(values, " ") + " of " + strings.Join(p.Columns(), ", ")
		if _, bare := p.Column(); bare {
			line += ", bare"
		}
		if p.Rejects() {
			line += ", rejects"
		}
		got = append(got, line)
	}
	want := []string{
		"delay of delay, bare", "who=AA who=DL|UA who=null who=other of carrier", "turn_sin turn_cos of at", "cell#0 cell#1 of flight",
		"share of delay, flight", "again of delay, flight, rejects", "same of delay, flight, rejects",
	}
	if a, b := strings.Join(got, "\n"), strings.Join(want, "\n"); a != b {
		t.Errorf("programs\n%s\nwant\n%s", a, b)
	}
}
