package engine

import (
	"cmp"
	"path/filepath"
	"strings"

	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/io/format"
)

// FormatOf is the format that a file name's extension says, .csv.gz and the like too; ok
// is false for a name without one of them, which is a directory's then.
func FormatOf(path string) (name format.Name, ok bool) {
	kind, ok := format.KindOf(filesPath(path))
	return kind.Format, ok
}

// filesPath is the path that an output's name gives to files; empty where it takes rows.
func filesPath(output string) string {
	if traitsOf(output).Records {
		return ""
	}
	if _, ok := sink.Scheme(output); ok { // nothing in it is escaped
		_, place, _ := strings.Cut(output, "://")
		_, output, _ = strings.Cut(place, "/")
	}
	return output
}

// OneFileEndings are the endings of an output that is one file, for messages.
const OneFileEndings = ".parquet, .arrow, .csv or .jsonl, the last two with .gz or .zst if need be"

// otherEndings are those of files that are not written, and what is instead: a folder of such
// a name would be a surprise.
var otherEndings = map[string]string{
	".json":    "JSON is written as JSON Lines, in files that end in .jsonl or .ndjson",
	".arrows":  "a stream goes to standard output, by --output -",
	".ipc":     "Arrow files end in .arrow",
	".feather": "Arrow files end in .arrow",
	".pq":      "Parquet files end in .parquet",
	".parq":    "Parquet files end in .parquet",
	".avro":    "Avro is not written; " + OneFileEndings + " are",
	".orc":     "ORC is not written; " + OneFileEndings + " are",
	".xlsx":    "spreadsheets take .csv, with --spreadsheet-safe",
	".xls":     "spreadsheets take .csv, with --spreadsheet-safe",
	".bz2":     "text is compressed by gzip or Zstandard, .csv.gz or .csv.zst",
	".xz":      "text is compressed by gzip or Zstandard, .csv.gz or .csv.zst",
	".zip":     "text is compressed by gzip or Zstandard, .csv.gz or .csv.zst",
	".txt":     "text is written as .csv or .jsonl",
	".db":      "a table of a SQLite file is written by sqlite:PATH?table=NAME",
	".sqlite":  "a table of a SQLite file is written by sqlite:PATH?table=NAME",
	".duckdb":  "a table of a DuckDB file is written by duckdb:PATH?table=NAME",
}

// tab separates the fields of .tsv files.
const tab = "tab"

// delimiters are what may separate the fields of CSV, by their names in settings: no
// number, date or base64 has one.
var delimiters = map[string]byte{"": ',', ",": ',', ";": ';', "|": '|', tab: '\t'}

// nameDefaults fills what the output's name says.
func (o *Options) nameDefaults() {
	o.Output = sink.LocalPath(o.Output)
	kind, ok := format.KindOf(filesPath(o.Output))
	if ok {
		o.Format = cmp.Or(o.Format, kind.Format)
		if o.Compression == "" {
			o.Compression = kind.Codec
		}
		if o.Delimiter == "" && kind.Ending == ".tsv" && o.Format == format.CSV {
			o.Delimiter = tab
		}
	}
	o.Format = cmp.Or(o.Format, formatFor(o.Output))
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
	validatePath(o.Output, bad)
	o.validateName(bad)
	if o.Format != format.CSV && (o.SpreadsheetSafe || o.Delimiter != "") {
		bad("--spreadsheet-safe and --output-delimiter are for CSV, and the output's format is %s", o.Format)
	}
	kind, _ := format.KindOf(filesPath(o.Output))
	switch _, ok := delimiters[o.Delimiter]; {
	case !ok:
		bad("--output-delimiter (%q) must be , ; | or tab", o.Delimiter)
	case o.Format == format.CSV && kind.Ending == ".tsv" && o.Delimiter != tab:
		bad("--output-delimiter (%q): the fields of a .tsv are separated by tabs; name the output .csv", o.Delimiter)
	}
}

func (o *Options) validateName(bad func(f string, args ...any)) {
	place, shown := filesPath(o.Output), sink.Shown(o.Output)
	kind, single := format.KindOf(place)
	ending := strings.ToLower(filepath.Ext(place))
	switch {
	case !single && kind.Codec != "":
		bad("--output %s does not say which text is compressed: only CSV and JSON Lines are compressed as whole files, such as scores.csv%s", shown, ending)
	case !single && otherEndings[ending] != "" && !strings.HasSuffix(place, "/"):
		bad("--output %s: %s; a folder of that name is meant by a / at its end", shown, otherEndings[ending])
	case !single:
	case kind.Format != o.Format:
		bad("--output-format is %s, but --output %s says %s", o.Format, shown, kind.Format)
	case kind.Format.IsText():
		name, known := kind.Renamed(place, o.Compression)
		if known && name != place {
			bad("--compression is %s, but --output %s says %s: name it %s", o.Compression, shown, cmp.Or(kind.Codec, "none"), filepath.Base(name))
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
