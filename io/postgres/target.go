package postgres

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/internal/nearest"
	"github.com/millrace/millrace/io/query"
)

// DefaultRunColumn is the column that has the run of each row, unless a URI names another.
const DefaultRunColumn = "millrace_run"

// maxName is how many bytes of a name PostgreSQL keeps (NAMEDATALEN - 1).
const maxName = 63

// The parameters of a URI that are millrace's; all others are libpq's or the server's.
const (
	tableParam  = "table"
	ledgerParam = "ledger"
	runParam    = "run_column"
	viewsParam  = "views"
)

// Target is where a URI leads: a table of a database.
type Target struct {
	Schema string // empty: the first of the search path, see Resolve
	Table  string
	// Ledger is the schema of the run's own tables and views.
	Ledger    string
	RunColumn string
	// Views says whether runs and predictions are made.
	Views bool

	config *pgx.ConnConfig
	server string // the URI without this package's parameters
	shown  string

	reached atomic.Bool // a connection was made
}

// IsURI says whether a path is a URI of this package's.
func IsURI(path string) bool {
	return strings.HasPrefix(path, "postgres://") || strings.HasPrefix(path, "postgresql://")
}

// ParseTarget reads postgres://user@host:port/database?table=schema.name&..., where all
// that libpq takes may stand too, and takes what is not there from libpq's environment
// variables, service file and password file. Parameters of its own:
//
//	table       the table: name or schema.name; double quotes around a name that has a dot
//	ledger      the schema of the run's own tables and views: the table's name and _millrace
//	run_column  the column with the run of each row: millrace_run
//	views       yes or no: whether the views runs and predictions are made
//
// Its error wraps ErrURI and has no password.
func ParseTarget(uri string) (*Target, error) {
	u, err := url.Parse(uri)
	if err != nil || !IsURI(uri) { // url's own error has the URI, and so its password
		return nil, fmt.Errorf("%w: the URI cannot be read: it should look like postgres://user@host/database?table=schema.name, with %%XX for special characters", ErrURI)
	}
	if u.Host == "" && u.Path == "" {
		u.Path = "/" // without, the text of the URI would have no "//"
	}
	t := &Target{Views: true, RunColumn: DefaultRunColumn}
	query, err := parameters(u)
	if err != nil {
		return nil, fmt.Errorf("%w: the parameters after \"?\" cannot be read: special characters are written as %%XX", ErrURI)
	}
	secrets := secretsOf(u, query)
	t.shown = shownURI(u, query)
	problems := t.takeParams(query)
	u.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20")
	t.server = u.String()
	if t.config, err = ParseConfig(t.server); err != nil {
		problems = append(problems, errors.New(hide(err.Error(), secrets)))
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("%w: %s: %w", ErrURI, t.shown, errors.Join(problems...))
	}
	if t.config.ConnectTimeout == 0 {
		t.config.ConnectTimeout = connectTimeout
	}
	if t.config.RuntimeParams["application_name"] == "" {
		t.config.RuntimeParams["application_name"] = "millrace"
	}
	t.config.RuntimeParams["client_encoding"] = "UTF8"
	t.config.RuntimeParams["datestyle"] = "ISO"           // in which pgx reads times, whatever a user or database has
	t.config.DefaultQueryExecMode = pgx.QueryExecModeExec // no statement is asked twice, and a pooler in between may not keep any
	return t, nil
}

// ParseConfig is pgx's, whose errors have the whole URI, and so its options, in them: these
// say only what is wrong.
func ParseConfig(uri string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(uri)
	if file, ok := errors.AsType[*fs.PathError](err); ok {
		return nil, fileError(uri, file)
	}
	if err != nil {
		cause, _, _ := strings.Cut(causeOf(err), "token: ") // behind which is the text itself
		return nil, errors.New(cause)
	}
	return config, nil
}

// fileError says which of libpq's parameters names a file that cannot be read; its value, which
// may be no path but a key, is shown only if it is of the environment.
func fileError(uri string, file *fs.PathError) error {
	u, err := url.Parse(uri)
	if err != nil {
		return fmt.Errorf("a file that it names cannot be read: %w", file.Err)
	}
	query, _ := parameters(u) // what can be read of them
	for name, values := range query {
		if slices.Contains(values, file.Path) {
			return fmt.Errorf("%s= names a file that cannot be read: %w", name, file.Err)
		}
	}
	return fmt.Errorf("a file that it names, or libpq's variables do, cannot be read: %w", file)
}

// parameters are those of a URI, as libpq reads them: a plus is no blank.
func parameters(u *url.URL) (url.Values, error) {
	return url.ParseQuery(strings.ReplaceAll(u.RawQuery, "+", "%2B"))
}

// connectTimeout bounds a connection's making, unless libpq's connect_timeout does.
const connectTimeout = 30 * time.Second

// causeOf is the last error of a chain: those above it repeat the connection string.
func causeOf(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err.Error()
		}
		err = next
	}
}

// takeParams takes millrace's own parameters out of a query.
func (t *Target) takeParams(query url.Values) (problems []error) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	take := func(name string) string {
		values := query[name]
		query.Del(name)
		if len(values) > 1 {
			bad("%s= is given %d times", name, len(values))
		}
		return strings.Join(values[:min(len(values), 1)], "")
	}
	table := take(tableParam)
	names, err := splitName(table)
	switch {
	case table == "":
		near := ""
		for key := range query {
			if nearest.Name(key, []string{tableParam}) != "" {
				near = fmt.Sprintf(" (did you mean %s= by %s=?)", tableParam, key)
			}
		}
		bad("table= is missing: the table to write, such as ?table=public.scores%s", near)
	case err != nil:
		bad("table=%s: %w", table, err)
	case len(names) == 2:
		t.Schema, t.Table = names[0], names[1]
	default:
		t.Table = names[0]
	}
	t.Ledger = t.Table + "_millrace"
	if strings.HasPrefix(t.Table, "pg_") { // the server keeps such names of schemas for itself
		t.Ledger = "millrace_" + t.Table
	}
	if len(t.Ledger) > maxName {
		t.Ledger = fmt.Sprintf("millrace_%.16x", sha256.Sum256([]byte(t.Table)))
	}
	for _, p := range []struct {
		name string
		to   *string
	}{{ledgerParam, &t.Ledger}, {runParam, &t.RunColumn}} {
		if value := take(p.name); value != "" {
			*p.to = value
			if err := checkName(value); err != nil {
				bad("%s=%s: %w", p.name, value, err)
			}
		}
	}
	switch views := take(viewsParam); views {
	case "", "yes":
	case "no":
		t.Views = false
	default:
		bad("views=%s must be yes or no", views)
	}
	for _, param := range []string{ledgerParam, runParam, viewsParam} {
		for key := range query {
			if nearest.Name(key, []string{param}) != "" {
				bad("%s= is unknown (did you mean %s=?)", key, param)
			}
		}
	}
	return problems
}

// splitName splits schema.table, of names that PostgreSQL can hold, and whose case is never folded.
func splitName(text string) (names []string, err error) {
	if names, err = query.SplitName(text); err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := checkName(name); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// checkName refuses what PostgreSQL would cut or cannot hold.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("a name is empty")
	case len(name) > maxName:
		return fmt.Errorf("the name %q has %d bytes, and PostgreSQL keeps %d", name, len(name), maxName)
	case strings.ContainsRune(name, 0):
		return fmt.Errorf("the name %q has a NUL character, which PostgreSQL cannot hold", name)
	}
	return nil
}

// shownParams are the parameters that may be shown: all that name a place and no secret.
var shownParams = []string{tableParam, ledgerParam, runParam, viewsParam, "host", "port", "dbname", "user", "service", "sslmode"}

// shownURI is a URI without what may be secret.
func shownURI(u *url.URL, query url.Values) string {
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	if name := u.User.Username(); name != "" {
		shown.User = url.User(name)
	}
	var params []string
	for _, name := range shownParams {
		for _, value := range query[name] {
			params = append(params, name+"="+strings.NewReplacer("+", "%20", "%2F", "/").Replace(url.QueryEscape(value)))
		}
	}
	shown.RawQuery = strings.Join(params, "&")
	return shown.String()
}

// secretsOf are the texts of a URI that nobody may see, decoded and not.
func secretsOf(u *url.URL, query url.Values) []string {
	secrets := append([]string{}, query["password"]...)
	secrets = append(secrets, query["sslpassword"]...)
	if password, ok := u.User.Password(); ok {
		secrets = append(secrets, password)
	}
	for _, s := range slices.Clone(secrets) {
		secrets = append(secrets, url.QueryEscape(s), url.PathEscape(s))
	}
	return secrets
}

// hide puts stars for secrets.
func hide(text string, secrets []string) string {
	for _, s := range secrets {
		if len(s) > 0 {
			text = strings.ReplaceAll(text, s, "***")
		}
	}
	return text
}

// hide keeps the connection's password out of a text.
func (t *Target) hide(text string) string { return hide(text, []string{t.config.Password}) }

// String is the URI without secrets: for messages, settings and manifests.
func (t *Target) String() string { return t.shown }

// Server is the URI of the database alone, as libpq has it. It may hold a password.
func (t *Target) Server() string { return t.server }

// Hide is a URI without secrets, whatever else is wrong with it.
func Hide(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		scheme, _, _ := strings.Cut(uri, "://")
		return scheme + "://..."
	}
	query, _ := parameters(u) // what cannot be read is not shown
	return shownURI(u, query)
}

// Sets says whether the URI, or what libpq takes beside it, sets a parameter of the session.
func (t *Target) Sets(parameter string) bool {
	_, there := t.config.RuntimeParams[parameter]
	return there
}

// Connect makes a connection.
func (t *Target) Connect(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, t.config.Copy())
	if err != nil {
		return nil, t.Wrap(err)
	}
	t.reached.Store(true)
	return conn, nil
}

// Address names the table for messages: schema.table in database.
func (t *Target) Address() string {
	return fmt.Sprintf("table %s of database %q", t.Name(), t.config.Database)
}

// Name is the table's name, quoted.
func (t *Target) Name() string {
	if t.Schema == "" {
		return pgx.Identifier{t.Table}.Sanitize()
	}
	return pgx.Identifier{t.Schema, t.Table}.Sanitize()
}

// Resolve fills the schema in where the URI names none: that of the table if the search path
// leads to one, or else the first schema of the path.
func (t *Target) Resolve(ctx context.Context, conn *pgx.Conn) error {
	if t.Schema != "" {
		return nil
	}
	var schema *string
	err := conn.QueryRow(ctx, `SELECT coalesce((SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.oid = to_regclass($1)), current_schema())::text`, pgx.Identifier{t.Table}.Sanitize()).Scan(&schema)
	if err != nil {
		return t.Wrap(err)
	}
	if schema == nil {
		return fmt.Errorf("%w: %s: no schema of the search path is there; name one, such as ?table=public.%s", ErrURI, t.shown, t.Table)
	}
	t.Schema = *schema
	return nil
}
