package csvfile

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/lines"
)

// syntax is CSV with one delimiter.
type syntax struct {
	delimiter byte
	header    lines.Header
}

// NewSyntax is CSV as a lines.Set reads it.
func NewSyntax(path string, opts *lines.Options) (lines.Syntax, error) {
	delimiter, err := opts.DelimiterOf(path)
	return &syntax{delimiter: delimiter, header: opts.Header}, err
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
	for at < len(head) && (head[at] == '\n' || head[at] == '\r' && at+1 < len(head) && head[at+1] == '\n') {
		at++
	}
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
		if len(field) > 0 && field[0] == '"' {
			field, _ = t.Value(nil, field)
		}
		if values[i] = string(field); len(field) > 0 && looksLikeNumber(values[i]) {
			numbers++
		}
	}
	if s.header == lines.HeaderNone {
		for i := range values {
			names = append(names, "f"+strconv.Itoa(i))
		}
		return names, at, nil
	}
	if s.header == lines.HeaderAuto && numbers > 0 && numbers == len(values) {
		return nil, 0, fmt.Errorf("%w: its first line is of numbers alone (%s), and no names of columns: --header none names them f0, f1, ..., and --header first takes the line as it is",
			format.ErrUnsupported, shorten(head[at:end]))
	}
	names, err = namesOf(values)
	return names, end, err
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
			return nil, fmt.Errorf("%w: the name %q of column %d has a NUL byte; text in UTF-16 has to be converted first, such as by iconv -f UTF-16 -t UTF-8", format.ErrUnsupported, v, i+1)
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
