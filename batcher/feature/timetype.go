package feature

import "github.com/apache/arrow-go/v18/arrow"

// timeClass is what a time says.
type timeClass int

const (
	instant   timeClass = iota // a point in time
	clockTime                  // what some clock and calendar showed
	date                       // the same at midnight
	timeOfDay
)

var timeClassNames = [...]string{instant: "timestamp", clockTime: "timestamp without a time zone", date: "date", timeOfDay: "time of day"}

func (c timeClass) String() string { return timeClassNames[c] }

const secondsOfDay = 86400

// maxSeconds bounds times, in seconds of 1970: beyond any that Arrow's dates can say.
const maxSeconds = 1 << 48

// timeType says how a lane's counts are times: perSecond units are a second, or, where
// it is 0, each is a day.
type timeType struct {
	class     timeClass
	perSecond int64
	zone      string // of an instant
}

func timeTypeOf(t arrow.DataType) (timeType, bool) {
	switch t := t.(type) {
	case *arrow.TimestampType:
		if t.TimeZone == "" {
			return timeType{class: clockTime, perSecond: perSecond(t.Unit)}, true
		}
		return timeType{class: instant, perSecond: perSecond(t.Unit), zone: t.TimeZone}, true
	case *arrow.Date32Type:
		return timeType{class: date}, true
	case *arrow.Date64Type:
		return timeType{class: date, perSecond: perSecond(arrow.Millisecond)}, true
	case *arrow.Time32Type:
		return timeType{class: timeOfDay, perSecond: perSecond(t.Unit)}, true
	case *arrow.Time64Type:
		return timeType{class: timeOfDay, perSecond: perSecond(t.Unit)}, true
	default:
		return timeType{}, false
	}
}

func perSecond(unit arrow.TimeUnit) int64 {
	switch unit {
	case arrow.Second:
		return 1
	case arrow.Millisecond:
		return 1e3
	case arrow.Microsecond:
		return 1e6
	default:
		return 1e9
	}
}

// seconds are a count's whole seconds of 1970, and the units that are left over; ok is
// false beyond maxSeconds.
func (t timeType) seconds(count int64) (seconds, rest int64, ok bool) {
	switch t.perSecond {
	case 0:
		seconds = count * secondsOfDay // of 32 bits
	case 1:
		seconds = count
	case 1e3: // a division by a constant is a product to the machine
		seconds = floorDiv(count, 1e3)
	case 1e6:
		seconds = floorDiv(count, 1e6)
	default:
		seconds = floorDiv(count, 1e9)
	}
	if t.perSecond > 1 {
		rest = count - seconds*t.perSecond
	}
	if t.class == date {
		seconds, rest = seconds-floorMod(seconds, secondsOfDay), 0
	}
	return seconds, rest, seconds >= -maxSeconds && seconds <= maxSeconds
}

// epoch is the float64 nearest to a time of whole seconds and some units.
func (t timeType) epoch(seconds, rest int64) float64 {
	const exact = 1 << 53 // every integer up to here is a float64
	switch {
	case rest == 0:
		return float64(seconds)
	case max(seconds, -seconds) < exact/t.perSecond:
		return float64(seconds*t.perSecond+rest) / float64(t.perSecond)
	}
	// No fraction of such units is so near the middle of two float64s, this far from 0,
	// that rounding it before the sum could matter.
	return float64(seconds) + float64(rest)/float64(t.perSecond)
}
