package rowtext

import (
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

const (
	secondsPerDay = 86_400
	msPerDay      = 86_400_000
)

// perSecond and fraction are a unit's ticks in a second and their digits.
var (
	perSecond = [...]int64{arrow.Second: 1, arrow.Millisecond: 1e3, arrow.Microsecond: 1e6, arrow.Nanosecond: 1e9}
	fraction  = [...]int{arrow.Second: 0, arrow.Millisecond: 3, arrow.Microsecond: 6, arrow.Nanosecond: 9}
)

// temporalCell renders dates, times, timestamps, durations and intervals.
func temporalCell(a arrow.Array) (cell, bool) {
	switch a := a.(type) {
	case *array.Date32:
		var day dayText
		return codes(a, a.Values(), func(dst []byte, v arrow.Date32) []byte { return day.append(dst, int64(v)) }), true
	case *array.Date64:
		var day dayText
		return codes(a, a.Values(), func(dst []byte, v arrow.Date64) []byte {
			if int64(v)%msPerDay != 0 { // against the format; lose nothing
				return day.appendTimestamp(dst, int64(v), arrow.Millisecond)
			}
			return day.append(dst, int64(v)/msPerDay)
		}), true
	case *array.Time32:
		unit := a.DataType().(*arrow.Time32Type).Unit
		return codes(a, a.Values(), func(dst []byte, v arrow.Time32) []byte { return appendTime(dst, int64(v), unit) }), true
	case *array.Time64:
		unit := a.DataType().(*arrow.Time64Type).Unit
		return codes(a, a.Values(), func(dst []byte, v arrow.Time64) []byte { return appendTime(dst, int64(v), unit) }), true
	case *array.Timestamp:
		dt := a.DataType().(*arrow.TimestampType)
		var day dayText
		return codes(a, a.Values(), func(dst []byte, v arrow.Timestamp) []byte {
			dst = day.appendTimestamp(dst, int64(v), dt.Unit)
			if dt.TimeZone != "" {
				dst = append(dst, 'Z')
			}
			return dst
		}), true
	case *array.Duration:
		unit := a.DataType().(*arrow.DurationType).Unit
		return codes(a, a.Values(), func(dst []byte, v arrow.Duration) []byte {
			return append(appendSeconds(append(dst, "PT"...), int64(v), unit), 'S')
		}), true
	case *array.MonthInterval:
		return codes(a, a.Values(), func(dst []byte, v arrow.MonthInterval) []byte {
			return append(strconv.AppendInt(append(dst, 'P'), int64(v), 10), 'M')
		}), true
	case *array.DayTimeInterval:
		return codes(a, a.DayTimeIntervalValues(), func(dst []byte, v arrow.DayTimeInterval) []byte {
			dst = strconv.AppendInt(append(dst, 'P'), int64(v.Days), 10)
			return append(appendSeconds(append(dst, "DT"...), int64(v.Milliseconds), arrow.Millisecond), 'S')
		}), true
	case *array.MonthDayNanoInterval:
		return codes(a, a.MonthDayNanoIntervalValues(), func(dst []byte, v arrow.MonthDayNanoInterval) []byte {
			dst = strconv.AppendInt(append(dst, 'P'), int64(v.Months), 10)
			dst = strconv.AppendInt(append(dst, 'M'), int64(v.Days), 10)
			return append(appendSeconds(append(dst, "DT"...), v.Nanoseconds, arrow.Nanosecond), 'S')
		}), true
	default:
		return cell{}, false
	}
}

// divide is division towards minus infinity.
func divide(a, b int64) (quotient, rest int64) {
	quotient, rest = a/b, a%b
	if rest < 0 {
		quotient, rest = quotient-1, rest+b
	}
	return quotient, rest
}

// appendPadded appends v, not negative, with at least width digits, up to 9.
func appendPadded(dst []byte, v int64, width int) []byte {
	var digits [9]byte
	for i := width - 1; i >= 0; i-- {
		digits[i] = '0' + byte(v%10)
		v /= 10
	}
	if v > 0 { // the digits beyond the width
		dst = strconv.AppendInt(dst, v, 10)
	}
	return append(dst, digits[:width]...)
}

// dayText is the text of the day that was asked for last: neighbours often have the
// same.
type dayText struct {
	day  int64
	text []byte
}

// append appends a day counted from 1970-01-01.
func (d *dayText) append(dst []byte, day int64) []byte {
	if d.text == nil || d.day != day {
		d.day, d.text = day, appendDate(d.text[:0], day)
	}
	return append(dst, d.text...)
}

func (d *dayText) appendTimestamp(dst []byte, v int64, unit arrow.TimeUnit) []byte {
	seconds, ticks := divide(v, perSecond[unit])
	day, second := divide(seconds, secondsPerDay)
	return appendTime(append(d.append(dst, day), 'T'), second*perSecond[unit]+ticks, unit)
}

// appendDate appends a day counted from 1970-01-01. package time would wrap
// around for some of the days that a column of seconds can hold. The algorithm
// is days_from_civil's inverse: https://howardhinnant.github.io/date_algorithms.html
func appendDate(dst []byte, days int64) []byte {
	era, dayOfEra := divide(days+719_468, 146_097)
	yearOfEra := (dayOfEra - dayOfEra/1460 + dayOfEra/36_524 - dayOfEra/146_096) / 365
	dayOfYear := dayOfEra - (365*yearOfEra + yearOfEra/4 - yearOfEra/100) // from 1 March
	m := (5*dayOfYear + 2) / 153
	day := dayOfYear - (153*m+2)/5 + 1
	year, month := yearOfEra+era*400, m+3
	if month > 12 {
		year, month = year+1, month-12
	}
	switch {
	case year < 0:
		dst, year = append(dst, '-'), -year
	case year > 9999:
		dst = append(dst, '+')
	}
	dst = append(appendPadded(dst, year, 4), '-')
	dst = append(appendPadded(dst, month, 2), '-')
	return appendPadded(dst, day, 2)
}

// appendTime appends a time of day; hours go on past 24 where v does.
func appendTime(dst []byte, v int64, unit arrow.TimeUnit) []byte {
	if v < 0 {
		dst, v = append(dst, '-'), -v
	}
	seconds, ticks := v/perSecond[unit], v%perSecond[unit]
	dst = append(appendPadded(dst, seconds/3600, 2), ':')
	dst = append(appendPadded(dst, seconds/60%60, 2), ':')
	dst = appendPadded(dst, seconds%60, 2)
	if n := fraction[unit]; n > 0 {
		dst = appendPadded(append(dst, '.'), ticks, n)
	}
	return dst
}

// appendSeconds appends v in seconds, exactly, without zeros at the end.
func appendSeconds(dst []byte, v int64, unit arrow.TimeUnit) []byte {
	whole, ticks := v/perSecond[unit], v%perSecond[unit]
	if v < 0 && whole == 0 {
		dst = append(dst, '-')
	}
	dst = strconv.AppendInt(dst, whole, 10)
	if ticks == 0 {
		return dst
	}
	dst = appendPadded(append(dst, '.'), max(ticks, -ticks), fraction[unit])
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	return dst
}
