package dataset

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// hasMeta says whether a path has glob characters.
func hasMeta(path string) bool { return strings.ContainsAny(path, `*?[\`) }

// Pattern writes a pattern as path.Match has it, which takes "!" in "[!a-z]" for one of the
// characters, where it means all others to shells, Python and DuckDB.
func Pattern(pattern string) string {
	out, class := []byte(pattern), false
	for i := 0; i < len(out); i++ {
		switch c := out[i]; {
		case c == '\\':
			i++
		case class:
			class = c != ']'
		case c == '[':
			class = true
			if i+1 < len(out) && out[i+1] == '!' {
				out[i+1] = '^'
			}
		}
	}
	return string(out)
}

// listGlob lists what a pattern matches; an empty result is not an error.
func (a Lister) listGlob(pattern string) (Listing, error) {
	clean := strings.Split(pattern, "/")
	base, rest := ".", make([]string, 0, len(clean))
	for i, elem := range clean {
		switch {
		case i == 0 && elem == "": // absolute
			base = "/"
		case elem == "" || elem == ".":
		case elem == "**" && len(rest) > 0 && rest[len(rest)-1] == "**":
		default:
			elem = Pattern(elem)
			if _, err := filepath.Match(elem, ""); err != nil {
				return Listing{}, asInput(fmt.Errorf("glob %q: %q: %w", pattern, clean[i], err))
			}
			rest = append(rest, elem)
		}
	}
	g := globber{walker: walker{accept: a.accept, format: a.Format}}
	if err := g.match(base, rest); err != nil {
		return Listing{}, err
	}
	g.sort()
	return g.Listing, nil
}

// globber matches a pattern name by name from the root of its tree.
type globber struct {
	walker
}

// match adds what the pattern's elements match below dir.
func (g *globber) match(dir string, elems []string) error {
	if len(elems) == 0 {
		return g.take(dir)
	}
	elem, rest := elems[0], elems[1:]
	switch {
	case elem == "**":
		return g.matchAnyDepth(dir, rest, nil)
	case !hasMeta(elem):
		path := join(dir, elem)
		if _, err := os.Stat(path); err != nil {
			return ignoreMissing(path, err)
		}
		return g.match(path, rest)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ignoreNotDir(dir, err)
	}
	for _, entry := range entries {
		name := entry.Name()
		if hidden(name) && name[0] != elem[0] {
			continue
		}
		if ok, _ := filepath.Match(elem, name); !ok { // listGlob checked the syntax
			continue
		}
		if err := g.match(join(dir, name), rest); err != nil {
			return err
		}
	}
	return nil
}

// matchAnyDepth matches rest in dir and in every directory below it. A
// pattern that ends in "**" takes whole trees, as a directory input does. above
// is as for walk.
func (g *globber) matchAnyDepth(dir string, rest []string, above []fs.FileInfo) error {
	info, err := os.Stat(dir)
	if err != nil {
		return ignoreMissing(dir, err)
	}
	if !info.IsDir() {
		return nil
	}
	if len(rest) == 0 {
		return g.walk(dir, nil)
	}
	for _, a := range above {
		if os.SameFile(a, info) {
			return asInput(fmt.Errorf("input %q: symbolic link leads back to %q", dir, a.Name()))
		}
	}
	if err := g.match(dir, rest); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ignoreNotDir(dir, err)
	}
	above = append(slices.Clip(above), info)
	for _, entry := range entries {
		if hidden(entry.Name()) || entry.Type().IsRegular() {
			continue
		}
		if err := g.matchAnyDepth(join(dir, entry.Name()), rest, above); err != nil {
			return err
		}
	}
	return nil
}

// take adds a path that the whole pattern matched.
func (g *globber) take(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return statError(path, err) // a dangling link that the user's pattern names
	}
	if info.IsDir() {
		return g.walk(path, nil)
	}
	g.Files = append(g.Files, path)
	return nil
}

// join keeps relative patterns relative: files come back spelled as asked.
func join(dir, name string) string {
	if dir == "." {
		return name
	}
	return filepath.Join(dir, name)
}

// ignoreMissing drops the error of a path that does not exist, which for a
// glob only means that it does not match.
func ignoreMissing(path string, err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return ignoreNotDir(path, err)
}

// ignoreNotDir drops the error of listing something that is not a directory.
func ignoreNotDir(path string, err error) error {
	if info, serr := os.Stat(path); serr == nil && !info.IsDir() {
		return nil
	}
	return statError(path, err)
}
