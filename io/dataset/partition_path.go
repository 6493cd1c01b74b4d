package dataset

import (
	"fmt"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace/io/query"
)

// NullPartition is the value that stands for null in a path.
// Source: apache/hive, conf/HiveConf.java, hive.exec.default.partition.name.
const NullPartition = "__HIVE_DEFAULT_PARTITION__"

// pathKey is one directory of a path that says KEY=VALUE, both unescaped.
type pathKey struct {
	name, value string
	null        bool
}

// pathKeys reads the directories of a path that say KEY=VALUE, outermost first. A value
// may have "=" in it, or be empty; a key may not be empty, and the file's own name is
// none. The error says what is no text.
func pathKeys(path string) ([]pathKey, error) {
	var keys []pathKey
	elements := strings.Split(filepath.ToSlash(folders(path)), "/")
	for _, element := range elements[:len(elements)-1] {
		key, value, ok := strings.Cut(element, "=")
		if !ok || key == "" {
			continue
		}
		k := pathKey{name: unescapePartition(key), value: unescapePartition(value), null: value == NullPartition}
		if !utf8.ValidString(k.name) || !utf8.ValidString(k.value) {
			return nil, asInput(fmt.Errorf("input %q: the folder %q is not UTF-8, and cannot be a column", path, element))
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// folders is what of a path lies in folders: of a database's URI its file. A server has none,
// though its socket's path, or a query's a/b = c, looks like it.
func folders(path string) string {
	if query.SchemeOf(path) == "" {
		return path
	}
	u, err := query.Parse(path)
	if err != nil || !u.Local() {
		return ""
	}
	return u.Place
}

// unescapePartition decodes %XX, and leaves a percent sign as it is that no two
// hexadecimal digits follow, as Hive does.
// Source: apache/hive, common/FileUtils.java, unescapePathName.
func unescapePartition(text string) string {
	if !strings.Contains(text, "%") {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) && hexDigit(text[i+1]) >= 0 && hexDigit(text[i+2]) >= 0 {
			b.WriteByte(byte(hexDigit(text[i+1])<<4 | hexDigit(text[i+2])))
			i += 2
			continue
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// EscapePartition is the directory of a column's value, KEY=VALUE, with what Hive
// escapes as %XX: control characters and "#%'*/:=?\{[]^ and DEL; and bytes that are not
// UTF-8. Null and, as in Hive, the empty text are NullPartition.
// Source: apache/hive, common/FileUtils.java, escapePathName.
func EscapePartition(column, value string, null bool) string {
	if null || value == "" {
		return escapePartition(column, "") + "=" + NullPartition
	}
	return escapePartition(column, "") + "=" + escapePartition(value, "")
}

// escapeKey is a name as Partitions are written, which commas part.
func escapeKey(name string) string { return escapePartition(name, ", ") }

// escapePartition escapes what Hive does, and more.
func escapePartition(text, more string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		if r < ' ' || r == utf8.RuneError && n == 1 || strings.ContainsRune("\"#%'*/:=?\\\x7f{[]^"+more, r) {
			b.WriteByte('%')
			b.WriteByte(digits[text[i]>>4])
			b.WriteByte(digits[text[i]&15])
			i++
			continue
		}
		b.WriteString(text[i : i+n])
		i += n
	}
	return b.String()
}
