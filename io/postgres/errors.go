package postgres

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millrace/millrace/io/format"
)

var (
	// ErrURI says that a URI names no table of a PostgreSQL database.
	ErrURI = errors.New("not a PostgreSQL output")
	// ErrServer says that the server refused something, or cannot be reached.
	ErrServer = errors.New("PostgreSQL")
	// ErrLost says that the connection broke or the server went away, which may pass. It
	// wraps ErrServer.
	ErrLost = fmt.Errorf("%w: connection lost", ErrServer)
	// ErrBusy says that the server did not do something now, and may later: a lock that
	// was not given, a deadlock, too many connections. It wraps ErrServer.
	ErrBusy = fmt.Errorf("%w is busy", ErrServer)
	// ErrTable says that a table is there and does not take the rows.
	ErrTable = errors.New("table does not fit")
	// ErrType says that PostgreSQL has no type for a column. It wraps format.ErrColumnType.
	ErrType = fmt.Errorf("%w: PostgreSQL has none like it", format.ErrColumnType)
	// ErrValue says that PostgreSQL cannot hold a value.
	ErrValue = errors.New("value cannot be stored in PostgreSQL")
)

// SQLSTATE classes and codes, by "Appendix A. PostgreSQL Error Codes" of its manual.
var (
	lostCodes = []string{"08", "57P01", "57P02", "57P03", "57P05", "25P03", "25P04"}
	busyCodes = []string{"55P03", "40001", "40P01", "53300", "53400"}
)

// hints say what to do, by code.
var hints = map[string]string{
	"42501": "grant the right to the user of the connection, or, if a row's policy refuses it, ALTER that or leave such rows out by --where",
	"3D000": "create the database, or name another in the URI",
	"28P01": "give the password by PGPASSWORD, .pgpass or a service file",
	"28000": "see pg_hba.conf of the server",
	"53100": "the server's disk is full: make room there",
	"53200": "the server is out of memory",
	"57014": "a timeout of the server's or the user's ended it: raise statement_timeout for the user, or for this run by ?statement_timeout=0 in the URI",
	"23503": "the table's own foreign key refuses a row: leave such rows out by --where, or write what they refer to first",
	"23505": "the table has a row of the same key: --if-exists upsert replaces those of the same ids; or leave such rows out by --where",
	"22P05": "the database's encoding has no such character: leave such rows out by --where, or name a database of UTF8",
	"23514": "the table's own check refuses a row: leave such rows out by --where, or ALTER the table",
	"25006": "the server is a standby or set to read only: name the primary, or let target_session_attrs=read-write find it",
	"55P03": "something else holds a lock on the table",
	"53300": "the server has no connection left",
}

// Wrap puts a sentinel of this package around an error of the driver, says what to do, and
// keeps secrets out; nil stays nil.
func (t *Target) Wrap(err error) error {
	if err == nil || errors.Is(err, ErrServer) || errors.Is(err, ErrTable) || errors.Is(err, ErrValue) || errors.Is(err, ErrURI) {
		return err
	}
	kind, hint := ErrServer, Hint(err)
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch {
		case hasPrefix(pg.Code, lostCodes):
			kind = ErrLost
		case hasPrefix(pg.Code, busyCodes):
			kind = ErrBusy
		}
		if pg.Detail != "" && pg.Code != "23505" { // which has values of the row
			hint = strings.TrimPrefix(hint+"; "+pg.Detail, "; ")
		}
		if pg.Code == "22P05" && pg.Where != "" { // of a part's COPY: its row, from 1, and the column
			hint += "; " + pg.Where
		}
		if pg.Hint != "" && hint == "" {
			hint = pg.Hint
		}
	} else if hint == "" && (isLost(err) || isConnect(err) && t.reached.Load()) { // the address was right
		kind = ErrLost
	}
	if hint != "" {
		hint = " (" + hint + ")"
	}
	return &serverError{kind: kind, cause: err, text: t.hide(err.Error()) + hint}
}

// Hint says what to do about an error of the driver's, of the server or of its certificate; empty
// where nothing is known.
func Hint(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return hints[pg.Code]
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "name the certificate of who signed it by sslrootcert= in the URI, or PGSSLROOTCERT"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "name the host as its certificate does, or look at who signed it alone, by sslmode=verify-ca"
	}
	return ""
}

// serverError has a text without secrets; its cause is for errors.As alone.
type serverError struct {
	kind, cause error
	text        string
}

func (e *serverError) Error() string   { return e.kind.Error() + ": " + e.text }
func (e *serverError) Unwrap() []error { return []error{e.kind, e.cause} }

// Passes says whether an error of the driver may pass by itself: the connection broke, or the
// server goes down, is starting, or does not do something now.
func Passes(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return hasPrefix(pg.Code, lostCodes) || hasPrefix(pg.Code, busyCodes)
	}
	return isLost(err)
}

// isLost says whether an error is of the way to the server, and not its answer.
func isLost(err error) bool {
	if isConnect(err) { // who never got there may have the wrong address; a server that stops or starts breaks off
		return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, pgconn.ErrConnClosed) ||
		strings.Contains(err.Error(), "conn closed") || strings.Contains(err.Error(), "conn busy") // of a connection that is of no use any more
}

// isConnect says whether an error is of making a connection.
func isConnect(err error) bool {
	_, ok := errors.AsType[*pgconn.ConnectError](err)
	return ok
}

func hasPrefix(code string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(code, p) {
			return true
		}
	}
	return false
}
