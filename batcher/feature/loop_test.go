package feature_test

import (
	"encoding/json"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/millrace/millrace/batcher/feature"
)

// cell is a value of a row as the plain loop holds it: nil for a null, or a float64,
// float32, int64, uint64, bool, string, or moment.
type cell any

// moment is a time.
type moment struct {
	count int64
	unit  string // of count: d, s, ms, us or ns
	zone  string // of an instant
	day   bool   // a time of day
	date  bool
}

// outcome is what the plain loop makes of a row: values, or a bad row.
type outcome struct {
	values []cell
	bad    bool
	asked  bool
}

var badRow = outcome{bad: true}

// kind is what a column's values are, whatever this one is: f, g (float32), i, u, b, s
// or t.
type kind rune

// loop is a feature by a plain loop over a row: slow, and written for the words of the
// job file alone.
func loop(steps []feature.Step, in []cell, k kind) outcome {
	v := in[0]
	for i := range steps {
		s := &steps[i]
		if i == 0 && len(in) > 1 {
			out := loopCombine(s, in)
			if out.bad {
				return out
			}
			v, k = out.values[0], 'f'
			continue
		}
		next := kindAfter(s, k)
		if s.Fill != nil && next != k && v != nil {
			v = toFloat(v) // the others are numbers with fractions now
		}
		out := loopStep(s, v)
		if s.Fill != nil && len(out.values) == 1 && v == nil {
			out.values[0] = as(out.values[0], next)
		}
		if out.bad || len(out.values) != 1 {
			return out
		}
		v, k = out.values[0], next
	}
	return outcome{values: []cell{v}}
}

// kindAfter is what values are after a transform. A fill keeps them where it is one of
// their kind.
func kindAfter(s *feature.Step, k kind) kind {
	if s.Cast != nil {
		return map[feature.CastType]kind{feature.ToInt64: 'i', feature.ToFloat32: 'g', feature.ToFloat64: 'f', feature.ToBool: 'b', feature.ToString: 's'}[s.Cast.To]
	}
	if s.Fill == nil {
		return 'f'
	}
	if s.Fill.Text == "reject" || k == 's' || k == 't' || k == 'b' && s.Fill.Kind == feature.Bool {
		return k
	}
	_, notSigned := strconv.ParseInt(s.Fill.Text, 10, 64)
	_, notUnsigned := strconv.ParseUint(s.Fill.Text, 10, 64)
	nan := s.Fill.Text == "nan"
	if k == 'i' && notSigned == nil || k == 'u' && notUnsigned == nil || k == 'g' && (nan || float64(float32(s.Fill.Number)) == s.Fill.Number) {
		return k
	}
	return 'f'
}

// as is a number as another kind has it.
func as(v cell, k kind) cell {
	switch k {
	case 'f':
		return toFloat(v)
	case 'g':
		return float32(toFloat(v))
	case 'b':
		return toFloat(v) != 0
	case 's':
		return text(v)
	case 'u':
		if i, ok := v.(int64); ok {
			return uint64(i)
		}
	}
	return v
}

func one(v cell) outcome { return outcome{values: []cell{v}} }

func isNaN(v cell) bool {
	switch v := v.(type) {
	case float64:
		return v != v
	case float32:
		return v != v
	}
	return false
}

// toFloat is a number as float64.
func toFloat(v cell) float64 {
	switch v := v.(type) {
	case float64:
		return v
	case float32:
		return float64(v)
	case int64:
		return float64(v)
	case uint64:
		return float64(v)
	case bool:
		if v {
			return 1
		}
	}
	return 0
}

func loopStep(s *feature.Step, v cell) outcome {
	switch {
	case s.Fill != nil:
		return loopFill(s.Fill, v)
	case s.Map != nil:
		return loopMap(s.Map, v)
	case s.OneHot != nil:
		return loopOneHot(s.OneHot, v)
	case s.Equals != nil:
		if v == nil && s.Equals.Kind != feature.Null {
			return one(nil)
		}
		if alike(*s.Equals, v) {
			return one(1.0)
		}
		return one(0.0)
	case v == nil:
		if s.Hash != nil && s.Hash.OneHot {
			return outcome{values: slices.Repeat([]cell{nil}, s.Hash.Buckets)}
		}
		if s.DateTime != nil && s.DateTime.Cyclic == feature.CyclicBoth {
			return outcome{values: []cell{nil, nil}}
		}
		return one(nil)
	case s.Hash != nil:
		return loopHash(s.Hash, v)
	case s.DateTime != nil:
		return loopDateTime(s.DateTime, v.(moment))
	case s.Cast != nil:
		return loopCast(s.Cast, v)
	}
	x := toFloat(v)
	switch {
	case s.Clip != nil:
		if s.Clip.Min != nil && x < *s.Clip.Min {
			x = *s.Clip.Min
		}
		if s.Clip.Max != nil && x > *s.Clip.Max {
			x = *s.Clip.Max
		}
		return one(x)
	case s.Scale != nil:
		switch {
		case s.Scale.Mean != nil:
			return one((x - *s.Scale.Mean) / *s.Scale.Std)
		case s.Scale.Min != nil:
			return one((x - *s.Scale.Min) / (*s.Scale.Max - *s.Scale.Min))
		case s.Scale.Center != nil:
			return one((x - *s.Scale.Center) / *s.Scale.Scale)
		default:
			product := x * *s.Scale.Multiply
			return one(product + *s.Scale.Add)
		}
	case s.Log1p != nil:
		return one(math.Log1p(x))
	case s.Abs != nil:
		return one(math.Abs(x))
	case s.Bucketize != nil:
		return loopBucketize(s.Bucketize, v)
	}
	panic("no transform")
}

func loopFill(fill *feature.Scalar, v cell) outcome {
	if v != nil && !isNaN(v) {
		return one(v)
	}
	if fill.Kind == feature.Text && fill.Text == "reject" {
		return outcome{bad: true, asked: true}
	}
	if fill.Kind == feature.Text && fill.Text == "nan" {
		return one(math.NaN())
	}
	switch fill.Kind {
	case feature.Number:
		if i, err := strconv.ParseInt(fill.Text, 10, 64); err == nil {
			return one(i)
		}
		if u, err := strconv.ParseUint(fill.Text, 10, 64); err == nil {
			return one(u)
		}
		return one(fill.Number)
	case feature.Bool:
		return one(fill.Number)
	default:
		return one(fill.Text)
	}
}

// alike says that a category is a value.
func alike(s feature.Scalar, v cell) bool {
	if v == nil || s.Kind == feature.Null {
		return v == nil && s.Kind == feature.Null
	}
	switch v := v.(type) {
	case string:
		return s.Text == v
	case bool:
		if t := strings.ToLower(s.Text); t == "true" || t == "false" {
			return (t == "true") == v
		}
	case int64:
		exact, ok := new(big.Rat).SetString(s.Text)
		return ok && exact.Cmp(new(big.Rat).SetInt64(v)) == 0
	case uint64:
		exact, ok := new(big.Rat).SetString(s.Text)
		return ok && exact.Cmp(new(big.Rat).SetInt(new(big.Int).SetUint64(v))) == 0
	}
	number, err := feature.ParseNumber(s.Text)
	if err != nil {
		return false
	}
	want, got := number.Number, toFloat(v)
	if _, single := v.(float32); single {
		want = float64(float32(want))
	}
	return want == got || want != want && got != got
}

func loopMap(m *feature.Map, v cell) outcome {
	if v == nil {
		if m.Null != nil {
			return one(*m.Null)
		}
		return one(nil)
	}
	for name, number := range m.Values {
		if alike(feature.TextOf(name), v) {
			return one(number)
		}
	}
	switch {
	case m.Default == nil || m.Default.Text == "reject":
		return badRow
	case m.Default.Text == "nan":
		return one(math.NaN())
	default:
		return one(m.Default.Number)
	}
}

func loopOneHot(o *feature.OneHot, v cell) outcome {
	width := len(o.Categories)
	if o.Unknown == feature.UnknownOther {
		width++
	}
	values := slices.Repeat([]cell{0.0}, width)
	for i, c := range o.Categories {
		for _, s := range c {
			if alike(s, v) {
				values[i] = 1.0
				return outcome{values: values}
			}
		}
	}
	for _, s := range o.Drop {
		if alike(s, v) {
			return outcome{values: values}
		}
	}
	switch o.Unknown {
	case feature.UnknownOther:
		values[width-1] = 1.0
	case feature.UnknownZeros:
	default:
		return badRow
	}
	return outcome{values: values}
}

// text is a number as JSON writes it, which has no word for some.
func text(v cell) string {
	switch v := v.(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	case uint64:
		return strconv.FormatUint(v, 10)
	case bool:
		return strconv.FormatBool(v)
	}
	switch x := toFloat(v); {
	case x != x:
		return "NaN"
	case math.IsInf(x, 1):
		return "Infinity"
	case math.IsInf(x, -1):
		return "-Infinity"
	case x == 0:
		return "0"
	}
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(data)
}

func loopHash(h *feature.Hash, v cell) outcome {
	var hash uint64
	if data := text(v); h.Algorithm == feature.Murmur3x32 {
		hash = uint64(slowMurmur([]byte(data), h.Seed))
	} else {
		digest := xxhash.NewWithSeed(uint64(h.Seed))
		_, _ = digest.WriteString(data)
		hash = digest.Sum64()
	}
	bucket := hash % uint64(h.Buckets)
	if !h.OneHot {
		return one(float64(bucket))
	}
	values := slices.Repeat([]cell{0.0}, h.Buckets)
	values[bucket] = 1.0
	return outcome{values: values}
}

// slowMurmur is MurmurHash3_x86_32, byte by byte.
func slowMurmur(data []byte, seed uint32) uint32 {
	rotate := func(x uint32, by int) uint32 { return x<<by | x>>(32-by) }
	scramble := func(k uint32) uint32 { return rotate(k*0xcc9e2d51, 15) * 0x1b873593 }
	h, k := seed, uint32(0)
	for i, b := range data {
		k |= uint32(b) << (8 * (i % 4))
		if i%4 == 3 {
			h = rotate(h^scramble(k), 13)*5 + 0xe6546b64
			k = 0
		}
	}
	h ^= scramble(k)
	h ^= uint32(len(data))
	h ^= h >> 16
	h *= 0x85ebca6b
	h ^= h >> 13
	h *= 0xc2b2ae35
	return h ^ h>>16
}

func loopBucketize(b *feature.Bucketize, v cell) outcome {
	if isNaN(v) {
		return one(v)
	}
	count := 0
	for _, e := range b.Edges {
		edge := new(big.Float).SetPrec(200).SetFloat64(e)
		x := new(big.Float).SetPrec(200)
		switch v := v.(type) {
		case int64:
			x.SetInt64(v)
		case uint64:
			x.SetUint64(v)
		default:
			x.SetFloat64(toFloat(v))
		}
		if c := edge.Cmp(x); c < 0 || c == 0 && !b.Right {
			count++
		}
	}
	return one(float64(count))
}

func loopCast(c *feature.Cast, v cell) outcome {
	s, isText := v.(string)
	switch c.To {
	case feature.ToString:
		return one(text(v))
	case feature.ToBool:
		if !isText {
			return one(toFloat(v) != 0)
		}
		b, err := strconv.ParseBool(s)
		if err != nil {
			return badRow
		}
		return one(b)
	case feature.ToFloat64, feature.ToFloat32:
		x := toFloat(v)
		if isText {
			var err error
			bits := map[feature.CastType]int{feature.ToFloat64: 64, feature.ToFloat32: 32}[c.To]
			if x, err = strconv.ParseFloat(s, bits); err != nil && !math.IsInf(x, 0) {
				return badRow
			}
		}
		if c.To == feature.ToFloat32 {
			return one(float32(x))
		}
		return one(x)
	}
	switch v := v.(type) {
	case int64:
		return one(v)
	case uint64:
		if v > math.MaxInt64 {
			return badRow
		}
		return one(int64(v))
	case moment:
		return one(v.count)
	}
	x := toFloat(v)
	if isText {
		if i, err := strconv.ParseInt(s, 10, 64); err == nil {
			return one(i)
		}
		var err error
		if x, err = strconv.ParseFloat(s, 64); err != nil {
			return badRow
		}
	}
	switch c.Round {
	case feature.RoundTrunc:
		x = math.Trunc(x)
	case feature.RoundFloor:
		x = math.Floor(x)
	case feature.RoundNearest:
		x = math.RoundToEven(x)
	}
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return badRow
	}
	i, accuracy := new(big.Float).SetFloat64(x).Int64()
	if accuracy != big.Exact {
		return badRow
	}
	return one(i)
}

func loopCombine(s *feature.Step, in []cell) outcome {
	x := make([]float64, len(in))
	for i, v := range in {
		if v == nil {
			return one(nil)
		}
		x[i] = toFloat(v)
	}
	switch {
	case s.Diff != nil:
		return one(x[0] - x[1])
	case s.Product != nil:
		p := x[0]
		for _, v := range x[1:] {
			p *= v
		}
		return one(p)
	case s.Ratio != nil:
		z := s.Ratio.OnZero
		switch {
		case x[1] != 0 || z == nil:
			return one(x[0] / x[1])
		case z.Text == "reject":
			return badRow
		case z.Text == "nan":
			return one(math.NaN())
		default:
			return one(z.Number)
		}
	}
	radians := func(d float64) float64 { return d * (math.Pi / 180) }
	a := math.Pow(math.Sin((radians(x[2])-radians(x[0]))/2), 2) +
		math.Cos(radians(x[0]))*math.Cos(radians(x[2]))*math.Pow(math.Sin((radians(x[3])-radians(x[1]))/2), 2)
	metres := 2 * 6371008.8 * math.Asin(math.Sqrt(math.Min(a, 1)))
	return one(metres / map[feature.LengthUnit]float64{"": 1000, feature.Kilometres: 1000, feature.Metres: 1, feature.Miles: 1609.344, feature.NauticalMiles: 1852}[s.Haversine.Unit])
}

var units = map[string]time.Duration{"s": time.Second, "ms": time.Millisecond, "us": time.Microsecond, "ns": 1}

// wall is what the time's own clock shows, as if it were UTC.
func (m moment) wall() time.Time {
	switch m.unit {
	case "d":
		return time.Unix(0, 0).UTC().AddDate(0, 0, int(m.count))
	case "s":
		return time.Unix(m.count, 0).UTC()
	}
	per := int64(time.Second / units[m.unit])
	seconds, rest := m.count/per, m.count%per
	t := time.Unix(seconds, rest*int64(units[m.unit])).UTC()
	if m.date {
		return t.Truncate(24 * time.Hour)
	}
	return t
}

// inZone is when a clock of a zone shows a time: of two the first, and where it leaves
// the time out, by the offset from before.
func inZone(wall time.Time, loc *time.Location) time.Time {
	var best time.Time
	before := wall.Add(-30 * time.Hour).In(loc)
	_, early := before.Zone()
	_, late := wall.Add(30 * time.Hour).In(loc).Zone()
	for _, offset := range []int{early, late} {
		at := wall.Add(-time.Duration(offset) * time.Second)
		if _, is := at.In(loc).Zone(); is == offset && (best.IsZero() || at.Before(best)) {
			best = at
		}
	}
	if best.IsZero() {
		return wall.Add(-time.Duration(early) * time.Second)
	}
	return best
}

func loopDateTime(d *feature.DateTime, m moment) outcome {
	t := m.wall()
	load := func(name string) *time.Location {
		loc, err := time.LoadLocation(name)
		if err != nil {
			panic(err)
		}
		return loc
	}
	shown := t
	switch {
	case m.zone != "" && d.Zone == "":
		shown = t.In(load(m.zone))
	case m.zone != "":
		shown = t.In(load(d.Zone))
	case d.FromZone != "":
		t = inZone(t, load(d.FromZone))
		if shown = t.In(load(d.FromZone)); d.Zone != "" {
			shown = t.In(load(d.Zone))
		}
	}
	var part, first, period float64
	switch d.Part {
	case feature.Year:
		part = float64(shown.Year())
	case feature.Month:
		part, first, period = float64(shown.Month()), 1, 12
	case feature.Day:
		part, first, period = float64(shown.Day()), 1, 31
	case feature.DayOfYear:
		part, first, period = float64(shown.YearDay()), 1, 366
	case feature.Weekday:
		part, period = float64((shown.Weekday()+6)%7), 7
	case feature.Hour:
		part, period = float64(shown.Hour()), 24
	case feature.Minute:
		part, period = float64(shown.Minute()), 60
	case feature.Second:
		part, period = float64(shown.Second()), 60
	case feature.Epoch:
		exact := new(big.Rat).SetFrac64(int64(t.Nanosecond()), 1e9)
		part, _ = exact.Add(exact, new(big.Rat).SetInt64(t.Unix())).Float64()
		return one(part)
	}
	angle := 2 * math.Pi * (part - first) / period
	switch d.Cyclic {
	case feature.CyclicSin:
		return one(math.Sin(angle))
	case feature.CyclicCos:
		return one(math.Cos(angle))
	case feature.CyclicBoth:
		return outcome{values: []cell{math.Sin(angle), math.Cos(angle)}}
	}
	return one(part)
}
