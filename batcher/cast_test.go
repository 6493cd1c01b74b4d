package batcher

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/models"
)

var trailing = regexp.MustCompile(` +\n`)

// TestCastOf pins the whole type table.
func TestCastOf(t *testing.T) {
	var b strings.Builder
	for _, row := range TypeTable() {
		fmt.Fprintf(&b, "%-17s", row[0])
		for _, cell := range row[1:] {
			fmt.Fprintf(&b, " %-8s", cell)
		}
		b.WriteByte('\n')
	}
	golden(t, "typetable.txt", trailing.ReplaceAllString(b.String(), "\n"))
}

func TestCastOfSaysWhy(t *testing.T) {
	tests := []struct {
		name string
		from arrow.DataType
		to   models.ElementType
		why  string
	}{
		{"text is not parsed", arrow.BinaryTypes.String, models.Float32, "text does not become float32 by itself; make it a feature of a job file (by cast, map or onehot), or encode it before, or in the model"},
		{"numbers are not formatted", arrow.PrimitiveTypes.Int32, models.String, "int32 does not become a string by itself; make it a feature of a job file (by cast), or write it as text before"},
		{"a duration is one, by its count", arrow.FixedWidthTypes.Duration_s, models.Float32, "a duration becomes a signed integer (its count of units), not float32; a feature of a job file (by scale, or cast) gives it as a number"},
		{"a time is not a measure", arrow.FixedWidthTypes.Timestamp_us, models.Float32, "a date or time becomes a signed integer (its count of units), not float32; a feature of a job file (by datetime) gives its parts"},
		{"numbers are not truth values", arrow.PrimitiveTypes.Uint8, models.Bool, "only a bool column becomes a bool tensor"},
		{"decimals are fractions", &arrow.Decimal128Type{Precision: 5, Scale: 2}, models.Int64, "a decimal becomes a floating tensor only"},
		{"a struct is no value", arrow.StructOf(), models.Float32, "millrace does not read single values of type struct"},
		{"complex tensors are not made", arrow.PrimitiveTypes.Float32, models.Complex64, "millrace does not make complex64 tensors"},
		{
			"a dictionary of dictionaries is nobody's", &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: &arrow.DictionaryType{
				IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String,
			}}, models.String, "millrace does not read single values of type dictionary",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cast, why := CastOf(test.from, test.to)
			if cast != Refused || why != test.why {
				t.Errorf("CastOf(%s, %s) = %s, %q; want refused, %q", test.from, test.to, cast, why, test.why)
			}
		})
	}
}

func TestParseNullPolicy(t *testing.T) {
	tests := []struct {
		name, in string
		want     NullPolicy
	}{
		{"the default", "error", NullPolicy{Action: NullError}},
		{"case does not matter", "NaN", NullPolicy{Action: NullNaN}},
		{"rows can be rejected", "reject", NullPolicy{Action: NullReject}},
		{"anything else is a constant", "-1.5", NullPolicy{Action: NullFill, Value: "-1.5"}},
		{"an empty constant is one, for text", "", NullPolicy{Action: NullFill}},
		{"an equals sign makes a word a constant", "=error", NullPolicy{Action: NullFill, Value: "error"}},
		{"and itself one", "==", NullPolicy{Action: NullFill, Value: "="}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := ParseNullPolicy(test.in)
			if got != test.want {
				t.Errorf("ParseNullPolicy(%q) = %#v; want %#v", test.in, got, test.want)
			}
			if again := ParseNullPolicy(got.String()); again != got {
				t.Errorf("ParseNullPolicy(%q) = %#v; want %#v as before", got.String(), again, got)
			}
		})
	}
}

func TestResolveNulls(t *testing.T) {
	byName := func(s string) NullPolicies {
		return NullPolicies{ByColumn: map[string]NullPolicy{"a": ParseNullPolicy(s)}}
	}
	all := func(s string) NullPolicies { return NullPolicies{Default: ParseNullPolicy(s)} }
	tests := []struct {
		name     string
		policies NullPolicies
		elem     models.ElementType
		want     string // the policy, or the error
	}{
		{"nothing said is error", NullPolicies{}, models.Float32, "error"},
		{"nan for all holds where there is a NaN", all("nan"), models.BFloat16, "nan"},
		{"and leaves the others at error", all("nan"), models.Int64, "error"},
		{"nan by name must fit", byName("nan"), models.Int64, "--nulls a=nan: int64 tensors have no NaN; use a constant or reject"},
		{"a name wins over all", NullPolicies{Default: ParseNullPolicy("nan"), ByColumn: byName("0").ByColumn}, models.Float32, "0"},
		{"a constant must fit its type", byName("300"), models.Uint8, `--nulls a=300 does not fit column "a", which becomes uint8: "300" is not an unsigned integer of 8 bits (give that column its own: --nulls a=...)`},
		{"and its range", all("65520"), models.Float16, `--nulls 65520 does not fit column "a", which becomes float16: "65520" is out of its range (give that column its own: --nulls a=...)`},
		{"the last that does", all("65519"), models.Float16, "65519"},
		{"float32 has a range too", all("1e39"), models.Float32, `--nulls 1e39 does not fit column "a", which becomes float32: "1e39" is out of its range (give that column its own: --nulls a=...)`},
		{"infinity may be meant", all("-inf"), models.Float16, "-inf"},
		{"words are not numbers", all("none"), models.Float64, `--nulls none does not fit column "a", which becomes float64: "none" is not a number (give that column its own: --nulls a=...)`},
		{"nor truth values", all("2"), models.Bool, `--nulls 2 does not fit column "a", which becomes bool: "2" is not true or false (give that column its own: --nulls a=...)`},
		{"fractions are not integers", all("0.5"), models.Int8, `--nulls 0.5 does not fit column "a", which becomes int8: "0.5" is not an integer of 8 bits (give that column its own: --nulls a=...)`},
		{"any text is text", all("none"), models.String, "none"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			policy, _, err := test.policies.resolve("a", test.elem)
			got := policy.String()
			if err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("resolve(a, %s) = %s; want %s", test.elem, got, test.want)
			}
		})
	}
}
