package query

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// ErrURI says that what names rows of a database cannot be told apart.
var ErrURI = errors.New("a database is named as sqlite:PATH, duckdb:PATH or postgres://HOST/NAME, with ?table=NAME, or ?query=TEXT last")

// Schemes are those of databases.
const (
	SchemePostgres   = "postgres"
	SchemePostgreSQL = "postgresql" // another name for it
	SchemeSQLite     = "sqlite"
	SchemeDuckDB     = "duckdb"
)

// URI names rows of a database:
//
//	sqlite:PATH?table=NAME            PATH is as the file system has it, nothing is escaped
//	duckdb:PATH?query=SELECT ...      a query comes last, and nothing in it is escaped
//	postgres://HOST/DB?unordered&table=NAME&sslmode=require
//	                                  the rest is as libpq has it
//
// Names of tables are escaped as URIs have it: %26 is &.
type URI struct {
	Scheme string
	// Place is the path of a file, or the whole URI of a server's database without what
	// Spec has.
	Place string
	Spec  Spec
}

// SchemeOf is a database's scheme, in lower case; empty for anything else. That of a server is
// one without slashes too, though Parse refuses it: no file's name, it may hold a password.
func SchemeOf(text string) string {
	scheme, _, ok := strings.Cut(text, ":")
	if !ok {
		return ""
	}
	switch scheme = strings.ToLower(scheme); scheme {
	case SchemeSQLite, SchemeDuckDB, SchemePostgres, SchemePostgreSQL:
		return scheme
	}
	return ""
}

// Parse reads a URI. Spec may still lack both a table and a query. Its error wraps ErrURI,
// and has nothing of the URI, which may hold a password.
func Parse(text string) (URI, error) {
	u := URI{Scheme: SchemeOf(text)}
	if u.Scheme == "" {
		return URI{}, ErrURI
	}
	place, parameters := u.Scheme+text[len(u.Scheme):], "" // whose driver takes no capitals there
	if u.Local() {
		place = text[len(u.Scheme)+1:]
		if rest, ok := strings.CutPrefix(place, "//"); ok {
			place = rest
		}
	} else if !strings.HasPrefix(place, u.Scheme+"://") {
		return URI{}, ErrURI
	}
	if i := parametersAt(place, u.Local()); i >= 0 {
		place, parameters = place[:i], place[i+1:]
	}
	kept, err := u.Spec.take(parameters)
	if err != nil {
		return URI{}, err
	}
	switch {
	case u.Local() && kept != "":
		return URI{}, fmt.Errorf("%w; of %s there are no parameters but table, query and unordered", ErrURI, u.Scheme)
	case place == "":
		return URI{}, fmt.Errorf("%w; the path is missing", ErrURI)
	case strings.ContainsRune(place, 0):
		return URI{}, fmt.Errorf("%w; the path has a NUL byte", ErrURI)
	case kept != "":
		place += "?" + kept
	}
	u.Place = place
	return u, nil
}

// parametersAt finds the question mark before a URI's parameters; paths may have others.
func parametersAt(place string, local bool) int {
	if !local {
		return strings.IndexByte(place, '?')
	}
	first := -1
	for _, name := range []string{"?table=", "?query=", "?unordered"} {
		if i := strings.Index(place, name); i >= 0 && (first < 0 || i < first) {
			first = i
		}
	}
	return first
}

// take reads the parameters that are of the rows, and gives the others as they are.
func (s *Spec) take(parameters string) (kept string, err error) {
	var others []string
	for parameters != "" {
		if text, ok := strings.CutPrefix(parameters, "query="); ok {
			s.Text = text
			break
		}
		one, rest, _ := strings.Cut(parameters, "&")
		parameters = rest
		name, value, _ := strings.Cut(one, "=")
		switch name {
		case "table":
			if s.Table, err = url.PathUnescape(value); err != nil || s.Table == "" || strings.ContainsRune(s.Table, 0) {
				return "", fmt.Errorf("%w; the table's name is empty, or not escaped as in a URI: %%25 is %%, and %%26 is &", ErrURI)
			}
		case "unordered":
			s.Unordered = true
		default:
			others = append(others, one)
		}
	}
	if s.Table != "" && s.Text != "" {
		return "", fmt.Errorf("%w; and not both", ErrURI)
	}
	return strings.Join(others, "&"), nil
}

// Local says that the database is a file.
func (u *URI) Local() bool { return u.Scheme == SchemeSQLite || u.Scheme == SchemeDuckDB }

// String writes what Parse reads.
func (u *URI) String() string {
	text := u.Place
	if u.Local() {
		text = u.Scheme + ":" + u.Place
	}
	separator := "?"
	if !u.Local() && strings.Contains(text, "?") {
		separator = "&"
	}
	add := func(parameter string) {
		text += separator + parameter
		separator = "&"
	}
	if u.Spec.Unordered {
		add("unordered")
	}
	if u.Spec.Table != "" {
		add("table=" + strings.NewReplacer("%", "%25", "&", "%26", "#", "%23", "?", "%3F").Replace(u.Spec.Table))
	}
	if u.Spec.Text != "" {
		add("query=" + u.Spec.Text)
	}
	return text
}
