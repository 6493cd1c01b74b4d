// Package rowtext writes rows as lines of text: what CSV and JSON Lines have in
// common. The same batches always give the same bytes.
//
//	array ──CSV, JSON──▶ Append, the text of a row's value ┐
//	                                                        ├─▶ Writer ─▶ text ─▶ gzip, zstd ─▶ file
//	Layout: what stands before, between and after values ──┘
//
// The texts of values, in CSV and in JSON:
//
//	null                 empty; null
//	string               as it is, quoted where it must be; "..."
//	bool                 true, false
//	integer              all its digits
//	float                the shortest text that reads back as the same number of
//	                     its width, in JSON Lines with a point or an exponent always;
//	                     NaN, inf, -inf, which JSON does not have: null there, and
//	                     "NaN", "inf", "-inf" in JSON that is inside of CSV
//	decimal              exact, with as many digits after the point as its scale
//	date, time           2013-01-31, 17:05:00.250
//	timestamp            2013-01-31T17:05:00.250000, and with Z, in UTC, when the
//	                     column has a time zone; as many digits as the unit has;
//	                     years outside of 0 to 9999 with a sign
//	duration, interval   ISO 8601: PT1.5S, P14M, P3DT0.005S
//	binary               base64 with padding (RFC 4648, section 4); of no bytes "" in CSV
//	list, struct, map,   JSON: [1,null], {"x":1}, [{"key":"k","value":1}], the value
//	union
//	dictionary,          the value
//	run-end encoded
//	extension            the storage's value
//
// In JSON all but null, bool, integers, floats and JSON itself are strings: most
// readers would make a binary fraction of a decimal.
//
// A Writer borrows batches and holds nothing of them. It is for one goroutine; what
// compresses has goroutines of its own, which end with Close.
package rowtext
