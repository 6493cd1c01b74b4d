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
