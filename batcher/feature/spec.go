package feature

// Feature is one or more values of a row, made from columns. A feature's name is
// what --features, a binding and other features call it; where a column has the
// same name, the feature is meant.
type Feature struct {
	Name       string   `json:"name,omitempty" doc:"what the model's feature list, bindings and other features call it; default: the column's name"`
	Column     string   `json:"column,omitempty" doc:"the column that it is made from, or an earlier feature of one value a row"`
	Columns    []string `json:"columns,omitempty" doc:"the columns, or earlier features, that its first transform combines: ratio, diff, product or haversine"`
	Transforms []Step   `json:"transforms,omitempty" doc:"what happens to the value, in order"`
	Hidden     bool     `json:"hidden,omitempty" doc:"only other features use it; it is not in the model's list of features"`
}

// Step is one transform: exactly one of its fields is set. In a job file it is a
// map of one key, or the bare name for a transform that needs no setting.
type Step struct {
	Fill      *Scalar    `json:"fill,omitempty" doc:"what a null or a NaN becomes: a number or a text; reject, and its row is left out whatever on_bad_row says; or nan"`
	Clip      *Clip      `json:"clip,omitempty" doc:"numbers outside of a range become its ends; NaN stays"`
	Scale     *Scale     `json:"scale,omitempty" doc:"a linear function: one of mean and std, min and max, center and scale, multiply and add"`
	Log1p     *Plain     `json:"log1p,omitempty" doc:"the natural logarithm of 1 + x"`
	Abs       *Plain     `json:"abs,omitempty" doc:"the absolute value"`
	Bucketize *Bucketize `json:"bucketize,omitempty" doc:"the number of the bucket, from 0, that a number lies in; NaN stays"`
	Map       *Map       `json:"map,omitempty" doc:"a number for each category"`
	OneHot    *OneHot    `json:"onehot,omitempty" doc:"one value for each category: 1 for the row's own, 0 for the others"`
	Hash      *Hash      `json:"hash,omitempty" doc:"the number of one of n buckets, by a hash of the category"`
	DateTime  *DateTime  `json:"datetime,omitempty" doc:"a part of a time as a number, or as its place on a circle"`
	Cast      *Cast      `json:"cast,omitempty" doc:"another type"`
	Equals    *Scalar    `json:"equals,omitempty" doc:"1 where the value equals this one, 0 where not"`
	Ratio     *Ratio     `json:"ratio,omitempty" doc:"the first column divided by the second"`
	Diff      *Plain     `json:"diff,omitempty" doc:"the first column less the second"`
	Product   *Plain     `json:"product,omitempty" doc:"the product of all columns"`
	Haversine *Haversine `json:"haversine,omitempty" doc:"the great-circle distance between two places, of the columns latitude, longitude, latitude, longitude in degrees"`
}

// Plain is a transform without settings.
type Plain struct{}

// Clip bounds numbers: x < Min becomes Min, x > Max becomes Max. At least one is set.
type Clip struct {
	Min *float64 `json:"min,omitempty" doc:"the least value"`
	Max *float64 `json:"max,omitempty" doc:"the largest value"`
}

// Scale is one of four linear functions, as who fitted it has their parameters;
// exactly one pair is set. All are computed in float64.
type Scale struct {
	// (x - Mean) / Std, as sklearn's StandardScaler.
	Mean *float64 `json:"mean,omitempty" doc:"(x - mean) / std"`
	Std  *float64 `json:"std,omitempty" doc:"(x - mean) / std; not 0"`
	// (x - Min) / (Max - Min).
	Min *float64 `json:"min,omitempty" doc:"(x - min) / (max - min)"`
	Max *float64 `json:"max,omitempty" doc:"(x - min) / (max - min); not min"`
	// (x - Center) / Scale, as sklearn's RobustScaler: median and interquartile range.
	Center *float64 `json:"center,omitempty" doc:"(x - center) / scale: robust, with the median and the interquartile range"`
	Scale  *float64 `json:"scale,omitempty" doc:"(x - center) / scale; not 0"`
	// x * Multiply + Add, rounded after each, as sklearn's MinMaxScaler computes.
	Multiply *float64 `json:"multiply,omitempty" doc:"x * multiply + add"`
	Add      *float64 `json:"add,omitempty" doc:"x * multiply + add"`
}

// Bucketize gives the number of edges that are <= x, or < x where Right is set, as
// numpy.digitize counts them. Edges rise strictly.
type Bucketize struct {
	Edges []float64 `json:"edges" doc:"where one bucket ends and the next begins, rising"`
	Right bool      `json:"right,omitempty" doc:"an edge belongs to the bucket below it; default: to the one above"`
}

// Map gives each category its number.
type Map struct {
	Values  map[string]float64 `json:"values" doc:"the number of each category; numbers and booleans as they are written"`
	Default *Scalar            `json:"default,omitempty" doc:"of a category that is not in values: a number; nan; or reject, the default"`
	Null    *float64           `json:"null,omitempty" doc:"of a null; default: it stays null"`
}

// OneHot gives as many values as Categories has entries, and a last one where Unknown
// is other.
type OneHot struct {
	Categories []Category `json:"categories" doc:"the categories, in the order of the values; a list of several shares one value; null is one too"`
	Drop       []Scalar   `json:"drop,omitempty" doc:"categories that are known and have no value of their own: all 0"`
	Unknown    Unknown    `json:"unknown,omitempty" doc:"a category that is in neither list: zeros; other, one more value that is 1 then; or reject, the default"`
}

// Category is the categories that share one value of a one-hot: one as a rule. In a
// job file it is a scalar or a list of them.
type Category []Scalar

// Unknown says what becomes of a category that nobody listed.
type Unknown string

// What becomes of an unknown category.
const (
	UnknownReject Unknown = "reject"
	UnknownZeros  Unknown = "zeros"
	UnknownOther  Unknown = "other"
)

// Values are all of them.
func (Unknown) Values() []string {
	return []string{string(UnknownReject), string(UnknownZeros), string(UnknownOther)}
}

// Hash gives hash(category) mod Buckets. A number hashes as the text that it is
// written as, in the fewest digits.
type Hash struct {
	Buckets   int           `json:"buckets" doc:"how many; 1 or more"`
	Algorithm HashAlgorithm `json:"algorithm,omitempty" doc:"xxh64, the default, or murmur3_32"`
	Seed      uint32        `json:"seed,omitempty" doc:"of the hash; default 0"`
	OneHot    bool          `json:"onehot,omitempty" doc:"one value for each bucket instead of its number"`
}

// HashAlgorithm is a hash by its name; what it gives never changes.
type HashAlgorithm string

// The hashes: XXH64 (github.com/Cyan4973/xxHash, doc/xxhash_spec.md) and
// MurmurHash3_x86_32 (github.com/aappleby/smhasher), as sklearn.utils.murmurhash3_32
// with positive=True, both of UTF-8 bytes.
const (
	XXH64      HashAlgorithm = "xxh64"
	Murmur3x32 HashAlgorithm = "murmur3_32"
)

// Values are all of them.
func (HashAlgorithm) Values() []string { return []string{string(XXH64), string(Murmur3x32)} }

// DateTime is a part of a time.
//
// A timestamp with a time zone is an instant, and its parts are those of the clocks in
// Zone, by default the column's. One without is what a clock showed: its parts are
// read as they stand, unless FromZone says where the clock was, which makes it an
// instant. A date is midnight of such a clock.
type DateTime struct {
	Part     TimePart `json:"part" doc:"year, month (1 to 12), day (of the month), day_of_year (from 1), weekday (Monday is 0), hour, minute, second, or epoch (seconds since 1970-01-01 UTC, with fractions)"`
	Zone     string   `json:"zone,omitempty" pattern:"." form:"a time zone's name or offset" doc:"the time zone whose clocks show the part, such as Europe/Berlin; default: the column's own"`
	FromZone string   `json:"from_zone,omitempty" pattern:"." form:"a time zone's name or offset" doc:"the time zone of times that say none, such as UTC"`
	Cyclic   Cyclic   `json:"cyclic,omitempty" doc:"the place on the circle of the part's period instead of the part: sin, cos, or both (two values)"`
}

// TimePart is a part of a time by its name.
type TimePart string

// The parts.
const (
	Year      TimePart = "year"
	Month     TimePart = "month"
	Day       TimePart = "day"
	DayOfYear TimePart = "day_of_year"
	Weekday   TimePart = "weekday"
	Hour      TimePart = "hour"
	Minute    TimePart = "minute"
	Second    TimePart = "second"
	Epoch     TimePart = "epoch"
)

// Values are all of them.
func (TimePart) Values() []string {
	return []string{
		string(Year), string(Month), string(Day), string(DayOfYear), string(Weekday),
		string(Hour), string(Minute), string(Second), string(Epoch),
	}
}

// Cyclic says which coordinates of a part's place on its circle are wanted: the angle
// is 2 pi (part - first) / period, with the periods 12 (month), 31 (day), 366 (day of
// year), 7 (weekday), 24, 60 and 60. Year and epoch have none.
type Cyclic string

// The coordinates.
const (
	CyclicSin  Cyclic = "sin"
	CyclicCos  Cyclic = "cos"
	CyclicBoth Cyclic = "both" // sine, then cosine
)

// Values are all of them.
func (Cyclic) Values() []string {
	return []string{string(CyclicSin), string(CyclicCos), string(CyclicBoth)}
}

// Cast makes another type of a value. A text that is no number, and a number that an
// integer type cannot hold, make a bad row.
type Cast struct {
	To    CastType `json:"to" doc:"int64, float32, float64, bool or string"`
	Round Round    `json:"round,omitempty" doc:"of a fraction that becomes int64: error, the default; trunc (towards 0); floor; or nearest (ties to even)"`
}

// CastType is what Cast makes.
type CastType string

// The types.
const (
	ToInt64   CastType = "int64"
	ToFloat32 CastType = "float32"
	ToFloat64 CastType = "float64"
	ToBool    CastType = "bool" // 1 where it is not 0
	ToString  CastType = "string"
)

// Values are all of them.
func (CastType) Values() []string {
	return []string{string(ToInt64), string(ToFloat32), string(ToFloat64), string(ToBool), string(ToString)}
}

// Round says how a fraction becomes an integer.
type Round string

// The ways.
const (
	RoundError   Round = "error"
	RoundTrunc   Round = "trunc"
	RoundFloor   Round = "floor"
	RoundNearest Round = "nearest"
)

// Values are all of them.
func (Round) Values() []string {
	return []string{string(RoundError), string(RoundTrunc), string(RoundFloor), string(RoundNearest)}
}

// Ratio divides the first column by the second.
type Ratio struct {
	OnZero *Scalar `json:"on_zero,omitempty" doc:"where the second is 0: a number; nan; or reject; default: what IEEE 754 says, an infinity or NaN"`
}

// Haversine is the great-circle distance on a sphere of the Earth's mean radius,
// 6371.0088 km (Moritz, Geodetic Reference System 1980: R1).
type Haversine struct {
	Unit LengthUnit `json:"unit,omitempty" doc:"km, the default; m; mi (international miles); or nmi (nautical miles)"`
}

// LengthUnit is a unit of length by its name.
type LengthUnit string

// The units.
const (
	Kilometres    LengthUnit = "km"
	Metres        LengthUnit = "m"
	Miles         LengthUnit = "mi"
	NauticalMiles LengthUnit = "nmi"
)

// Values are all of them.
func (LengthUnit) Values() []string {
	return []string{string(Kilometres), string(Metres), string(Miles), string(NauticalMiles)}
}
