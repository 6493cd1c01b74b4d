// Package bench measures what a model costs on this machine, stage by stage and
// end to end, and shows it.
//
// Everything that is measured becomes a Record, one line of JSON, before
// anything is said about it: every repeat, with the machine, the versions and
// the commit. Tables, pages, comparisons and tuned profiles are made from
// records alone, so that records of two machines, or of two months, can be laid
// side by side later.
//
// It refuses to compare what is not comparable (another model, other data) and
// never claims a difference that the repeats' own spread could explain.
package bench
