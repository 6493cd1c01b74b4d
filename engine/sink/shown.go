package sink

import (
	"net/url"
	"strings"
)

// Scheme is the scheme of an output that is named by a URI, lower-case: letters before
// "://". Other names are paths.
func Scheme(output string) (scheme string, ok bool) {
	scheme, _, ok = strings.Cut(output, "://")
	if !ok || scheme == "" || strings.ContainsFunc(scheme, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '+' && r != '-' && r != '.'
	}) {
		return "", false
	}
	return strings.ToLower(scheme), true
}

// Shown is an output's name without what may be a secret: for messages, logs, journals and
// manifests. Of a URI it keeps scheme, user, host and path, and of a query
// what is a part of the place: the table, and the schema of what runs keep beside it.
func Shown(output string) string {
	if _, ok := Scheme(output); !ok {
		return output
	}
	u, err := url.Parse(output)
	if err != nil { // what cannot be told apart cannot be told at all
		scheme, _, _ := strings.Cut(output, "://")
		return scheme + "://…"
	}
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	if u.User != nil {
		shown.User = url.User(u.User.Username())
	}
	if u.Host == "" && u.Path == "" {
		shown.Path = "/" // without, there would be no "//"
	}
	kept := url.Values{}
	for _, name := range []string{"table", "ledger"} {
		if value := u.Query().Get(name); value != "" {
			kept.Set(name, value)
		}
	}
	shown.RawQuery = kept.Encode()
	return shown.String()
}

// LocalPath is an output's name as a path where it is one: of file:///PATH its path, of what
// is no URI the name itself.
func LocalPath(output string) string {
	const files = "file://"
	if len(output) > len(files) && strings.EqualFold(output[:len(files)], files) && output[len(files)] == '/' {
		return output[len(files):]
	}
	return output
}
