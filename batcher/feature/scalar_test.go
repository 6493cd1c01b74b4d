package feature

import (
	"encoding/json"
	"math"
	"testing"
)

// What a manifest keeps of a scalar is the scalar.
func TestScalarKeepsItsDigits(t *testing.T) {
	for _, in := range []string{`null`, `true`, `false`, `"reject"`, `"12"`, `12`, `9007199254740993`, `-0.1`, `1e300`, `{"number":".nan"}`, `{"number":"-.inf"}`} {
		var s Scalar
		if err := json.Unmarshal([]byte(in), &s); err != nil {
			t.Fatalf("%s: %v", in, err)
		}
		out, err := json.Marshal(s)
		if err != nil || string(out) != in {
			t.Errorf("%s came back as %s (%v)", in, out, err)
		}
	}
}

func TestParseNumber(t *testing.T) {
	for text, want := range map[string]float64{"1": 1, "-2.5": -2.5, ".inf": math.Inf(1), "-.inf": math.Inf(-1), "1e3": 1000} {
		if got, err := ParseNumber(text); err != nil || got.Number != want || got.Kind != Number {
			t.Errorf("ParseNumber(%q) = %+v, %v; want %v", text, got, err, want)
		}
	}
	if got, err := ParseNumber(".nan"); err != nil || !math.IsNaN(got.Number) {
		t.Errorf("ParseNumber(.nan) = %+v, %v", got, err)
	}
	if got, err := ParseNumber("twelve"); err == nil {
		t.Errorf("ParseNumber(twelve) = %+v; want an error", got)
	}
}
