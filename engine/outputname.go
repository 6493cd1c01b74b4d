package engine

import (
	"cmp"
	"path/filepath"
	"strings"

	"github.com/millrace/millrace/io/format"
)

// FormatOf is the format that a file name's extension says, .csv.gz and the like too; ok
// is false for a name without one of them, which is a directory's then.
func FormatOf(path string) (name format.Name, ok bool) {
	kind, ok := format.KindOf(path)
	return kind.Format, ok
}

// OneFileEndings are the endings of an output that is one file, for messages.
const OneFileEndings = ".parquet, .arrow, .csv or .jsonl, the last two with .gz or .zst if need be"

// tab separates the fields of .tsv files.
const tab = "tab"

// delimiters are what may separate the fields of CSV, by their names in settings: no
// number, date or base64 has one.
var delimiters = map[string]byte{"": ',', ",": ',', ";": ';', "|": '|', tab: '\t'}

// nameDefaults fills what the output's name says.
func (o *Options) nameDefaults() {
	kind, ok := format.KindOf(o.Output)
	if ok {
		o.Format = cmp.Or(o.Format, kind.Format)
		if o.Compression == "" {
			o.Compression = kind.Codec
		}
		if o.Delimiter == "" && kind.Ending == ".tsv" && o.Format == format.CSV {
			o.Delimiter = tab
		}
	}
	o.Format = cmp.Or(o.Format, format.Parquet)
	if o.Delimiter == "\t" {
		o.Delimiter = tab
	}
}

// validateWriting finds what contradicts the output's name or format.
func (o *Options) validateWriting(bad func(f string, args ...any)) {
	if _, ok := writers[o.Format]; !ok {
		bad("--output-format (%s) must be parquet, arrow, csv or jsonl", o.Format)
		return
	}
	o.validateName(bad)
	if o.Format != format.CSV && (o.SpreadsheetSafe || o.Delimiter != "") {
		bad("--spreadsheet-safe and --output-delimiter are for CSV, and the output's format is %s", o.Format)
	}
	if _, ok := delimiters[o.Delimiter]; !ok {
		bad("--output-delimiter (%q) must be , ; | or tab", o.Delimiter)
	}
}

func (o *Options) validateName(bad func(f string, args ...any)) {
	kind, single := format.KindOf(o.Output)
	ending := strings.ToLower(filepath.Ext(o.Output))
	switch {
	case !single && kind.Codec != "":
		bad("--output %s does not say which text is compressed: only CSV and JSON Lines are compressed as whole files, such as scores.csv%s", o.Output, ending)
	case ending == ".json":
		bad("--output %s: JSON is written as JSON Lines, in files that end in .jsonl or .ndjson", o.Output)
	case !single:
	case kind.Format != o.Format:
		bad("--output-format is %s, but --output %s says %s", o.Format, o.Output, kind.Format)
	case kind.Format.IsText():
		name, known := kind.Renamed(o.Output, o.Compression)
		if known && name != o.Output {
			bad("--compression is %s, but --output %s says %s: name it %s", o.Compression, o.Output, cmp.Or(kind.Codec, "none"), filepath.Base(name))
		}
	}
}

// partEnding is what the names of the output's files end in.
func (o *Options) partEnding() string { return o.Format.PartEnding(o.Compression) }

// writing are the options of the output's writers.
func (o *Options) writing() format.WriteOptions {
	return format.WriteOptions{
		Compression: o.Compression, RowGroupRows: rowGroupRows,
		Delimiter: delimiters[o.Delimiter], SpreadsheetSafe: o.SpreadsheetSafe,
	}
}
