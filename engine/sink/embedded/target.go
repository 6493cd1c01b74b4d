package embedded

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/millrace/millrace/internal/nearest"
	"github.com/millrace/millrace/io/query"
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
	table     Ref
	name      string // of the table, as table= takes it
	ledger    string // prefix of the run's own tables
	runColumn string
	views     bool
}

// parse reads SCHEME:PATH?table=NAME&... The path is as the file system has it.
func parse(d Dialect, output string) (*target, error) {
	rest := output[len(d.Scheme())+1:]
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
	problems := t.take(d, values)
	if path == "" || strings.ContainsRune(path, 0) {
		problems = append(problems, errors.New("the path of the database file is missing"))
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	if t.path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	t.table.Catalog = d.Catalog(t.path, t.table.Schema)
	return t, nil
}

// own is where one of the run's own tables or views stands.
func (t *target) own(d Dialect, name string) Ref {
	ref := d.Own(t.ledger, name)
	ref.Catalog = d.Catalog(t.path, ref.Schema)
	return ref
}

// ofTable is whose tables the run's own are.
func (t *target) ofTable() string {
	if t.table.Schema == "" {
		return t.table.Table
	}
	return Ref{Schema: t.table.Schema, Table: t.table.Table}.String() // which no name is by accident
}

func (t *target) take(d Dialect, values url.Values) (problems []error) {
	var name string
	known := map[string]*string{tableParam: &name, ledgerParam: &t.ledger, runParam: &t.runColumn, viewsParam: nil}
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
	if name == "" {
		if len(problems) == 0 {
			problems = append(problems, errors.New("table= is missing: the table to write, such as ?table=scores"))
		}
		return problems
	}
	var err error
	if t.table, err = d.Table(name); err != nil {
		return append(problems, fmt.Errorf("table=%s: %w", name, err))
	}
	t.name = t.table.Table
	if t.table.Schema != "" {
		t.name = query.JoinName(t.table.Schema, t.table.Table)
	}
	if t.ledger == "" {
		t.ledger = t.table.Table + "_millrace"
	}
	return problems
}
