package jobfile

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/millrace/millrace/engine/unique"
)

// Origin is where a setting stands in a job file.
type Origin struct {
	Key string // from the root, such as limits.memory
	At  string // FILE:LINE:COLUMN
	// Parameters are those of its value that were given when the run was started, in the
	// order in which they stand there.
	Parameters []string
}

// origins are what decoding notes of where values stand.
type origins struct {
	places map[string]place // by path, and by path and text; see noteText
	given  map[string][]string
}

func newOrigins() *origins {
	return &origins{places: map[string]place{}, given: map[string][]string{}}
}

// note keeps the first place of a path.
func (o *origins) note(path string, at place) {
	if _, twice := o.places[path]; !twice {
		o.places[path] = at
	}
}

// noteText notes a text below its key, and below the key around that: so names in lists,
// and of things in lists, which have no path of their own, are found.
func (o *origins) noteText(path, text string, at place) {
	o.note(joinPath(path, text), at)
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		o.note(joinPath(path[:i], text), at)
	}
}

// parameter notes that a parameter decides a value.
func (o *origins) parameter(path, name string) {
	if !slices.Contains(o.given[path], name) {
		o.given[path] = append(o.given[path], name)
	}
}

// Origin is where the key stands, or of the names the first that stands below it; false
// where the file does not have the key.
func (j *Job) Origin(key string, names ...string) (Origin, bool) {
	at, ok := j.origins.places[key]
	if !ok {
		return Origin{}, false
	}
	for _, name := range names {
		if inner, found := j.origins.places[joinPath(key, name)]; found {
			at = inner
			break
		}
	}
	return Origin{Key: key, At: fmt.Sprintf("%s:%d:%d", j.file.file, at.line, at.column), Parameters: j.origins.given[key]}, true
}

// FlagKeys are the keys that flags can say, each with its flag's name.
func FlagKeys() map[string]string {
	keys := map[string]string{}
	flagKeys(keys, reflect.TypeFor[Job](), "")
	return keys
}

func flagKeys(keys map[string]string, t reflect.Type, path string) {
	if t == reflect.TypeFor[Unique]() {
		t = reflect.TypeFor[unique.Spec]()
	}
	for _, f := range fieldsOf(t) {
		inner := joinPath(path, f.key)
		flag := f.flagName()
		if f.flag == noFlag {
			flag = strings.ReplaceAll(f.key, "_", "-")
		}
		if _, outer := keys[flag]; !outer {
			keys[flag] = inner
		}
		if path == "" && (f.typ == reflect.TypeFor[Limits]() || f.typ == reflect.TypeFor[Unique]()) {
			flagKeys(keys, f.typ, inner)
		}
	}
}
