// Package distribution says how the values of a run's prediction columns are
// distributed: counts, extremes, moments, quantiles and labels, in a few nanoseconds a
// value and in memory that does not grow with the rows.
//
// A Tally takes a column's arrays in, in the order of the rows; Tallies of parts of the
// rows are added up. What comes out is the same whatever the parts were computed by and
// in whichever order they end:
//
//   - counts, extremes and labels are exact;
//   - numbers are counted in the bins of a DDSketch (Masson, Rim, Lee: DDSketch, VLDB
//     2019; github.com/DataDog/sketches-go), 128 linear ones between each two powers of
//     two, so each quantile is within RelativeError of a number that has it. Sizes below
//     2^-64 count as 0, and from 2^64 on as 2^64;
//   - means and sums of squares are of each part's values in order, and Moments are added
//     in the order of the parts.
//
// A Tally is for one goroutine.
package distribution
