// Package agreement says how far the predictions of two models of one run agree: a
// champion's and a challenger's, of the same rows.
//
// A Tally takes predictions in, batch by batch, in a few nanoseconds a row and in
// memory that does not grow with the rows; Tallies of parts of the rows are added up.
// What it gives in the end is the same whatever the parts were computed by:
//
//   - counts, means, the correlation and the largest difference are of all rows;
//   - quantiles of the difference are of all rows, each within 1/128 of its size: a
//     histogram has 64 bins between each two powers of two (as HdrHistogram's);
//   - the rank correlation and the population stability index are exact on a sample of
//     at most SampleRows rows, which is all of them where there are no more. A row is in
//     the sample by a hash of its file and number alone. Of more rows the standard error
//     of the rank correlation r is about (1 - r*r) * sqrt(1 + r*r/2) / 181 (Bonett and
//     Wright, Sample size requirements for estimating correlations, 2000), and the index
//     of two independent samples of one distribution comes out as 9 * 2/32768 = 0.0005 on
//     average.
//
// A Tally is for one goroutine.
package agreement
