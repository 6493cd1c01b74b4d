package feature_test

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/float16"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/batcher/feature"
)

// column is a random column: its cells, and the array that holds them.
type column struct {
	name  string
	typ   arrow.DataType
	plain arrow.DataType // of its values, whatever the encoding
	kind  kind
	cells []cell
	array arrow.Array
}

// columnType is a type and how its cells are drawn and built.
type columnType struct {
	typ   arrow.DataType
	kind  kind
	draw  func(t *rapid.T) cell
	build func(b array.Builder, v cell)
}

func appendTo[B interface{ Append(T) }, T any](of func(v cell) T) func(array.Builder, cell) {
	return func(b array.Builder, v cell) { b.(B).Append(of(v)) }
}

var (
	someFloats = []float64{0, math.Copysign(0, -1), 1, -1, 0.1, 0.5, 2.5, -2.5, 3, 7, 100, 1e-7, 123456789, 1e21, 1e300, math.NaN(), math.Inf(1), math.Inf(-1), math.SmallestNonzeroFloat64, 1 << 53}
	someInts   = []int64{0, 1, -1, 2, 3, 7, 100, 1 << 53, 1<<53 + 1, -(1<<53 + 1), math.MaxInt64, math.MinInt64}
	someTexts  = []string{"", "AA", "aa", "DL", "É", "1", "1.5", "-3", "1e3", "true", "no", "nan", "9007199254740993", "a longer text than others"}
	someCounts = []int64{0, 1, -1, 951782400, 951868799, 1362906000, 1362909600, 1383456600, 1383460200, 1325289600, -62135596800, 4102444799, 1709164800, 1735689599, -86401}
	zones      = []string{"UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"}
)

func floatOf(t *rapid.T) float64 {
	if rapid.Bool().Draw(t, "special") {
		return rapid.SampledFrom(someFloats).Draw(t, "float")
	}
	return float64(rapid.IntRange(-40, 40).Draw(t, "quarters")) / 4
}

func intOf(t *rapid.T) int64 {
	if rapid.Bool().Draw(t, "special") {
		return rapid.SampledFrom(someInts).Draw(t, "integer")
	}
	return int64(rapid.IntRange(-10, 10).Draw(t, "small"))
}

func secondsOf(t *rapid.T) int64 {
	if rapid.Bool().Draw(t, "special") {
		return rapid.SampledFrom(someCounts).Draw(t, "seconds")
	}
	return rapid.Int64Range(-9e9, 9e9).Draw(t, "second")
}

func momentOf(unit, zone string, perSecond int64) func(t *rapid.T) cell {
	return func(t *rapid.T) cell {
		count := secondsOf(t) * perSecond
		if perSecond > 1 {
			count += rapid.Int64Range(0, perSecond-1).Draw(t, "rest")
		}
		return moment{count: count, unit: unit, zone: zone}
	}
}

var columnTypes = []columnType{
	{arrow.PrimitiveTypes.Float64, 'f', func(t *rapid.T) cell { return floatOf(t) }, appendTo[*array.Float64Builder](toFloat)},
	{arrow.PrimitiveTypes.Float32, 'g', func(t *rapid.T) cell { return float32(floatOf(t)) }, appendTo[*array.Float32Builder](func(v cell) float32 { return v.(float32) })},
	{arrow.FixedWidthTypes.Float16, 'g', func(t *rapid.T) cell { return float32(rapid.IntRange(-9, 9).Draw(t, "half")) / 2 }, appendTo[*array.Float16Builder](func(v cell) float16.Num { return float16.New(v.(float32)) })},
	{arrow.PrimitiveTypes.Int64, 'i', func(t *rapid.T) cell { return intOf(t) }, appendTo[*array.Int64Builder](func(v cell) int64 { return v.(int64) })},
	{arrow.FixedWidthTypes.Duration_ms, 'i', func(t *rapid.T) cell { return intOf(t) }, appendTo[*array.DurationBuilder](func(v cell) arrow.Duration { return arrow.Duration(v.(int64)) })},
	{arrow.PrimitiveTypes.Uint64, 'u', func(t *rapid.T) cell { return uint64(intOf(t)) }, appendTo[*array.Uint64Builder](func(v cell) uint64 { return v.(uint64) })},
	{arrow.PrimitiveTypes.Int8, 'f', func(t *rapid.T) cell { return float64(int8(intOf(t))) }, appendTo[*array.Int8Builder](func(v cell) int8 { return int8(toFloat(v)) })},
	{arrow.PrimitiveTypes.Uint32, 'f', func(t *rapid.T) cell { return float64(uint32(intOf(t))) }, appendTo[*array.Uint32Builder](func(v cell) uint32 { return uint32(toFloat(v)) })},
	{arrow.FixedWidthTypes.Boolean, 'b', func(t *rapid.T) cell { return rapid.Bool().Draw(t, "bool") }, appendTo[*array.BooleanBuilder](func(v cell) bool { return v.(bool) })},
	{arrow.BinaryTypes.String, 's', textOf, appendTo[*array.StringBuilder](func(v cell) string { return v.(string) })},
	{arrow.BinaryTypes.LargeString, 's', textOf, appendTo[*array.LargeStringBuilder](func(v cell) string { return v.(string) })},
	{arrow.BinaryTypes.StringView, 's', textOf, appendTo[*array.StringViewBuilder](func(v cell) string { return v.(string) })},
	{arrow.FixedWidthTypes.Date32, 't', func(t *rapid.T) cell { return moment{count: secondsOf(t) / 86400, unit: "d"} }, appendTo[*array.Date32Builder](func(v cell) arrow.Date32 { return arrow.Date32(v.(moment).count) })},
	{arrow.FixedWidthTypes.Date64, 't', func(t *rapid.T) cell { return moment{count: secondsOf(t) / 86400 * 86400000, unit: "ms", date: true} }, appendTo[*array.Date64Builder](func(v cell) arrow.Date64 { return arrow.Date64(v.(moment).count) })},
	{&arrow.TimestampType{Unit: arrow.Second}, 't', momentOf("s", "", 1), appendTo[*array.TimestampBuilder](timestamp)},
	{&arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: "America/New_York"}, 't', momentOf("ms", "America/New_York", 1e3), appendTo[*array.TimestampBuilder](timestamp)},
	{&arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, 't', momentOf("us", "UTC", 1e6), appendTo[*array.TimestampBuilder](timestamp)},
	{&arrow.TimestampType{Unit: arrow.Nanosecond}, 't', momentOf("ns", "", 1e9), appendTo[*array.TimestampBuilder](timestamp)},
	{arrow.FixedWidthTypes.Time32s, 't', func(t *rapid.T) cell {
		return moment{count: rapid.Int64Range(0, 86399).Draw(t, "second of the day"), unit: "s", day: true}
	}, appendTo[*array.Time32Builder](func(v cell) arrow.Time32 { return arrow.Time32(v.(moment).count) })},
}

func timestamp(v cell) arrow.Timestamp { return arrow.Timestamp(v.(moment).count) }

func textOf(t *rapid.T) cell { return rapid.SampledFrom(someTexts).Draw(t, "text") }

// randomColumn draws a column of n rows: plain, by a dictionary with nulls and entries
// that nobody uses, or in runs; and as a slice of a longer one.
func randomColumn(t *rapid.T, name string, of columnType, n int) *column {
	c := &column{name: name, plain: of.typ, kind: of.kind}
	skip := rapid.IntRange(0, 11).Draw(t, "skip")
	nulls := rapid.SampledFrom([]float64{0, 0.2, 1}).Draw(t, "nulls")
	all := make([]cell, skip+n)
	for i := range all {
		if rapid.Float64Range(0, 1).Draw(t, "null") >= nulls {
			all[i] = of.draw(t)
		}
	}
	c.cells = all[skip:]
	var whole arrow.Array
	switch rapid.IntRange(0, 3).Draw(t, "encoding") {
	case 0:
		whole = dictionaryOf(t, of, all)
	case 1:
		whole = runsOf(of, all)
	default:
		whole = plainOf(of, all)
	}
	defer whole.Release()
	c.array = array.NewSlice(whole, int64(skip), int64(len(all)))
	c.typ = c.array.DataType()
	return c
}

func plainOf(of columnType, cells []cell) arrow.Array {
	b := array.NewBuilder(memory.DefaultAllocator, of.typ)
	defer b.Release()
	for _, v := range cells {
		if v == nil {
			b.AppendNull()
		} else {
			of.build(b, v)
		}
	}
	return b.NewArray()
}

func dictionaryOf(t *rapid.T, of columnType, cells []cell) arrow.Array {
	entries := []cell{nil, of.draw(t)}
	indices := array.NewInt16Builder(memory.DefaultAllocator)
	defer indices.Release()
	for _, v := range cells {
		at := slices.IndexFunc(entries, func(e cell) bool { return same(e, v) })
		if at < 0 {
			at = len(entries)
			entries = append(entries, v)
		}
		if v == nil && rapid.Bool().Draw(t, "null index") {
			indices.AppendNull()
			continue
		}
		indices.Append(int16(at))
	}
	index, values := indices.NewArray(), plainOf(of, entries)
	defer index.Release()
	defer values.Release()
	return array.NewDictionaryArray(&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int16, ValueType: of.typ}, index, values)
}

// same says that one stored value can stand for both: -0 equals 0, and is another number.
func same(a, b cell) bool { return a == b && fmt.Sprint(a) == fmt.Sprint(b) }

func runsOf(of columnType, cells []cell) arrow.Array {
	ends := array.NewInt32Builder(memory.DefaultAllocator)
	defer ends.Release()
	var values []cell
	for i, v := range cells {
		if i+1 == len(cells) || !same(cells[i+1], v) {
			ends.Append(int32(i + 1))
			values = append(values, v)
		}
	}
	end, value := ends.NewArray(), plainOf(of, values)
	defer end.Release()
	defer value.Release()
	return array.NewRunEndEncodedArray(end, value, len(cells), 0)
}

// randomStep draws a transform for values of a kind.
func randomStep(t *rapid.T, k kind, c *column) feature.Step {
	names := []string{"fill", "map", "onehot", "hash", "equals", "cast"}
	switch k {
	case 't':
		names = []string{"datetime", "datetime", "fill", "cast"}
	case 's':
	default:
		names = []string{"fill", "map", "onehot", "hash", "equals", "cast", "clip", "scale", "log1p", "abs", "bucketize"}
	}
	return stepOf(t, rapid.SampledFrom(names).Draw(t, "transform"), k, c)
}

func stepOf(t *rapid.T, name string, k kind, c *column) feature.Step {
	switch name {
	case "fill":
		return feature.Step{Fill: new(fillOf(t, k))}
	case "map":
		m := &feature.Map{Values: map[string]float64{}}
		for _, s := range categoriesOf(t, k) {
			if s.Kind != feature.Null {
				m.Values[s.Text] = float64(len(m.Values))
			}
		}
		if len(m.Values) == 0 {
			m.Values[categoryOf(t, k).Text] = -1
		}
		m.Default = rapid.SampledFrom([]*feature.Scalar{nil, new(feature.TextOf("reject")), new(feature.TextOf("nan")), new(feature.NumberOf(-5))}).Draw(t, "default")
		m.Null = rapid.SampledFrom([]*float64{nil, new(77.0)}).Draw(t, "null")
		return feature.Step{Map: m}
	case "onehot":
		o := &feature.OneHot{Unknown: rapid.SampledFrom([]feature.Unknown{"", "zeros", "other", "reject"}).Draw(t, "unknown")}
		for i, s := range categoriesOf(t, k) {
			switch {
			case i > 0 && i%3 == 0:
				last := len(o.Categories) - 1
				o.Categories[last] = append(o.Categories[last], s)
			case i > 0 && i%4 == 0:
				o.Drop = append(o.Drop, s)
			default:
				o.Categories = append(o.Categories, feature.Category{s})
			}
		}
		return feature.Step{OneHot: o}
	case "hash":
		return feature.Step{Hash: &feature.Hash{
			Buckets: rapid.IntRange(1, 40).Draw(t, "buckets"), Seed: rapid.SampledFrom([]uint32{0, 7}).Draw(t, "seed"),
			Algorithm: rapid.SampledFrom([]feature.HashAlgorithm{"", "xxh64", "murmur3_32"}).Draw(t, "algorithm"), OneHot: rapid.Bool().Draw(t, "onehot"),
		}}
	case "equals":
		return feature.Step{Equals: new(categoryOf(t, k))}
	case "cast":
		cast := &feature.Cast{To: feature.ToInt64}
		if k != 't' {
			cast.To = rapid.SampledFrom([]feature.CastType{"int64", "float32", "float64", "bool", "string"}).Draw(t, "to")
		}
		if cast.To == feature.ToInt64 {
			cast.Round = rapid.SampledFrom([]feature.Round{"", "error", "trunc", "floor", "nearest"}).Draw(t, "round")
		}
		return feature.Step{Cast: cast}
	case "datetime":
		return feature.Step{DateTime: dateTimeOf(t, c)}
	case "clip":
		low := float64(rapid.IntRange(-8, 8).Draw(t, "low")) / 2
		clip := &feature.Clip{Min: &low, Max: new(low + float64(rapid.IntRange(0, 9).Draw(t, "range")))}
		if rapid.Bool().Draw(t, "one end") {
			clip.Max = nil
		}
		return feature.Step{Clip: clip}
	case "scale":
		a, b := float64(rapid.IntRange(-9, 9).Draw(t, "a"))/3, float64(rapid.IntRange(1, 9).Draw(t, "b"))/7
		return feature.Step{Scale: rapid.SampledFrom([]*feature.Scale{
			{Mean: &a, Std: &b}, {Min: &a, Max: new(a + b)}, {Center: &a, Scale: new(-b)}, {Multiply: &b, Add: &a},
		}).Draw(t, "scale")}
	case "log1p":
		return feature.Step{Log1p: &feature.Plain{}}
	case "abs":
		return feature.Step{Abs: &feature.Plain{}}
	default:
		edges := []float64{float64(rapid.IntRange(-20, 5).Draw(t, "edge")) / 4}
		for range rapid.IntRange(0, 30).Draw(t, "more edges") {
			edges = append(edges, edges[len(edges)-1]+float64(rapid.IntRange(1, 9).Draw(t, "step"))/4)
		}
		if rapid.Bool().Draw(t, "extremes") {
			edges = slices.Concat([]float64{-0x1p70, -0x1p63}, edges, []float64{1 << 53, 0x1p63, 0x1p64, 0x1p70})
		}
		return feature.Step{Bucketize: &feature.Bucketize{Edges: edges, Right: rapid.Bool().Draw(t, "right")}}
	}
}

func fillOf(t *rapid.T, k kind) feature.Scalar {
	fills := []feature.Scalar{feature.TextOf("reject")}
	switch k {
	case 't':
	case 's':
		fills = append(fills, feature.TextOf("filled"), feature.TextOf("AA"), feature.NumberOf(1))
	default:
		fills = append(fills, feature.TextOf("nan"), feature.NumberOf(3), feature.NumberOf(0.1), feature.NumberOf(-2.5), feature.BoolOf(true))
	}
	return rapid.SampledFrom(fills).Draw(t, "fill")
}

func categoryOf(t *rapid.T, k kind) feature.Scalar {
	switch k {
	case 's':
		return feature.TextOf(rapid.SampledFrom(someTexts).Draw(t, "category"))
	case 'b':
		return feature.BoolOf(rapid.Bool().Draw(t, "category"))
	case 'i', 'u':
		v := intOf(t)
		if k == 'u' && rapid.Bool().Draw(t, "unsigned") {
			return feature.Scalar{Kind: feature.Number, Number: float64(uint64(v)), Text: strconv.FormatUint(uint64(v), 10)}
		}
		return feature.Scalar{Kind: feature.Number, Number: float64(v), Text: strconv.FormatInt(v, 10)}
	default:
		v := floatOf(t)
		text := strconv.FormatFloat(v, 'g', -1, 64)
		switch {
		case v != v:
			text = ".nan"
		case math.IsInf(v, 1):
			text = ".inf"
		case math.IsInf(v, -1):
			text = "-.inf"
		}
		return feature.Scalar{Kind: feature.Number, Number: v, Text: text}
	}
}

// categoriesOf are different ones, perhaps with null.
func categoriesOf(t *rapid.T, k kind) []feature.Scalar {
	var all []feature.Scalar
	if rapid.Bool().Draw(t, "null category") {
		all = append(all, feature.Scalar{})
	}
	for range rapid.IntRange(1, 8).Draw(t, "categories") {
		s := categoryOf(t, k)
		if !slices.ContainsFunc(all, func(o feature.Scalar) bool {
			same := o.Number == s.Number || float32(o.Number) == float32(s.Number) || o.Number != o.Number && s.Number != s.Number
			return o.Text == s.Text || k != 's' && k != 'i' && k != 'u' && o.Kind == s.Kind && same
		}) {
			all = append(all, s)
		}
	}
	return all
}

func dateTimeOf(t *rapid.T, c *column) *feature.DateTime {
	d := &feature.DateTime{Part: rapid.SampledFrom([]feature.TimePart{"year", "month", "day", "day_of_year", "weekday", "hour", "minute", "second", "epoch"}).Draw(t, "part")}
	switch {
	case c.plain.ID() == arrow.TIME32:
		d.Part = rapid.SampledFrom([]feature.TimePart{"hour", "minute", "second"}).Draw(t, "part of a day")
	case c.plain.ID() == arrow.TIMESTAMP && c.plain.(*arrow.TimestampType).TimeZone != "":
		d.Zone = rapid.SampledFrom(append([]string{""}, zones...)).Draw(t, "zone")
	default:
		if d.FromZone = rapid.SampledFrom(append([]string{""}, zones...)).Draw(t, "from zone"); d.FromZone != "" {
			d.Zone = rapid.SampledFrom(append([]string{""}, zones...)).Draw(t, "zone")
		}
	}
	if d.Part != "year" && d.Part != "epoch" {
		d.Cyclic = rapid.SampledFrom([]feature.Cyclic{"", "sin", "cos", "both"}).Draw(t, "cyclic")
	}
	return d
}

func (c *column) String() string { return fmt.Sprintf("%s %s %v", c.name, c.typ, c.cells) }
