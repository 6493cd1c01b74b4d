package main

import (
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/pflag"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/unique"
)

// uniqueOptions are the flags that say which rows are duplicates, and what becomes of
// them.
type uniqueOptions struct {
	columns []string
	on      string
	mode    string
}

func (o *uniqueOptions) AddFlags(fs *pflag.FlagSet) {
	fs.StringArrayVar(&o.columns, "unique", nil, "comma separated `COLUMNS` whose values, taken together, only one row may have: all others but the first in the input's order are duplicates; found by a pass over these columns before the first row is scored; a null equals a null (default none)")
	fs.StringVar(&o.on, "on-duplicate", string(unique.OnAuto), "`WHAT` becomes of a duplicate: count (it is scored, and counted), reject (it is left out), null (it stays in the output with null predictions), fail (the run does, before it scores a row), or auto: what --on-bad-row says, but count instead of fail; rejected ones are bad rows to --max-bad-rows and rejects.parquet")
	fs.StringVar(&o.mode, "unique-mode", string(unique.Hash), "`HOW` rows are compared: hash (keys of more than 16 bytes by their 128-bit hashes, so that of n rows two are mistaken with a chance of n^2/2^129), or exact (by all their bytes, which takes more memory or disk)")
}

// set puts the flags into the engine's options.
func (o *uniqueOptions) set(opts *engine.Options) {
	opts.Unique = unique.Spec{Columns: joinColumns(o.columns), On: unique.On(o.on), Mode: unique.Mode(o.mode)}
}

// duplicateFates says what becomes of duplicates, in words.
var duplicateFates = map[unique.On]string{
	unique.OnCount:  "scored like other rows",
	unique.OnReject: "left out",
	unique.OnNull:   "in the output with null predictions",
	unique.OnFail:   "not allowed",
}

// duplicatesText says what was found.
func duplicatesText(d *engine.DuplicatesFound) string {
	how := "compared exactly"
	if !d.Exact {
		how = fmt.Sprintf("compared by hash: the chance that any is mistaken is below %.0e", max(d.MistakeChance, 1e-30))
	}
	spilled := ""
	if d.SpilledBytes > 0 {
		spilled = fmt.Sprintf("; %s went by disk", humanize.IBytes(uint64(d.SpilledBytes)))
	}
	return fmt.Sprintf("%s rows by %s, %s (%s, in %.2f s%s)", humanize.Comma(d.Rows), strings.Join(d.Columns, ", "), duplicateFates[d.On], how, d.Seconds, spilled)
}

// uniqueText says how a plan would find duplicates.
func uniqueText(u *engine.ExplainedUnique) string {
	how := "exactly"
	if !u.Exact {
		how = "by 128-bit hashes (--unique-mode exact: by their bytes)"
	}
	return fmt.Sprintf("by %s: first a pass over %s of values; compared %s; in %s of memory, then on disk; duplicates are %s",
		strings.Join(u.Columns, ", "), bytesOf(u.Bytes), how, bytesOf(u.Budget), duplicateFates[u.On])
}
