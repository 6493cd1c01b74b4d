package csvfile

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/lines"
)

// syntax is CSV with one delimiter.
type syntax struct {
	delimiter byte
	given     bool // the delimiter is, and no line of the file says another
	quote     byte // 0: none
	comment   byte // 0: none
	skipLines int
	header    lines.Header
	names     []string // given; nil: those of the header
}

// NewSyntax is CSV as a lines.Set reads it.
func NewSyntax(path string, opts *lines.Options) (lines.Syntax, error) {
	s := &syntax{given: opts.Delimiter != "", skipLines: opts.SkipLines, header: opts.Header, names: opts.ColumnNames}
	var err error
	if s.delimiter, err = opts.DelimiterOf(path); err != nil {
		return nil, err
	}
	if s.quote, err = opts.QuoteByte(); err != nil {
		return nil, err
	}
	s.comment, err = opts.CommentByte()
	return s, err
}

// marked says that kernels find all that matters: they know no other quote, and no
// comments.
func (s *syntax) marked() bool { return s.quote == '"' && s.comment == 0 }

// opens says that a field which begins at an offset has quotes.
func (s *syntax) opens(text []byte, at int) bool {
	return s.quote != 0 && at < len(text) && text[at] == s.quote
}

// Format implements lines.Syntax.
func (*syntax) Format() format.Name { return format.CSV }

// Names implements lines.Syntax: records of CSV have none.
func (*syntax) Names([]byte, func(string)) {}

// Begin implements lines.Syntax.
func (s *syntax) Begin(head []byte, whole bool) (names []string, at int, err error) {
	at, err = lines.SkipMark(head)
	if err != nil {
		return nil, 0, err
	}
	padded := append(slices.Clip(head), make([]byte, 8)...)[:len(head)]
	behind, err := s.separatorLine(head, at)
	if err != nil {
		return nil, 0, err
	}
	if s.skipLines == 0 { // else it is one of those
		at = behind
	}
	for skipped := range s.skipLines {
		lf := bytes.IndexByte(head[at:], '\n')
		if lf < 0 {
			return nil, 0, fmt.Errorf("%w: its first %d bytes have %d lines, and --skip-lines %d are to be passed over", format.ErrUnsupported, len(head), skipped, s.skipLines)
		}
		at += lf + 1
	}
	at = s.firstRecord(head, at)
	if at == len(head) {
		return nil, 0, fmt.Errorf("%w: it has no line, and so no columns", format.ErrDamaged)
	}
	t := &tokenizer{syntax: s, most: len(head)}
	end, fields, reason, ok := t.quoted(padded, at, whole)
	switch {
	case loneReturns(head):
		return nil, 0, fmt.Errorf("%w: its lines end with CR alone, which has to be converted first, such as by tr '\\r' '\\n'", format.ErrUnsupported)
	case !ok:
		return nil, 0, fmt.Errorf("%w: its first line has no end within %d bytes", format.ErrDamaged, len(head))
	case reason != "":
		return nil, 0, fmt.Errorf("%w: its first line %s", format.ErrDamaged, reason)
	}
	values, numbers := make([]string, fields), 0
	for i := range values {
		field := head[t.at[i]+1 : t.at[i+1]]
		if t.opens(field, 0) {
			field, _ = t.Value(nil, field)
		}
		if values[i] = string(field); len(field) > 0 && looksLikeNumber(values[i]) {
			numbers++
		}
	}
	if s.names != nil {
		if len(s.names) != fields {
			return nil, 0, fmt.Errorf("%w: its first line has %d fields, and --column-names has %d names: %s", format.ErrUnsupported, fields, len(s.names), shorten(head[at:end]))
		}
		if s.header == lines.HeaderFirst {
			at = end
		}
		return s.names, at, nil
	}
	if s.header == lines.HeaderNone {
		for i := range values {
			names = append(names, "f"+strconv.Itoa(i))
		}
		return names, at, nil
	}
	if s.header == lines.HeaderAuto && numbers > 0 && numbers == len(values) {
		return nil, 0, fmt.Errorf("%w: its first line is of numbers alone (%s), and no names of columns: --column-names gives them some, --header none names them f0, f1, ..., and --header first takes the line as it is",
			format.ErrUnsupported, shorten(head[at:end]))
	}
	names, err = namesOf(values)
	return names, end, err
}

// separatorLine says where the text begins behind a first line such as "sep=;", by which Excel
// knows the delimiter of a file: it is this file's too, unless one is given.
func (s *syntax) separatorLine(head []byte, at int) (behind int, err error) {
	line, _, whole := bytes.Cut(head[at:], []byte{'\n'})
	text := string(bytes.TrimSuffix(line, []byte{'\r'}))
	if len(text) < len("sep=") || !strings.EqualFold(text[:len("sep=")], "sep=") || utf8.RuneCountInString(text[len("sep="):]) != 1 {
		return at, nil
	}
	behind = at + len(line)
	if whole {
		behind++
	}
	if s.given {
		return behind, nil
	}
	says := lines.Options{Delimiter: text[len("sep="):]}
	s.delimiter, err = says.DelimiterOf("")
	if err != nil || s.delimiter == s.quote || s.delimiter == s.comment {
		return 0, fmt.Errorf("%w: its first line is %q, by which Excel knows what stands between fields; this cannot be one here: --delimiter says another", format.ErrUnsupported, text)
	}
	return behind, nil
}

// firstRecord is where the first line is, from an offset on, that is neither blank nor a
// comment.
func (s *syntax) firstRecord(head []byte, at int) int {
	for at < len(head) {
		switch {
		case head[at] == '\n', head[at] == '\r' && at+1 < len(head) && head[at+1] == '\n':
			at++
		case s.comment != 0 && head[at] == s.comment:
			lf := bytes.IndexByte(head[at:], '\n')
			if lf < 0 {
				return len(head)
			}
			at += lf + 1
		default:
			return at
		}
	}
	return at
}

// namesOf names the columns of a header line. A name that is empty, as pandas writes its
// index's, is the column's place.
func namesOf(values []string) ([]string, error) {
	seen := map[string]int{}
	for i, v := range values {
		if v == "" {
			continue
		}
		if strings.IndexByte(v, 0) >= 0 {
			return nil, fmt.Errorf("%w: the name %q of column %d has a NUL byte; it may be text in UTF-16, which --encoding utf-16le or utf-16be says", format.ErrUnsupported, v, i+1)
		}
		if !utf8.ValidString(v) { // no reader of an output would take it
			return nil, fmt.Errorf("%w: the name %q of column %d is no UTF-8; say what the text is, such as by --encoding windows-1252 or latin-1", format.ErrUnsupported, v, i+1)
		}
		if first, twice := seen[v]; twice {
			return nil, fmt.Errorf("%w: its header names column %q twice, at %d and %d; rename one of them, or name all by place with --header none", format.ErrUnsupported, v, first+1, i+1)
		}
		seen[v] = i
	}
	names := slices.Clone(values)
	for i, v := range values {
		if v != "" {
			continue
		}
		name := "f" + strconv.Itoa(i)
		for _, taken := seen[name]; taken; _, taken = seen[name] {
			name += "_"
		}
		seen[name] = i
		names[i] = name
	}
	return names, nil
}

func looksLikeNumber(text string) bool {
	_, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	return err == nil && strings.ContainsAny(text, "0123456789")
}

// loneReturns says that lines end in a way that is not read.
func loneReturns(head []byte) bool {
	return bytes.IndexByte(bytes.TrimRight(head, "\r"), '\r') >= 0 && bytes.IndexByte(head, '\n') < 0
}

func shorten(line []byte) string {
	line = bytes.TrimRight(line, "\r\n")
	if len(line) > 40 {
		return strconv.Quote(string(line[:40])) + "..."
	}
	return strconv.Quote(string(line))
}
