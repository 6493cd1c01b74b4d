package feature

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // where the machine has no time zones; a job must not depend on that
)

// maxZoneSpans bounds how many spans of a zone are kept: DST makes two a year.
const maxZoneSpans = 4096

// findZone is the time zone of a name of the IANA database, or of an offset such as
// +01:00.
func findZone(name string) (*time.Location, error) {
	for _, layout := range []string{"-07:00", "-0700", "-07"} {
		if at, err := time.Parse(layout, name); err == nil {
			_, offset := at.Zone()
			return time.FixedZone(name, offset), nil
		}
	}
	if name == "" || strings.EqualFold(name, "local") { // Go's word for the machine's
		return nil, fmt.Errorf("%q is no time zone: write a name of the IANA database, such as Europe/Berlin, or an offset, such as +01:00", name)
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("unknown time zone %q: write a name of the IANA database, such as Europe/Berlin, or an offset, such as +01:00", name)
	}
	return loc, nil
}

// zoneSpan is a span of time, in seconds of 1970, in which a zone's clocks show
// offset seconds more than UTC.
type zoneSpan struct{ start, end, offset int64 }

// zoneClock knows a zone's offsets. It belongs to one goroutine.
type zoneClock struct {
	loc   *time.Location
	spans []zoneSpan // in order; those that were asked for
	// near are those that were asked for last, by some bits of the time: each place is
	// of 12 days, and all are of 34 years.
	near [1024]zoneSpan
}

// newZoneClock is nil where no zone is given.
func newZoneClock(loc *time.Location) *zoneClock {
	if loc == nil {
		return nil
	}
	return &zoneClock{loc: loc}
}

// offset is that of a time in seconds of 1970.
func (z *zoneClock) offset(at int64) int64 {
	s := &z.near[uint64(at>>20)%uint64(len(z.near))]
	if at < s.start || at >= s.end {
		*s = z.span(at)
	}
	return s.offset
}

// span is the one that a time lies in.
func (z *zoneClock) span(at int64) zoneSpan {
	i, _ := slices.BinarySearchFunc(z.spans, at, func(s zoneSpan, at int64) int {
		if s.end <= at {
			return -1
		}
		return 1
	})
	if i < len(z.spans) && z.spans[i].start <= at {
		return z.spans[i]
	}
	t := time.Unix(at, 0).In(z.loc)
	start, end := t.ZoneBounds()
	_, offset := t.Zone()
	s := zoneSpan{start: math.MinInt64, end: math.MaxInt64, offset: int64(offset)}
	if !start.IsZero() {
		s.start = start.Unix()
	}
	if !end.IsZero() {
		s.end = end.Unix()
	}
	if len(z.spans) == maxZoneSpans {
		z.spans, i = z.spans[:0], 0
	}
	z.spans = slices.Insert(z.spans, i, s)
	return s
}

// utc is when a clock of the zone shows a time, in seconds of 1970. Of two times that
// it shows the same, it is the first; a time that the clock leaves out counts on from
// before the change. So Python does it for fold=0 (PEP 495; Lib/datetime.py:
// datetime._mktime).
func (z *zoneClock) utc(shown int64) int64 {
	const day = 86400 // zones change by no more
	first := shown - z.offset(shown)
	if first+z.offset(first) != shown {
		before := shown - z.offset(first)
		if before+z.offset(before) == shown {
			return before
		}
		return max(first, before)
	}
	if other := shown - z.offset(first-day); other != first && other+z.offset(other) == shown {
		return other
	}
	return first
}
