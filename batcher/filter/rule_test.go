package filter

import (
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/batcher/feature"
)

// TestRangesOfNothing: a range whose ends are the wrong way round is refused, whatever orders
// them; one value is a range.
func TestRangesOfNothing(t *testing.T) {
	number, text := func(digits string) feature.Scalar {
		s, err := feature.ParseNumber(digits)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}, feature.TextOf
	for _, c := range []struct {
		typ          arrow.DataType
		least, other feature.Scalar
	}{
		{arrow.PrimitiveTypes.Float64, number("0.1"), number("1e1")},
		{arrow.PrimitiveTypes.Int64, number("9007199254740992"), number("9007199254740993")},
		{&arrow.Decimal128Type{Precision: 5, Scale: 2}, number("9.99"), number("10")},
		{arrow.BinaryTypes.String, text("10"), text("9")},
		{arrow.FixedWidthTypes.Date32, text("2026-02-01"), text("2026-02-01T12:00")},
		{&arrow.TimestampType{Unit: arrow.Second, TimeZone: "UTC"}, text("2026-02-01T12:00:00+02:00"), text("2026-02-01T11:00:00Z")},
		{arrow.FixedWidthTypes.Time32s, text("09:00"), text("10:00:01")},
		{arrow.FixedWidthTypes.Duration_s, text("90m"), text("2h")},
	} {
		schema := arrow.NewSchema([]arrow.Field{{Name: "x", Type: c.typ}}, nil)
		of := func(least, most feature.Scalar) error {
			_, err := NewRules([]Rule{{Column: "x", Range: &Range{Min: &least, Max: &most}}}, schema)
			return err
		}
		for _, err := range []error{of(c.least, c.other), of(c.least, c.least), of(c.other, c.other)} {
			if err != nil {
				t.Errorf("%s: NewRules() = %v", c.typ, err)
			}
		}
		if err := of(c.other, c.least); err == nil || !strings.Contains(err.Error(), "range: min is "+c.other.String()+", and max is less: "+c.least.String()) {
			t.Errorf("%s: NewRules() of a range from %s to %s = %v; want an error with both", c.typ, c.other, c.least, err)
		}
	}
}
