// Package secret knows what passwords, tokens and signatures look like where people write
// them: in URIs, connection strings and files of settings. It is for messages, which must
// not have them, and for names of places, which must not either: they are kept in manifests.
package secret

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// ErrGiven says that a name of a place holds what may be a secret, or is how another
// program has databases named. Errors of In wrap it, and have nothing of the name.
var ErrGiven = errors.New("not a path or URI")

// Mask stands for a secret in a message.
const Mask = "***"

// names are those whose values are secret: of parameters of signed URLs (AWS Signature
// Version 4, Azure's SAS), of libpq, and of connection strings.
const names = `(?:[\w.-]*(?:passw|pwd|secret|token|signature|credential|account_?key|access_?key|api_?key|sharedaccess)[\w.-]*|sig)`

var (
	// userInfo is a password before a host, however many slashes were written: up to the
	// last "@", since people write passwords as they are.
	userInfo = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*:/{0,2}[^\s:/?#@"']*:)[^\s"']+@`)
	// pair is a parameter, or a word of a connection string.
	pair = regexp.MustCompile(`(?i)((?:^|[?&;\s"'])` + names + `\s*=\s*)('(?:[^'\\]|\\.)*'?|[^\s&;"']+)`)
	// options are libpq's in a URI: settings of a session, among which may be an application's.
	options = regexp.MustCompile(`(?i)([?&]options=)[^&\s"']+`)
	// slashed is a password in what was meant for a URI.
	slashed = regexp.MustCompile(`^(?:[A-Za-z][A-Za-z0-9+.:-]*:/+[^/?#]*|(?i:postgres|postgresql|mysql|redis):[^/?#]*):.*@`)
	// parameter is a pair that begins or stands behind what begins one: a folder of a
	// path is none.
	parameter = regexp.MustCompile(`(?i)(?:(?:^|[?&;])` + names + `|[?&;]key)=`)
	// keyword is a word of libpq's connection strings (PostgreSQL documentation, 34.1.2).
	keyword = regexp.MustCompile(`(?i)(?:^\s*|\s)(host|hostaddr|port|dbname|user|password|passfile|service|sslmode|sslpassword|sslkey|options|connect_timeout|application_name|target_session_attrs)\s*=`)
	first   = regexp.MustCompile(`(?i)^\s*[a-z_]+\s*=`)
)

// Hide puts stars for what may be secrets in a text.
func Hide(text string) string {
	return pair.ReplaceAllString(options.ReplaceAllString(HidePasswords(text), "${1}"+Mask), "${1}"+Mask)
}

// HidePasswords puts stars for passwords in URIs alone: what is safe in a text of any kind, in
// which a name and a value may be an expression, or the folder of a partition.
func HidePasswords(text string) string {
	return userInfo.ReplaceAllString(text, "${1}"+Mask+"@")
}

// In is an error where the name of a file, folder or object holds what may be a secret, or
// is a connection string; it says how to write what was meant. Whether a URI may hold a
// password, as those of PostgreSQL may, is the caller's to know.
func In(place string) error {
	switch {
	case connection(place):
		return fmt.Errorf("%w: it looks like libpq's keywords, and may hold a password, so it is not shown; write postgres://USER@HOST:PORT/DATABASE?table=NAME, with the password in PGPASSWORD or ~/.pgpass", ErrGiven)
	case slashed.MatchString(place):
		return fmt.Errorf("%w: it holds a password before an @, so it is not shown; credentials come from the environment and the files of each store (docs/stores.md, docs/postgres.md)", ErrGiven)
	case parameter.MatchString(place):
		return fmt.Errorf("%w: it holds a parameter that may be a password, token or signature, so it is not shown; credentials come from the environment and the files of each store, such as AWS_ACCESS_KEY_ID or AZURE_STORAGE_SAS_TOKEN (docs/stores.md)", ErrGiven)
	}
	return nil
}

// connection says whether a text is keywords of libpq: two of them, or a password's.
func connection(text string) bool {
	if !first.MatchString(text) {
		return false
	}
	found := keyword.FindAllStringSubmatch(text, 2)
	return len(found) > 1 || len(found) == 1 && strings.HasSuffix(strings.ToLower(found[0][1]), "password")
}
