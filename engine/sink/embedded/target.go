package embedded

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/millrace/millrace/internal/nearest"
)

// DefaultRunColumn is the column that has the run of each row, unless an output names another.
const DefaultRunColumn = "millrace_run"

// The parameters of an output, as PostgreSQL's.
const (
	tableParam  = "table"
	ledgerParam = "ledger"
	runParam    = "run_column"
	viewsParam  = "views"
)

// target is where an output leads: a table of a file.
type target struct {
	path      string // absolute
	table     string
	ledger    string // prefix of the run's own tables
	runColumn string
	views     bool
}

// parse reads SCHEME:PATH?table=NAME&... The path is as the file system has it.
func parse(scheme, output string) (*target, error) {
	rest := output[len(scheme)+1:]
	rest = strings.TrimPrefix(rest, "//")
	path, parameters := rest, ""
	if i := strings.LastIndexByte(rest, '?'); i >= 0 {
		path, parameters = rest[:i], rest[i+1:]
	}
	t := &target{runColumn: DefaultRunColumn, views: true}
	values, err := url.ParseQuery(parameters)
	if err != nil {
		return nil, errors.New("the parameters after \"?\" cannot be read: special characters are written as %XX")
	}
	problems := t.take(values)
	if path == "" || strings.ContainsRune(path, 0) {
		problems = append(problems, errors.New("the path of the database file is missing"))
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	t.path, err = filepath.Abs(path)
	return t, err
}

func (t *target) take(values url.Values) (problems []error) {
	known := map[string]*string{tableParam: &t.table, ledgerParam: &t.ledger, runParam: &t.runColumn, viewsParam: nil}
	for key, given := range values {
		to, ok := known[key]
		value := given[len(given)-1]
		switch {
		case !ok:
			problems = append(problems, fmt.Errorf("%s= is unknown%s", key, nearest.DidYouMean(key, []string{tableParam, ledgerParam, runParam, viewsParam})))
		case len(given) > 1:
			problems = append(problems, fmt.Errorf("%s= is given %d times", key, len(given)))
		case key == viewsParam && value != "yes" && value != "no":
			problems = append(problems, fmt.Errorf("views=%s must be yes or no", value))
		case key == viewsParam:
			t.views = value == "yes"
		case value == "" || strings.ContainsRune(value, 0):
			problems = append(problems, fmt.Errorf("%s= is empty, or has a NUL character", key))
		default:
			*to = value
		}
	}
	if t.table == "" && len(problems) == 0 {
		problems = append(problems, errors.New("table= is missing: the table to write, such as ?table=scores"))
	}
	if t.ledger == "" {
		t.ledger = t.table + "_millrace"
	}
	return problems
}
