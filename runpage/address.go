package runpage

import (
	"net/url"
	"path/filepath"
	"strings"

	"github.com/millrace/millrace/engine/sink"
)

// address is the relative URL of a file, as seen from a folder; empty where there is none.
// It begins with ./ or ../, so that no name can be a scheme or a host.
func address(path, folder string) string {
	if _, elsewhere := sink.Scheme(path); elsewhere {
		return ""
	}
	from, err := filepath.Abs(folder)
	if err != nil {
		return ""
	}
	if resolved, err := filepath.EvalSymlinks(from); err == nil {
		from = resolved
	}
	if path, err = filepath.Abs(path); err != nil {
		return ""
	}
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		path = resolved
	}
	relative, err := filepath.Rel(from, path)
	if err != nil {
		return ""
	}
	segments := strings.Split(filepath.ToSlash(relative), "/")
	for i, s := range segments {
		segments[i] = url.PathEscape(s)
	}
	out := strings.Join(segments, "/")
	if segments[0] != ".." {
		out = "./" + out
	}
	return out
}
