package lines

import (
	"fmt"
	"strings"
)

const secondsOfDay = 86400

// pattern is how dates or times are written, by strptime's letters (POSIX): a text must be
// of it from its beginning to its end.
type pattern struct {
	items []item
	clock bool // it has a time of day
}

// item is one of a pattern: a conversion, or a byte that stands for itself.
type item struct {
	verb    byte // 0: literal
	literal byte
}

// composites are conversions that stand for others.
var composites = strings.NewReplacer("%%", "%%", "%F", "%Y-%m-%d", "%T", "%H:%M:%S", "%R", "%H:%M")

// verbs are those that are known.
const verbs = "YymdbBHIpMSfz%"

// parsePattern reads a format such as %d.%m.%Y.
func parsePattern(text string) (*pattern, error) {
	p := &pattern{}
	has := map[byte]bool{}
	for rest := composites.Replace(text); rest != ""; {
		c := rest[0]
		if rest = rest[1:]; c != '%' {
			p.items = append(p.items, item{literal: c})
			continue
		}
		if rest == "" || strings.IndexByte(verbs, rest[0]) < 0 {
			return nil, fmt.Errorf("%q: after %% there must be one of Y y m d b B H I p M S f z F T R %%", text)
		}
		verb := rest[0]
		if rest = rest[1:]; verb == '%' {
			p.items = append(p.items, item{literal: '%'})
			continue
		}
		if has[verb] {
			return nil, fmt.Errorf("%q has %%%c twice", text, verb)
		}
		has[verb] = true
		p.items = append(p.items, item{verb: verb})
	}
	p.clock = has['H'] || has['I'] || has['M'] || has['S'] || has['f'] || has['p'] || has['z']
	month := has['m'] || has['b'] || has['B']
	switch {
	case !has['Y'] && !has['y'] || !month || !has['d']:
		return nil, fmt.Errorf("%q must have a year (%%Y or %%y), a month (%%m or %%b) and a day (%%d)", text)
	case p.clock && has['H'] == has['I'] || has['I'] != has['p']:
		return nil, fmt.Errorf("%q must have hours, by %%H, or by %%I and %%p", text)
	case has['f'] && !has['S']:
		return nil, fmt.Errorf("%q has fractions of seconds (%%f), and no seconds (%%S)", text)
	}
	return p, nil
}

// months are those of the C locale; %b and %B take them long or short.
var months = [...]string{"january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"}

// reader goes through a text by a pattern.
type patternReader struct {
	text []byte
	m    moment

	year, month, day, hour, minute, second int64
	afternoon, twelve                      bool
}

// parse reads a text.
func (p *pattern) parse(text []byte) (moment, bool) {
	r := patternReader{text: text}
	for _, i := range p.items {
		if i.verb == 0 {
			if len(r.text) == 0 || r.text[0] != i.literal {
				return moment{}, false
			}
			r.text = r.text[1:]
			continue
		}
		if !r.take(i.verb) {
			return moment{}, false
		}
	}
	if len(r.text) > 0 || r.day < 1 || r.day > daysOf(r.year, r.month) {
		return moment{}, false
	}
	r.m.dated = !p.clock
	r.m.seconds += daysSince1970(r.year, r.month, r.day)*secondsOfDay + r.hours()*3600 + r.minute*60 + r.second
	return r.m, true
}

// hours are those of a day of 24.
func (r *patternReader) hours() int64 {
	if !r.twelve {
		return r.hour
	}
	h := r.hour % 12
	if r.afternoon {
		h += 12
	}
	return h
}

// take reads what a conversion stands for.
func (r *patternReader) take(verb byte) (ok bool) {
	switch verb {
	case 'Y':
		r.year, ok = r.digits(4, 4)
	case 'y': // as POSIX has it
		r.year, ok = r.digits(2, 2)
		if r.year += 1900; r.year < 1969 {
			r.year += 100
		}
	case 'm':
		r.month, ok = r.digits(1, 2)
		ok = ok && r.month >= 1 && r.month <= 12
	case 'b', 'B':
		ok = r.monthName()
	case 'd':
		r.day, ok = r.digits(1, 2)
	case 'H':
		r.hour, ok = r.digits(1, 2)
		ok = ok && r.hour <= 23
	case 'I':
		r.hour, ok = r.digits(1, 2)
		r.twelve, ok = true, ok && r.hour >= 1 && r.hour <= 12
	case 'p':
		half := r.upTo(2)
		r.afternoon, ok = strings.EqualFold(half, "pm"), strings.EqualFold(half, "am") || strings.EqualFold(half, "pm")
	case 'M':
		r.minute, ok = r.digits(1, 2)
		ok = ok && r.minute <= 59
	case 'S':
		r.second, ok = r.digits(1, 2)
		ok = ok && r.second <= 59
	case 'f':
		before := len(r.text)
		r.text = r.m.fraction(r.text)
		ok = r.m.places > 0 && len(r.text) < before
	case 'z':
		ok = r.offset()
	}
	return ok
}

// digits reads some digits.
func (r *patternReader) digits(least, most int) (v int64, ok bool) {
	n := 0
	for n < most && n < len(r.text) && r.text[n]-'0' <= 9 {
		v = v*10 + int64(r.text[n]-'0')
		n++
	}
	r.text = r.text[n:]
	return v, n >= least
}

// upTo reads so many bytes, or what is left.
func (r *patternReader) upTo(n int) string {
	n = min(n, len(r.text))
	word := string(r.text[:n])
	r.text = r.text[n:]
	return word
}

func (r *patternReader) monthName() bool {
	n := 0
	for n < len(r.text) && r.text[n]|0x20 >= 'a' && r.text[n]|0x20 <= 'z' {
		n++
	}
	name := strings.ToLower(r.upTo(n))
	for i, month := range months {
		if name == month || name == month[:3] {
			r.month = int64(i + 1)
			return true
		}
	}
	return false
}

// offset reads Z or an offset such as +01:00, which is all that is left or ends where
// neither digits nor a colon go on.
func (r *patternReader) offset() bool {
	n := min(1, len(r.text))
	for n > 0 && n < len(r.text) && (r.text[n]-'0' <= 9 || r.text[n] == ':') && r.text[0]|0x20 != 'z' {
		n++
	}
	seconds, ok := parseOffset([]byte(r.upTo(n)))
	r.m.zoned, r.m.seconds = true, r.m.seconds-seconds
	return ok
}
