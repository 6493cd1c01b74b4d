// Package csvfile writes CSV as RFC 4180 describes it, with LF at the end of
// lines: a header line of column names, then one line for each row. The same
// batches always give the same bytes. A reader follows in a later issue.
//
// A field is quoted when it holds a comma, a quote, CR or LF.
//
//	null                 empty; "" in a file of one column, where readers would
//	                     take an empty line for none
//	string               as it is; the empty string is "", quoted
//	bool                 true, false
//	float                the shortest text that reads back as the same number of
//	                     its width; NaN, inf, -inf
//	decimal              exact, with as many digits after the point as its scale
//	date, time           2013-01-31, 17:05:00.250
//	timestamp            2013-01-31T17:05:00.250000, and with Z, in UTC, when the
//	                     column has a time zone; as many digits as the unit has;
//	                     years outside of 0 to 9999 with a sign
//	duration, interval   ISO 8601: PT1.5S, P14M, P3DT0.005S
//	binary               base64 with padding (RFC 4648, section 4)
//	list, struct, map,   JSON: [1,null], {"x":1}, [{"key":"k","value":1}], the value;
//	union                in it decimals, dates and times are strings, and floats
//	                     that are no number are "NaN", "inf" and "-inf"
//	dictionary,          the value
//	run-end encoded
//	extension            the storage's value
//
// A Writer borrows batches and holds nothing of them. It is for one goroutine.
package csvfile
