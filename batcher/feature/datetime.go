package feature

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// timePart is what is known of a part: the least value, the period of those that come
// again, 0 for others, and where it stands in shown.
type timePart struct {
	first, period int
	at            int   // the lowest of its bits
	mask          int64 // of its bits
	unit          int64 // in seconds, of a part of the second of the day; 0 for others
}

var timeParts = map[TimePart]timePart{
	Year:      {at: yearAt, mask: -1},
	Month:     {first: 1, period: 12, at: monthAt, mask: 1<<4 - 1},
	Day:       {first: 1, period: 31, at: dayAt, mask: 1<<5 - 1},
	DayOfYear: {first: 1, period: 366, at: dayOfYearAt, mask: 1<<9 - 1},
	Weekday:   {period: 7, at: weekdayAt, mask: 1<<3 - 1},
	Hour:      {period: 24, unit: 3600},
	Minute:    {period: 60, unit: 60},
	Second:    {period: 60, unit: 1},
	Epoch:     {},
}

// compileDateTime is the step of a part of times.
func compileDateTime(d *DateTime, in valueType) (compiled, error) {
	if d.Part == Epoch {
		return compileEpoch(d, in)
	}
	clock, _, err := d.clock(in)
	if err != nil {
		return compiled{}, err
	}
	part := d.part()
	return compiled{out: part.out, make: func() runner {
		read, take := clock.make(), part.make()
		return func(t *tile, l *lane) {
			read(t, l)
			take(t, l)
		}
	}}, nil
}

func compileEpoch(d *DateTime, in valueType) (compiled, error) {
	out := compiled{out: valueType{form: formFloat64}}
	if err := d.check(in); err != nil {
		return out, err
	}
	from, _, err := d.zones(in.time)
	out.make = func() runner { return clockReader{time: in.time, from: newZoneClock(from)}.epochs }
	return out, err
}

// clockKey is which clock's times are wanted of a column.
type clockKey struct {
	column   string
	from, to string // of zones; "" for none
}

// clock is the step from counts to what a clock shows, which all parts of a time have in
// common. The key has no column.
func (d *DateTime) clock(in valueType) (compiled, clockKey, error) {
	out, key := compiled{out: valueType{form: formShown}}, clockKey{}
	if err := d.check(in); err != nil {
		return out, key, err
	}
	from, to, err := d.zones(in.time)
	if err != nil {
		return out, key, err
	}
	if to == time.UTC {
		to = nil
	}
	if from != nil {
		key.from = from.String()
	}
	if to != nil {
		key.to = to.String()
	}
	out.make = func() runner {
		return clockReader{time: in.time, from: newZoneClock(from), to: newZoneClock(to), calendar: &calendar{}}.read
	}
	return out, key, nil
}

// part is the step from what a clock shows to a part of it.
func (d *DateTime) part() compiled {
	out := compiled{out: valueType{form: formFloat64}}
	if d.Cyclic == CyclicBoth {
		out.out.form = formPair
	}
	reader := partReader{part: timeParts[d.Part]}
	if d.Cyclic != "" {
		reader.circle(d.Cyclic)
	}
	out.make = func() runner { return reader.read }
	return out
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

// clockReader reads a lane's times. It belongs to one goroutine.
type clockReader struct {
	time     timeType
	from, to *zoneClock // nil: no change
	calendar *calendar
}

// read puts what is shown in the place of each time, and of some time where there is none.
func (c clockReader) read(t *tile, l *lane) {
	c.toSeconds(t, l)
	values := l.i[:t.n]
	if c.from != nil {
		for r, seconds := range values {
			values[r] = c.from.utc(seconds)
		}
	}
	if c.to != nil {
		for r, seconds := range values {
			values[r] = seconds + c.to.offset(seconds)
		}
	}
	for r, seconds := range values {
		values[r] = int64(c.calendar.at(seconds))
	}
}

// toSeconds makes whole seconds of 1970 of counts: 0 where there is no time, or one too far away,
// which is bad.
func (c clockReader) toSeconds(t *tile, l *lane) {
	values := l.i[:t.n]
	if l.marked {
		for r, m := range l.marks[:t.n] {
			if m != Present {
				values[r] = 0
			}
		}
	}
	switch {
	case c.time.class != date && c.time.perSecond == 1e6: // none of 64 bits is too far away
		for r, count := range values {
			values[r] = floorDiv(count, 1e6)
		}
	case c.time.class != date && c.time.perSecond == 1e9:
		for r, count := range values {
			values[r] = floorDiv(count, 1e9)
		}
	default:
		for r, count := range values {
			seconds, _, ok := c.time.seconds(count)
			if !ok {
				badTime(t, l, r)
				seconds = 0
			}
			values[r] = seconds
		}
	}
}

// partReader takes a part of what a lane's clocks show.
type partReader struct {
	part     timePart
	sin, cos []float64 // by part, less its first; nil where the part itself is wanted
	both     bool
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

// read writes the part of each row, marked ones too.
func (p *partReader) read(t *tile, l *lane) {
	values := l.i[:t.n]
	at, mask := p.part.at&63, p.part.mask
	switch p.part.unit { // a division by a constant is a product to the machine
	case 3600:
		for r, v := range values {
			values[r] = v & secondsMask / 3600
		}
	case 60:
		for r, v := range values {
			values[r] = v & secondsMask / 60 % 60
		}
	case 1:
		for r, v := range values {
			values[r] = v & secondsMask % 60
		}
	default:
		if p.sin == nil {
			for r, v := range values {
				l.f[r] = float64(v >> at & mask)
			}
			return
		}
		for r, v := range values {
			values[r] = v >> at & mask
		}
	}
	if p.sin == nil {
		for r, v := range values {
			l.f[r] = float64(v)
		}
		return
	}
	for r, v := range values {
		l.f[r] = p.sin[v-int64(p.part.first)]
	}
	if !p.both {
		return
	}
	if l.g == nil {
		l.g = make([]float64, TileRows)
	}
	for r, v := range values {
		l.g[r] = p.cos[v-int64(p.part.first)]
	}
}

// epochs writes the seconds since 1970, with fractions.
func (c clockReader) epochs(t *tile, l *lane) {
	if c.from == nil && c.time.class != date && c.time.perSecond > 1 { // seconds may be too many
		c.quotients(t, l)
		return
	}
	l.each(t.n, func(r int) { c.epoch(t, l, r) })
}

// quotients is epochs of counts that are not changed. Most are float64, so that their quotient is
// rounded once.
func (c clockReader) quotients(t *tile, l *lane) {
	const exact = 1 << 53
	perSecond := float64(c.time.perSecond)
	for r, count := range l.i[:t.n] {
		if uint64(count+exact) <= 2*exact {
			l.f[r] = float64(count) / perSecond
		} else if l.at(r) == Present {
			c.epoch(t, l, r)
		}
	}
}

func (c clockReader) epoch(t *tile, l *lane, r int) {
	seconds, rest, ok := c.time.seconds(l.i[r])
	if !ok {
		badTime(t, l, r)
		return
	}
	if c.from != nil {
		seconds = c.from.utc(seconds)
	}
	l.f[r] = c.time.epoch(seconds, rest)
}

func badTime(t *tile, l *lane, row int) {
	t.bad(l, row, fmt.Sprintf("time %d is millions of years away", l.i[row]), "correct the data, or the column's unit")
}
