package dataset

import (
	"testing"
	"time"
)

func TestDated(t *testing.T) {
	for _, tc := range []struct{ why, path, from, to string }{
		{"a date's folder", "/d/date=2026-11-22/part-0.parquet", "2026-11-22T00", "2026-11-23T00"},
		{"of any name", "s3://b/x/departed=2026-12-31/region=EU/p", "2026-12-31T00", "2027-01-01T00"},
		{"escaped, as Hive does", "date=2026%2D11%2D22/p", "2026-11-22T00", "2026-11-23T00"},
		{"digits alone, where the key says that they are a date", "dt=20261122/p", "2026-11-22T00", "2026-11-23T00"},
		{"and not otherwise", "id=20261122/p", "", ""},
		{"a year", "year=2026/p", "2026-01-01T00", "2027-01-01T00"},
		{"a month", "Year=2026/month=02/p", "2026-02-01T00", "2026-03-01T00"},
		{"a day", "year=2024/month=2/day=29/p", "2024-02-29T00", "2024-03-01T00"},
		{"an hour, and a new year after it", "year=2026/month=12/day=31/hour=23/p", "2026-12-31T23", "2027-01-01T00"},
		{"a month without a year", "month=2/p", "", ""},
		{"no such day", "year=2026/month=2/day=30/p", "", ""},
		{"no such month", "year=2026/month=13/p", "", ""},
		{"two dates", "from=2026-11-22/to=2026-11-23/p", "", ""},
		{"the file's own name is no folder", "date=2026-11-22", "", ""},
		{"no date", "region=EU/2026-11-22/p", "", ""},
	} {
		from, to, ok := Dated(tc.path)
		got := [2]string{}
		if ok {
			got = [2]string{from.Format("2006-01-02T15"), to.Format("2006-01-02T15")}
		}
		if want := [2]string{tc.from, tc.to}; got != want {
			t.Errorf("%s: Dated(%q) = %q; want %q", tc.why, tc.path, got, want)
		}
	}
}

func TestParseSince(t *testing.T) {
	now := time.Date(2026, 11, 28, 3, 0, 0, 0, time.FixedZone("CET", 3600))
	for _, tc := range []struct{ why, text, want string }{
		{"a date is of UTC", "2026-11-22", "2026-11-22T00:00:00Z"},
		{"a timestamp with a zone", "2026-11-22T06:00:00+02:00", "2026-11-22T04:00:00Z"},
		{"a timestamp without", "2026-11-22T06:00", "2026-11-22T06:00:00Z"},
		{"hours ago", "36h", "2026-11-26T14:00:00Z"},
		{"days ago", "7d", "2026-11-21T02:00:00Z"},
		{"weeks ago", "2w", "2026-11-14T02:00:00Z"},
		{"no time at all", "yesterday", ""},
		{"a time to come", "-1h", ""},
		{"days to come", "-1d", ""},
		{"more days than a duration has", "99999999999d", ""},
		{"no such day", "2026-02-30", ""},
		{"nothing", "", ""},
	} {
		got, err := ParseSince(tc.text, now)
		if text := got.Format(time.RFC3339); err == nil && text != tc.want || err != nil && tc.want != "" {
			t.Errorf("%s: ParseSince(%q) = %s, %v; want %q", tc.why, tc.text, text, err, tc.want)
		}
	}
}
