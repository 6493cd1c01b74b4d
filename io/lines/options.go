package lines

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/io/format"
)

// ErrOptions says that what was said of files of lines is wrong, or does not fit them.
var ErrOptions = errors.New("text input")

// Header says where the names of a CSV file's columns are.
type Header string

// The headers.
const (
	HeaderAuto  Header = "auto"  // the first line, which must not look like values
	HeaderFirst Header = "first" // the first line, whatever it looks like
	HeaderNone  Header = "none"  // nowhere: columns are f0, f1, ...
)

// Nested says what becomes of objects within the objects of JSON Lines.
type Nested string

// What becomes of them.
const (
	NestedRefuse Nested = "refuse" // a value that is one is a bad value
	NestedDots   Nested = "dots"   // their members are columns: a.b
	// NestedText makes them, and lists, the JSON that they are, in columns of text: to
	// read what was written here. It is no flag's.
	NestedText Nested = "text"
)

// Options are what is said of files of lines; zero means default.
type Options struct {
	// Types are those of columns that are given; others are inferred.
	Types []ColumnType `json:"types"`
	// NullValues are the texts that stand for no value, besides the empty text of a
	// field that is not quoted, and JSON's null.
	NullValues []string `json:"null_values"`
	// Delimiter stands between the fields of CSV: one character, or "tab". Empty: tab
	// in files named .tsv or .tab, else a comma.
	Delimiter string `json:"delimiter"`
	Header    Header `json:"header"` // of CSV; auto by default
	Nested    Nested `json:"nested"` // of JSON Lines; refuse by default

	// What follows stands in manifests only where it is given.

	// Encoding is that of the text, by a name that ParseEncoding knows. Empty: UTF-8.
	Encoding string `json:"encoding,omitempty"`
	// Quote stands around fields of CSV: one character, or "none". Empty: a double quote.
	Quote string `json:"quote,omitempty"`
	// Comment begins lines of CSV that are none of the table's: one character. Empty: no
	// line is such.
	Comment string `json:"comment,omitempty"`
	// SkipLines is how many lines of each CSV file come before its header.
	SkipLines int `json:"skip_lines,omitempty"`
	// ColumnNames are those of CSV's columns. With HeaderFirst they take the place of
	// the first line's; else there is no such line.
	ColumnNames []string `json:"column_names,omitempty"`
	// Decimal stands before the fraction of CSV's numbers: "." or ",". Empty: ".".
	Decimal string `json:"decimal_separator,omitempty"`
	// Thousands stands between groups of three digits of CSV's whole numbers: one of
	// . , ' _ or a space, which is any of three. Empty: nothing does.
	Thousands string `json:"thousands_separator,omitempty"`
	// TrueValues and FalseValues are texts of CSV that are booleans, besides true, false,
	// 1 and 0.
	TrueValues  []string `json:"true_values,omitempty"`
	FalseValues []string `json:"false_values,omitempty"`
	// DateFormat and TimestampFormat are how dates and times are written, as strptime has
	// it. Empty: ISO 8601.
	DateFormat      string `json:"date_format,omitempty"`
	TimestampFormat string `json:"timestamp_format,omitempty"`

	// BlockBytes is the size of the blocks of text that spans are made of, and
	// MaxLineBytes the most bytes of one record. They are for tests: 0 means 4 MiB.
	BlockBytes   int `json:"-"`
	MaxLineBytes int `json:"-"`
	// ScratchDir is where decompressed text goes; empty: see internal/scratch.
	ScratchDir string `json:"-"`
}

const (
	defaultBlockBytes = 4 << 20
	defaultMaxLine    = 4 << 20
)

// EnsureDefaults fills zero fields.
func (o *Options) EnsureDefaults() {
	if o.Header == "" {
		o.Header = HeaderAuto
	}
	if o.Nested == "" {
		o.Nested = NestedRefuse
	}
	if e, err := encodingOf(o.Encoding); e == nil && err == nil {
		o.Encoding = ""
	}
	if o.Decimal == "." {
		o.Decimal = ""
	}
	if o.BlockBytes <= 0 {
		o.BlockBytes = defaultBlockBytes
	}
	if o.MaxLineBytes <= 0 {
		o.MaxLineBytes = defaultMaxLine
	}
}

// pieceBytes is how much of a text is split at a time: it is looked at more than once,
// and a sixteenth of a block, 256 KiB, stays in the second level of cache meanwhile.
func (o *Options) pieceBytes() int64 {
	if o.BlockBytes%16 == 0 {
		return int64(o.BlockBytes / 16)
	}
	return int64(o.BlockBytes)
}

// Validate joins every problem; its error wraps ErrOptions. Messages name the flags
// of the command line.
func (o *Options) Validate() error {
	var problems []error
	bad := func(f string, args ...any) { problems = append(problems, fmt.Errorf(f, args...)) }
	switch o.Header {
	case "", HeaderAuto, HeaderFirst, HeaderNone:
	default:
		bad("--header (%s) must be auto, first or none", o.Header)
	}
	switch o.Nested {
	case "", NestedRefuse, NestedDots:
	default:
		bad("--nested (%s) must be refuse or dots", o.Nested)
	}
	delimiter, err := o.DelimiterOf("")
	if err != nil {
		bad("%w", err)
	}
	quote, err := o.QuoteByte()
	if err != nil {
		bad("%w", err)
	}
	comment, err := o.CommentByte()
	if err != nil {
		bad("%w", err)
	}
	if quote != 0 && quote == delimiter || comment != 0 && (comment == delimiter || comment == quote) {
		bad("--delimiter, --quote and --comment must be different characters")
	}
	if o.SkipLines < 0 {
		bad("--skip-lines (%d) must be 0 or more", o.SkipLines)
	}
	for i, name := range o.ColumnNames {
		if name == "" || slices.Contains(o.ColumnNames[:i], name) {
			bad("--column-names: name %d (%q) is empty, or there twice", i+1, name)
		}
	}
	if _, err := newForms(o, format.CSV); err != nil {
		bad("%w", err)
	}
	if _, err := encodingOf(o.Encoding); err != nil {
		bad("--encoding %w", err)
	}
	for i, t := range o.Types {
		if slices.ContainsFunc(o.Types[:i], func(b ColumnType) bool { return b.Name == t.Name }) {
			bad("--types names column %q twice", t.Name)
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrOptions, errors.Join(problems...))
}

// DelimiterOf is what stands between the fields of a file of CSV.
func (o *Options) DelimiterOf(path string) (byte, error) {
	switch o.Delimiter {
	case "":
		if ext := Extension(path); ext == ".tsv" || ext == ".tab" {
			return '\t', nil
		}
		return ',', nil
	case "tab", `\t`:
		return '\t', nil
	}
	c := o.Delimiter[0]
	letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9'
	if len(o.Delimiter) > 1 || c >= 0x80 || letter || strings.IndexByte("\"\r\n.+-\x00", c) >= 0 {
		return 0, fmt.Errorf("--delimiter (%s) must be one character such as ';' or '|', or tab; letters, digits, signs, the quote and ends of lines cannot be one", o.Delimiter)
	}
	return c, nil
}

// character reads an option that is one character of ASCII which no value needs.
func character(flag, text string) (byte, error) {
	c := text[0]
	letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9'
	if len(text) > 1 || c >= 0x80 || letter || strings.IndexByte("\r\n.+-\x00", c) >= 0 {
		return 0, fmt.Errorf("--%s (%s) must be one character that is no letter, digit, sign or end of a line", flag, text)
	}
	return c, nil
}

// QuoteByte is what stands around fields of CSV; 0 where nothing does.
func (o *Options) QuoteByte() (byte, error) {
	switch o.Quote {
	case "":
		return '"', nil
	case "none":
		return 0, nil
	}
	return character("quote", o.Quote)
}

// CommentByte is what comments of CSV begin with; 0 where there are none.
func (o *Options) CommentByte() (byte, error) {
	if o.Comment == "" {
		return 0, nil
	}
	return character("comment", o.Comment)
}

// givenType is the type that the job gives a column.
func (o *Options) givenType(name string) (ColumnType, bool) {
	i := slices.IndexFunc(o.Types, func(t ColumnType) bool { return t.Name == name })
	if i < 0 {
		return ColumnType{}, false
	}
	return o.Types[i], true
}
