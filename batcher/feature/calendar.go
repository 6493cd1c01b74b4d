package feature

// civilDay is a day of the proleptic Gregorian calendar.
type civilDay struct {
	year                  int64
	month, day, dayOfYear int // from 1
}

// civilOf is the day so many days after 1970-01-01 (Howard Hinnant, "chrono-Compatible
// Low-Level Date Algorithms": civil_from_days). Its years begin in March, so that a
// leap day is the last.
func civilOf(days int64) civilDay {
	const daysOf400 = 146097
	days += 719468 // from 0000-03-01
	era := floorDiv(days, daysOf400)
	ofEra := int(days - era*daysOf400)
	yearOfEra := (ofEra - ofEra/1460 + ofEra/36524 - ofEra/146096) / 365
	ofYear := ofEra - (365*yearOfEra + yearOfEra/4 - yearOfEra/100)
	fromMarch := (5*ofYear + 2) / 153
	c := civilDay{year: int64(yearOfEra) + era*400, day: ofYear - (153*fromMarch+2)/5 + 1}
	if fromMarch >= 10 { // January and February are the next year's
		c.year++
		c.month, c.dayOfYear = fromMarch-9, ofYear-305
		return c
	}
	c.month, c.dayOfYear = fromMarch+3, ofYear+60
	if c.year%4 == 0 && (c.year%100 != 0 || c.year%400 == 0) {
		c.dayOfYear++
	}
	return c
}

// weekdayOf is the weekday of a day after 1970-01-01, which was a Thursday: Monday is 0.
func weekdayOf(days int64) int { return int(floorMod(days+3, 7)) }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func floorMod(a, b int64) int64 { return a - floorDiv(a, b)*b }

// shown is what a clock and its calendar show, in one word: the year in the highest bits,
// and below it month, day, day of the year, weekday and the second of the day.
type shown int64

// Where the parts of shown begin; the second of the day is at 0.
const (
	weekdayAt   = 17
	dayOfYearAt = weekdayAt + 3
	dayAt       = dayOfYearAt + 9
	monthAt     = dayAt + 5
	yearAt      = monthAt + 4 // 26 bits: maxSeconds are nine million years

	secondsMask = 1<<weekdayAt - 1
)

// shownOn is midnight of a day after 1970-01-01.
func shownOn(day int64) shown {
	c := civilOf(day)
	return shown(c.year<<yearAt | int64(c.month)<<monthAt | int64(c.day)<<dayAt |
		int64(c.dayOfYear)<<dayOfYearAt | int64(weekdayOf(day))<<weekdayAt)
}

// noDay is farther away than any day of maxSeconds.
const noDay = 1 << 48

// calendar remembers the days that were asked for last. It belongs to one goroutine.
type calendar struct {
	days [4096]struct { // each has one place: those of eleven years have one each
		day      int64 // plus noDay, so that 0 is none that was asked for
		midnight shown
	}
}

// at is what is shown so many seconds after 1970-01-01.
func (c *calendar) at(seconds int64) shown {
	day := floorDiv(seconds, secondsOfDay)
	e := &c.days[uint64(day)%uint64(len(c.days))]
	if e.day != day+noDay {
		e.day, e.midnight = day+noDay, shownOn(day)
	}
	return e.midnight + shown(seconds-day*secondsOfDay)
}
