package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/pflag"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/jobfile"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/lines"
)

// lineOptions are the flags that say how CSV and JSON Lines are read.
type lineOptions struct {
	format, delimiter, header, nested string
	types, nulls                      []string
	encoding, quote, comment          string
	skip                              int
	names                             []string
	decimal, thousands                string
	truths, falsehoods                []string
	date, timestamp                   string
}

func (o *lineOptions) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.format, "input-format", "auto", "`FORMAT` of all inputs: csv, jsonl, or auto: what their first bytes say, and for text their names (.csv, .tsv, .jsonl, .ndjson, with .gz or .zst behind it)")
	fs.StringArrayVar(&o.types, "types", nil, "comma separated `COLUMN=TYPE` of CSV and JSON Lines: int8 to int64, uint8 to uint64, float32, float64, bool, string, date, timestamp[UNIT], timestamp[UNIT, ZONE] or decimal(DIGITS, SCALE); others are inferred from rows of all files, and plan shows them; repeatable")
	fs.StringArrayVar(&o.nulls, "null-values", nil, "comma separated `TEXTS` that stand for no value in CSV and JSON Lines, such as NA,NULL, besides an empty field without quotes; repeatable")
	fs.StringVar(&o.delimiter, "delimiter", "", "`CHARACTER` between the fields of CSV input, such as ';' or tab (default: a comma, and tab in files named .tsv)")
	fs.StringVar(&o.header, "header", "auto", "`WHERE` the names of CSV's columns are: auto (the first line, unless it is of numbers alone, which is an error), first (the first line), or none (they are f0, f1, ...)")
	o.addForms(fs)
	fs.StringVar(&o.nested, "nested", "refuse", "`WHAT` becomes of objects within the objects of JSON Lines: refuse (in a column that is read they are bad values), or dots (their members are columns, such as a.b)")
}

// addForms adds the flags about how text is written that is not as most is.
func (o *lineOptions) addForms(fs *pflag.FlagSet) {
	fs.StringVar(&o.encoding, "encoding", "utf-8", "`NAME` of the encoding of CSV and JSON Lines: utf-8, utf-16 (with a byte-order mark), utf-16le, utf-16be, latin-1, or a page of one byte a character such as windows-1252, iso-8859-15 or ibm850; the text is kept in TMPDIR as UTF-8 meanwhile")
	fs.StringVar(&o.quote, "quote", "", "`CHARACTER` around fields of CSV input, or none (default: a double quote)")
	fs.StringVar(&o.comment, "comment", "", "`CHARACTER` with which lines of CSV input begin that are none of its rows, such as '#' (default: none)")
	fs.IntVar(&o.skip, "skip-lines", 0, "`LINES` at the beginning of each CSV file to pass over, before its header")
	fs.StringArrayVar(&o.names, "column-names", nil, "comma separated `NAMES` of the columns of CSV files without a header line, or with --header first in place of it; @FILE has one a line; repeatable")
	fs.StringVar(&o.decimal, "decimal-separator", ".", "`CHARACTER` before the fraction of numbers in CSV: . or ,")
	fs.StringVar(&o.thousands, "thousands-separator", "", "`CHARACTER` between groups of three digits of numbers in CSV: one of . , ' _ or space (default: none)")
	fs.StringArrayVar(&o.truths, "true-values", nil, "comma separated `TEXTS` of CSV that are true, besides true and 1; repeatable")
	fs.StringArrayVar(&o.falsehoods, "false-values", nil, "comma separated `TEXTS` of CSV that are false, besides false and 0; repeatable")
	fs.StringVar(&o.date, "date-format", "", "`FORMAT` of dates in CSV and JSON Lines, by strptime's letters, such as %d.%m.%Y (default: ISO 8601)")
	fs.StringVar(&o.timestamp, "timestamp-format", "", "`FORMAT` of times in CSV and JSON Lines, by strptime's letters, such as '%d.%m.%Y %H:%M:%S' (default: ISO 8601)")
}

// set puts the flags into the engine's options.
func (o *lineOptions) set(opts *engine.Options) error {
	opts.InputFormat = o.format
	opts.Lines = lines.Options{
		NullValues: joinTexts(o.nulls), Delimiter: o.delimiter, Header: lines.Header(o.header), Nested: lines.Nested(o.nested),
		Encoding: o.encoding, Quote: o.quote, Comment: o.comment, SkipLines: o.skip, Decimal: o.decimal, Thousands: o.thousands,
		TrueValues: joinTexts(o.truths), FalseValues: joinTexts(o.falsehoods), DateFormat: o.date, TimestampFormat: o.timestamp,
	}
	var err error
	if opts.Lines.ColumnNames, err = readList("column-names", o.names); err != nil {
		return err
	}
	for _, entry := range o.types {
		types, err := lines.ParseTypes(entry)
		if err != nil {
			return fmt.Errorf("%w: %w", engine.ErrUsage, err)
		}
		opts.Lines.Types = append(opts.Lines.Types, types...)
	}
	return nil
}

// read gives the format of all inputs, if one is asked for, and how their lines are read.
func (o *lineOptions) read() (format.Name, lines.Options, error) {
	var opts engine.Options
	if err := o.set(&opts); err != nil {
		return "", opts.Lines, err
	}
	as, err := dataset.LinesFormat(o.format)
	if err != nil {
		return "", opts.Lines, fmt.Errorf("%w: --%w", engine.ErrUsage, err)
	}
	if err := opts.Lines.Validate(); err != nil {
		return "", opts.Lines, fmt.Errorf("%w: %w", engine.ErrUsage, err)
	}
	return as, opts.Lines, nil
}

// lines takes over what the job says of files of lines and no flag does.
func (o *jobOptions) lines(job *jobfile.Job, to *lines.Options) error {
	for _, l := range []struct {
		flag string
		from []string
		to   *[]string
	}{
		{"null-values", job.NullValues, &to.NullValues},
		{"column-names", job.ColumnNames, &to.ColumnNames},
		{"true-values", job.TrueValues, &to.TrueValues},
		{"false-values", job.FalseValues, &to.FalseValues},
	} {
		if !o.given(l.flag) && len(l.from) > 0 {
			*l.to = l.from
		}
	}
	if o.given("types") {
		return nil
	}
	to.Types = nil
	var problems []jobfile.Problem
	for _, name := range slices.Sorted(maps.Keys(job.Types)) {
		t, err := lines.ParseType(job.Types[name])
		if err != nil {
			problems = append(problems, jobfile.Problem{Path: "types." + name, Err: err})
		}
		to.Types = append(to.Types, lines.ColumnType{Name: name, Type: t})
	}
	return job.Problems(problems)
}

// linesText writes the types of the columns of CSV and JSON Lines, and why they have them.
func linesText(b *strings.Builder, w io.Writer, l *engine.ExplainedLines) {
	if l == nil {
		return
	}
	fmt.Fprintf(b, "\nTypes of columns of text (--types gives others)\n")
	t := newTable(w)
	t.AppendHeader(table.Row{"column", "type", "why"})
	for _, c := range l.Columns {
		t.AppendRow(table.Row{c.Name, c.Type, strings.ToValidUTF8(c.Why, "?")})
	}
	b.WriteString(t.Render() + "\n")
}
