package feature

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// timePart is what is known of a part: the least value, and the period of those that
// come again, 0 for others.
type timePart struct {
	first, period int
	of            func(seconds int64) int64 // of what a clock shows
	ofDay         bool                      // the same all day
}

var timeParts = map[TimePart]timePart{
	Year:      {of: func(s int64) int64 { return civilOf(floorDiv(s, secondsOfDay)).year }, ofDay: true},
	Month:     {1, 12, func(s int64) int64 { return int64(civilOf(floorDiv(s, secondsOfDay)).month) }, true},
	Day:       {1, 31, func(s int64) int64 { return int64(civilOf(floorDiv(s, secondsOfDay)).day) }, true},
	DayOfYear: {1, 366, func(s int64) int64 { return int64(civilOf(floorDiv(s, secondsOfDay)).dayOfYear) }, true},
	Weekday:   {0, 7, func(s int64) int64 { return int64(weekdayOf(floorDiv(s, secondsOfDay))) }, true},
	Hour:      {0, 24, func(s int64) int64 { return floorMod(s, secondsOfDay) / 3600 }, false},
	Minute:    {0, 60, func(s int64) int64 { return floorMod(s, 3600) / 60 }, false},
	Second:    {0, 60, func(s int64) int64 { return floorMod(s, 60) }, false},
	Epoch:     {},
}

// compileDateTime is the step of a part of times.
func compileDateTime(d *DateTime, in valueType) (compiled, error) {
	out := compiled{out: valueType{form: formFloat64}}
	if err := d.check(in); err != nil {
		return out, err
	}
	from, to, err := d.zones(in.time)
	if err != nil {
		return out, err
	}
	if d.Cyclic == CyclicBoth {
		out.out.form = formPair
	}
	out.make = func() runner {
		r := &partReader{time: in.time, part: timeParts[d.Part]}
		if from != nil {
			r.from = &zoneClock{loc: from}
		}
		if to != nil && to != time.UTC && d.Part != Epoch {
			r.to = &zoneClock{loc: to}
		}
		if d.Part == Epoch {
			return r.epochs
		}
		if d.Cyclic != "" {
			r.circle(d.Cyclic)
		}
		return r.parts
	}
	return out, nil
}

func (d *DateTime) check(in valueType) error {
	var problems []error
	if in.form != formTime {
		return fmt.Errorf("wants a date or time, and gets %s", in)
	}
	part, known := timeParts[d.Part]
	switch {
	case d.Part == "":
		problems = append(problems, errors.New("part is missing: year, month, day, day_of_year, weekday, hour, minute, second or epoch"))
	case !known:
		problems = append(problems, oneOf("part", d.Part))
	case in.time.class == timeOfDay && d.Part != Hour && d.Part != Minute && d.Part != Second:
		problems = append(problems, fmt.Errorf("a time of day has no %s, only hour, minute and second", d.Part))
	}
	if err := oneOf("cyclic", d.Cyclic); err != nil {
		problems = append(problems, err)
	} else if d.Cyclic != "" && known && part.period == 0 {
		problems = append(problems, fmt.Errorf("cyclic is for parts that come again, and %s does not", d.Part))
	}
	return errors.Join(problems...)
}

// zones are that of the clocks whose times come in, nil where these are instants or are
// read as they stand, and that of those whose times are wanted, nil for the same.
func (d *DateTime) zones(in timeType) (from, to *time.Location, err error) {
	var problems []error
	find := func(name string) *time.Location {
		if name == "" {
			return nil
		}
		loc, err := findZone(name)
		if err != nil {
			problems = append(problems, err)
		}
		return loc
	}
	from, to = find(d.FromZone), find(d.Zone)
	switch {
	case in.class == timeOfDay && (d.Zone != "" || d.FromZone != ""):
		problems = append(problems, errors.New("a time of day has no date, so its clocks in another time zone cannot be told; leave zone and from_zone out"))
	case in.class == instant && d.FromZone != "":
		problems = append(problems, fmt.Errorf("from_zone is for times that say no time zone, and these say %q", in.zone))
	case in.class == instant && d.Zone == "":
		to = find(in.zone)
	case in.class != instant && d.Zone != "" && d.FromZone == "":
		problems = append(problems, fmt.Errorf("zone wants instants, and a %s says no time zone: say where its clock was, such as from_zone: UTC", in.class))
	case d.FromZone != "" && d.Zone == "":
		to = from
	}
	return from, to, errors.Join(problems...)
}

// partReader reads a part of a lane's times. It belongs to one goroutine.
type partReader struct {
	time     timeType
	part     timePart
	from, to *zoneClock // nil: no change
	sin, cos []float64  // by part, less its first; nil where the part itself is wanted
	both     bool

	day   int64 // that value is the part of, where it is the same all day
	value int64
	known bool
}

// circle makes the coordinates of each value of the part.
func (p *partReader) circle(which Cyclic) {
	p.sin, p.cos, p.both = make([]float64, p.part.period), make([]float64, p.part.period), which == CyclicBoth
	for i := range p.sin {
		angle := 2 * math.Pi * float64(i) / float64(p.part.period)
		p.sin[i], p.cos[i] = math.Sin(angle), math.Cos(angle)
	}
	if which == CyclicCos {
		p.sin = p.cos
	}
}

// parts writes the part of each time.
func (p *partReader) parts(t *tile, l *lane) {
	if p.both && l.g == nil {
		l.g = make([]float64, TileRows)
	}
	l.each(t.n, func(r int) {
		seconds, _, ok := p.time.seconds(l.i[r])
		if !ok {
			badTime(t, l, r)
			return
		}
		if p.from != nil {
			seconds = p.from.utc(seconds)
		}
		if p.to != nil {
			seconds += p.to.offset(seconds)
		}
		v := p.of(seconds)
		if p.sin == nil {
			l.f[r] = float64(v)
			return
		}
		l.f[r] = p.sin[v-int64(p.part.first)]
		if p.both {
			l.g[r] = p.cos[v-int64(p.part.first)]
		}
	})
}

// of is the part of what a clock shows. Rows that follow each other are often of one
// day.
func (p *partReader) of(seconds int64) int64 {
	if !p.part.ofDay {
		return p.part.of(seconds)
	}
	if day := floorDiv(seconds, secondsOfDay); day != p.day || !p.known {
		p.day, p.known, p.value = day, true, p.part.of(seconds)
	}
	return p.value
}

// epochs writes the seconds since 1970, with fractions.
func (p *partReader) epochs(t *tile, l *lane) {
	l.each(t.n, func(r int) {
		seconds, rest, ok := p.time.seconds(l.i[r])
		if !ok {
			badTime(t, l, r)
			return
		}
		if p.from != nil {
			seconds = p.from.utc(seconds)
		}
		if seconds < 0 && rest > 0 { // counted from above, so that what is near 0 keeps its digits
			seconds, rest = seconds+1, rest-p.time.perSecond
		}
		l.f[r] = float64(seconds)
		if rest != 0 {
			l.f[r] += float64(rest) / float64(p.time.perSecond)
		}
	})
}

func badTime(t *tile, l *lane, row int) {
	t.bad(l, row, fmt.Sprintf("time %d is millions of years away", l.i[row]), "correct the data, or the column's unit")
}
