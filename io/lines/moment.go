package lines

import (
	"encoding/binary"
	"math"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/internal/numerals"
)

// moment is a point in time as it is written.
type moment struct {
	seconds int64 // since 1970, of the clock that it is written by
	nanos   int64
	places  int  // digits of the second's fraction
	zoned   bool // an offset stood behind it, which has been taken off
	dated   bool // it is a date alone
}

// two reads two digits; they are 100 or more where they are none.
func two(text []byte) int64 {
	a, b := text[0]-'0', text[1]-'0'
	if a > 9 || b > 9 {
		return math.MaxInt32
	}
	return int64(a)*10 + int64(b)
}

// parseDay reads YYYY-MM-DD as days since 1970.
func parseDay(text []byte) (days int64, ok bool) {
	if len(text) != 10 || text[4] != '-' || text[7] != '-' {
		return 0, false
	}
	y, m, d := two(text[0:2])*100+two(text[2:4]), two(text[5:7]), two(text[8:10])
	if y > 9999 || m < 1 || m > 12 || d < 1 || d > daysOf(y, m) {
		return 0, false
	}
	return daysSince1970(y, m, d), true
}

func daysOf(y, m int64) int64 {
	if m == 2 {
		if y%4 == 0 && (y%100 != 0 || y%400 == 0) {
			return 29
		}
		return 28
	}
	return 30 + (m+m/8)%2
}

// daysSince1970 counts days of the Gregorian calendar.
//
// Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil.
func daysSince1970(y, m, d int64) int64 {
	if m <= 2 {
		y--
		m += 12
	}
	era := y / 400
	if y < 0 {
		era = (y - 399) / 400
	}
	ofEra := y - era*400
	ofYear := (153*(m-3)+2)/5 + d - 1
	return era*146097 + ofEra*365 + ofEra/4 - ofEra/100 + ofYear - 719468
}

// parseMoment reads YYYY-MM-DD, with T or a space and HH:MM, with :SS, with a fraction
// of up to nine digits, and with Z or an offset such as +01:00.
func parseMoment(text []byte) (m moment, ok bool) {
	if len(text) < 10 {
		return m, false
	}
	days, ok := parseDay(text[:10])
	if !ok {
		return m, false
	}
	m.seconds = days * 86400
	if text = text[10:]; len(text) == 0 {
		m.dated = true
		return m, true
	}
	if len(text) < 6 || text[0] != ' ' && text[0] != 'T' && text[0] != 't' || text[3] != ':' {
		return m, false
	}
	h, minutes := two(text[1:3]), two(text[4:6])
	if h > 23 || minutes > 59 {
		return m, false
	}
	m.seconds += h*3600 + minutes*60
	if text = text[6:]; len(text) >= 3 && text[0] == ':' {
		s := two(text[1:3])
		if s > 59 {
			return m, false
		}
		m.seconds += s
		if text = text[3:]; len(text) > 1 && text[0] == '.' {
			text = m.fraction(text[1:])
		}
	}
	if len(text) == 0 {
		return m, true
	}
	offset, ok := parseOffset(text)
	m.zoned, m.seconds = true, m.seconds-offset
	return m, ok
}

// fraction reads up to nine digits of a second's fraction.
func (m *moment) fraction(text []byte) (rest []byte) {
	for m.places < 9 && m.places < len(text) && text[m.places]-'0' <= 9 {
		m.nanos = m.nanos*10 + int64(text[m.places]-'0')
		m.places++
	}
	for range 9 - m.places {
		m.nanos *= 10
	}
	if m.places == 0 {
		return []byte{'.'} // which is no offset
	}
	return text[m.places:]
}

// parseOffset reads Z, +HH, +HHMM or +HH:MM in seconds.
func parseOffset(text []byte) (seconds int64, ok bool) {
	if len(text) == 1 && text[0]|0x20 == 'z' {
		return 0, true
	}
	if len(text) < 3 || text[0] != '+' && text[0] != '-' {
		return 0, false
	}
	h, minutes := two(text[1:3]), int64(0)
	switch rest := text[3:]; {
	case len(rest) == 0:
	case len(rest) == 2:
		minutes = two(rest)
	case len(rest) == 3 && rest[0] == ':':
		minutes = two(rest[1:])
	default:
		return 0, false
	}
	if h > 23 || minutes > 59 {
		return 0, false
	}
	if seconds = h*3600 + minutes*60; text[0] == '-' {
		seconds = -seconds
	}
	return seconds, true
}

// perSecond are a unit's ticks in a second.
var perSecond = [...]int64{arrow.Second: 1, arrow.Millisecond: 1e3, arrow.Microsecond: 1e6, arrow.Nanosecond: 1e9}

// clock reads the times of one column.
type clock struct {
	forms *forms
	to    *arrow.TimestampType

	per         int64 // ticks in a second
	places      int   // digits of a second's fraction that the unit has
	least, most int64 // seconds that it counts surely
	zoned       bool  // times have an offset
	unzoned     bool  // times may have none
}

func newClock(f *forms, to *arrow.TimestampType) *clock {
	per := perSecond[to.Unit]
	return &clock{
		forms: f, to: to, per: per, places: 3 * int(to.Unit), least: math.MinInt64/per + 1, most: math.MaxInt64/per - 1,
		zoned: to.TimeZone != "", unzoned: to.TimeZone == "" || isUTC(to.TimeZone),
	}
}

// read reads the time between two offsets.
func (c *clock) read(text []byte, from, to int) (v arrow.Timestamp, ok bool) {
	if c.forms.instant == nil {
		if v, ok := c.plain(text, from, to); ok {
			return v, true
		}
	}
	m, ok := c.forms.moment(text[from:to])
	if !ok {
		return 0, false
	}
	ticks, why := m.ticks(c.to)
	return arrow.Timestamp(ticks), why == ""
}

// plain reads YYYY-MM-DD HH:MM:SS, or with T, with a fraction and Z, as most times are
// written; what it does not read may be a time yet. Its bytes are compared with those of
// such a text all together: what differs are the digits' values.
func (c *clock) plain(text []byte, from, to int) (v arrow.Timestamp, ok bool) {
	const (
		whole = len("YYYY-MM-DDTHH:MM:SS")
		// Added to what differs, these set the top bit of a byte that is more than a digit
		// of day, time and second may be.
		mostDay, mostTime, mostSecond = 0x7f76767f76767676, 0x76767f7676007676, 0x76767f
	)
	zoned := to > from && text[to-1] == 'Z'
	if zoned {
		to--
	}
	if to-from < whole || zoned && !c.zoned || !zoned && !c.unzoned {
		return 0, false
	}
	date, clock := binary.LittleEndian.Uint64(text[from:from+8]), binary.LittleEndian.Uint64(text[from+8:from+16])
	second := binary.LittleEndian.Uint64(text[from+16 : from+24])
	between := byte(clock >> 16)
	date ^= zeroDay
	clock = clock&^(0xff<<16) ^ zeroTime
	second = (second ^ zeroSecond) & 0xffffff
	if (date|(date+mostDay)|clock|(clock+mostTime)|second|(second+mostSecond))&(0x80*ones) != 0 || between != 'T' && between != ' ' {
		return 0, false
	}
	// Of two digits that follow one another, the first one's byte has their number.
	date, clock, second = date*10+date>>8, clock*10+clock>>8, second*10+second>>8
	y, m, d := int64(date&0xff)*100+int64(date>>16&0xff), int64(date>>40&0xff), int64(clock&0xff)
	h, minute, s := int64(clock>>24&0xff), int64(clock>>48&0xff), int64(second>>8&0xff)
	if m < 1 || m > 12 || d < 1 || d > daysOf(y, m) || h > 23 || minute > 59 || s > 59 {
		return 0, false
	}
	s += daysSince1970(y, m, d)*secondsOfDay + h*3600 + minute*60
	if s < c.least || s > c.most {
		return 0, false
	}
	v = arrow.Timestamp(s * c.per)
	if from += whole; from == to {
		return v, true
	}
	places := to - from - 1
	if text[from] != '.' || places < 1 || places > c.places {
		return 0, false
	}
	part, ok := numerals.Digits(text, from+1, to)
	return v + arrow.Timestamp(part*numerals.PowerOfTen(c.places-places)), ok
}

// What a time has but for its digits' values, as it is loaded; what stands between day and
// time is left out.
var (
	zeroDay    = asWord("0000-00-")
	zeroTime   = asWord("00\x0000:00")
	zeroSecond = asWord(":00\x00\x00\x00\x00\x00")
)

func asWord(text string) uint64 { return binary.LittleEndian.Uint64([]byte(text)) }

// ticks counts a moment in a column's unit. A moment without an offset is one of UTC's,
// and only where that is the column's zone or it has none; why says why it is not.
func (m *moment) ticks(t *arrow.TimestampType) (v int64, why string) {
	switch {
	case m.zoned && t.TimeZone == "":
		return 0, "has an offset, and the column's type has no zone"
	case !m.zoned && t.TimeZone != "" && !isUTC(t.TimeZone):
		return 0, "has no offset, and the clocks of the column's zone show some times twice"
	}
	per := perSecond[t.Unit]
	part := 1_000_000_000 / per
	if m.nanos%part != 0 {
		return 0, "has more digits than the column's unit, " + t.Unit.String()
	}
	if m.beyond(t.Unit) {
		return 0, "is beyond the times of the column's unit, " + t.Unit.String()
	}
	return m.seconds*per + m.nanos/part, "" // the product may wrap around, and the sum is back
}

// beyond says that a unit does not count as far. The last time of nanoseconds is what pandas has
// for one that never comes.
func (m *moment) beyond(unit arrow.TimeUnit) bool {
	per := perSecond[unit]
	ticks := m.nanos / (1_000_000_000 / per)
	last, first := int64(math.MaxInt64)/per, int64(math.MinInt64)/per
	if first*per > math.MinInt64 { // the second before, since nanos count up from it
		first--
	}
	return m.seconds > last || m.seconds == last && ticks > math.MaxInt64-last*per ||
		m.seconds < first || m.seconds == first && ticks < math.MinInt64-first*per
}

func isUTC(zone string) bool {
	switch strings.ToUpper(zone) {
	case "UTC", "Z", "ETC/UTC", "GMT", "+00:00":
		return true
	}
	return false
}
