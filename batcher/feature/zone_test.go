package feature_test

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/batcher/feature"
)

// TestClocks: what a clock shows is the instant that Python's zoneinfo takes it for, also
// where clocks change: datetime.fromisoformat(shown).replace(tzinfo=ZoneInfo(zone)).timestamp()
// of Python 3.12, with fold 0.
func TestClocks(t *testing.T) {
	tests := []struct {
		zone, shown string
		want        int64
	}{
		{"America/New_York", "2013-03-10T02:30:00", 1362900600}, // left out
		{"America/New_York", "2013-11-03T01:30:00", 1383456600}, // twice
		{"America/New_York", "2013-11-03T02:00:00", 1383462000},
		{"America/New_York", "2013-03-10T01:59:59", 1362898799},
		{"Europe/Berlin", "2013-10-27T02:00:00", 1382832000},
		{"Europe/Berlin", "2013-10-27T02:59:59", 1382835599},
		{"Europe/Berlin", "2013-03-31T02:00:00", 1364691600},
		{"Australia/Lord_Howe", "2013-04-07T01:45:00", 1365259500}, // by half an hour
		{"Australia/Lord_Howe", "2013-10-06T02:15:00", 1380987900},
		{"Pacific/Apia", "2011-12-30T12:00:00", 1325282400}, // a day left out
		{"Europe/Berlin", "1893-03-31T23:55:00", -2422054708},
		{"America/New_York", "1883-11-18T12:01:00", -2717650978},
		{"Asia/Kolkata", "1969-12-31T23:59:59", -19801},
		{"America/New_York", "2050-07-01T00:00:00", 2540260800},
		{"Europe/Berlin", "1944-10-02T02:30:00", -796779000},
	}
	for _, test := range tests {
		shown, err := time.Parse("2006-01-02T15:04:05", test.shown)
		if err != nil {
			t.Fatal(err)
		}
		if got := epochOf(t, test.zone, arrow.Second, shown.Unix()); got != float64(test.want) {
			t.Errorf("%s in %s = %v; want %d", test.shown, test.zone, got, test.want)
		}
	}
}

// TestEpochsAreNearest: a fraction of a second keeps its digits on both sides of 0, and is
// rounded once.
func TestEpochsAreNearest(t *testing.T) {
	for _, test := range []struct {
		unit  arrow.TimeUnit
		count int64
		want  float64
	}{
		{arrow.Millisecond, 1, 0.001},
		{arrow.Millisecond, -1, -0.001},
		{arrow.Microsecond, -1, -1e-6},
		{arrow.Nanosecond, -1, -1e-9},
		{arrow.Millisecond, -1000, -1},
		{arrow.Millisecond, -1001, -1.001},
		{arrow.Microsecond, -86399999999, -86399.999999},
		{arrow.Microsecond, 1999999, 1.999999},
		{arrow.Nanosecond, 1700000000123456789, 1700000000.123456789},
	} {
		if got := epochOf(t, "UTC", test.unit, test.count); got != test.want {
			t.Errorf("%d %s = %v; want %v", test.count, test.unit, got, test.want)
		}
	}
}

// TestEpochsOfInstants: of every unit the epoch is the nearest to the exact quotient, and a time that
// is millions of years away is bad; both beside nulls.
func TestEpochsOfInstants(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	counts := append(make([]int64, 0, 2000), 0, 1, -1, 999, 1999999, 1<<48, 1<<48+1, -1<<48, -1<<48-1, 1<<53, 1<<53+1, 1<<53-1, -1<<53, -1<<53-1, math.MaxInt64, math.MinInt64, 1<<58, -1<<58)
	for len(counts) < cap(counts) {
		counts = append(counts, int64(random.Uint64())>>random.IntN(64))
	}
	for unit, perSecond := range map[arrow.TimeUnit]int64{arrow.Second: 1, arrow.Millisecond: 1e3, arrow.Microsecond: 1e6, arrow.Nanosecond: 1e9} {
		b := array.NewTimestampBuilder(memory.DefaultAllocator, &arrow.TimestampType{Unit: unit, TimeZone: "UTC"})
		for _, count := range counts {
			b.Append(arrow.Timestamp(count))
			b.AppendNull()
		}
		record := recordOf(t, []string{"at"}, b.NewArray())
		matrix, bad := evaluateAll(t, compileAll(t, record.Schema(), []feature.Feature{{Column: "at", Transforms: []feature.Step{{DateTime: &feature.DateTime{Part: feature.Epoch}}}}}), record)
		for i, count := range counts {
			want, _ := new(big.Rat).SetFrac64(count, perSecond).Float64()
			if tooFar := math.Abs(math.Floor(want)) > 1<<48; bad[2*i] != tooFar {
				t.Errorf("%d %s: bad %v; want %v", count, unit, bad[2*i], tooFar)
			} else if got := matrix[2*i][0]; !tooFar && got != want {
				t.Errorf("%d %s = %v; want %v", count, unit, got, want)
			}
			if null := matrix[2*i+1][0]; null == null || bad[2*i+1] {
				t.Errorf("%d %s: the null behind it is %v, bad %v", count, unit, null, bad[2*i+1])
			}
		}
	}
}

// epochOf is the epoch of a timestamp without a zone that a zone's clock shows.
func epochOf(t *testing.T, zone string, unit arrow.TimeUnit, shown int64) float64 {
	t.Helper()
	typ := &arrow.TimestampType{Unit: unit}
	b := array.NewTimestampBuilder(memory.DefaultAllocator, typ)
	b.Append(arrow.Timestamp(shown))
	column := b.NewArray()
	schema := arrow.NewSchema([]arrow.Field{{Name: "at", Type: typ}}, nil)
	record := array.NewRecordBatch(schema, []arrow.Array{column}, 1)
	defer record.Release()
	programs, err := feature.Compile([]feature.Feature{{Column: "at", Transforms: []feature.Step{{DateTime: &feature.DateTime{Part: feature.Epoch, FromZone: zone}}}}}, schema)
	if err != nil {
		t.Fatal(err)
	}
	matrix, bad := evaluateAll(t, programs, record)
	if bad[0] {
		t.Fatalf("%d is bad", shown)
	}
	return matrix[0][0]
}
