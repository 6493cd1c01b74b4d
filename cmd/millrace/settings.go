package main

import (
	"errors"
	"regexp"
	"strings"

	"github.com/millrace/millrace/engine/jobfile"
)

// settings are what a run has from its job file. The engine knows settings by their
// flags; whoever wrote a file looks for the place in it.
type settings struct {
	job  *jobfile.Job
	keys map[string]string // by flag, without those that were given as flags
}

func settingsOf(job *jobfile.Job, given func(flag string) bool) *settings {
	s := &settings{job: job, keys: map[string]string{}}
	for flag, key := range jobfile.FlagKeys() {
		if _, ok := job.Origin(key); ok && !given(flag) {
			s.keys[flag] = key
		}
	}
	if key := "models"; s.keys["model"] == "" && !given("model") {
		if _, ok := job.Origin(key); ok {
			s.keys["model"] = key
		}
	}
	return s
}

// placedError is an error whose text names places of a job file in place of flags.
type placedError struct {
	error

	text string
}

func (e *placedError) Error() string { return e.text }

func (e *placedError) Unwrap() error { return e.error }

// place has an error name the settings that it is about by their keys and places.
func (s *settings) place(err error) error {
	if s == nil || err == nil || errors.Is(err, jobfile.ErrJob) { // which has them
		return err
	}
	before := strings.Split(err.Error(), "\n")
	after := make([]string, len(before))
	for i, line := range before {
		after[i] = s.placeLine(line)
	}
	return &placedError{err, strings.Join(after, "\n")}
}

// Where messages name what they are about. A flag elsewhere in one is advice, and the flag
// works where a file has the key too.
var (
	sentinels = `^(?:[a-z]+(?: [a-z]+){0,5}: ){0,2}`
	flagFirst = regexp.MustCompile(sentinels + `--([a-z][a-z0-9-]*)`)
	flagLater = regexp.MustCompile(`(?:(?:and|but|or) --([a-z][a-z0-9-]*)|--([a-z][a-z0-9-]*)(?:\)| \(| (?:is|are|has|names|says|allows|asks)\b))`)
	keyFirst  = regexp.MustCompile(sentinels + `(features|rules): `)
	valued    = regexp.MustCompile(sentinels + `(input|model) (?:"([^"]+)"|(\S+)):`)
	noColumn  = regexp.MustCompile(`no column "[^"]+" for model input`)
	ofInput   = regexp.MustCompile(`\bmodel input "`)
	inQuotes  = regexp.MustCompile(`"([^"]+)"`)
)

// placeLine does so for one problem.
func (s *settings) placeLine(line string) string {
	quotes := inQuotes.FindAllStringSubmatch(line, -1)
	names := make([]string, 0, len(quotes))
	for _, m := range quotes {
		names = append(names, m[1])
	}
	var origin jobfile.Origin
	var found bool
	at := func(key string, names ...string) bool {
		if key != "" && !found {
			origin, found = s.job.Origin(key, names...)
		}
		return found
	}
	if m := flagFirst.FindStringSubmatchIndex(line); m != nil && at(s.keys[line[m[2]:m[3]]], names...) {
		return line[:m[2]-2] + origin.At + ": " + origin.Key + of(origin) + s.placeLater(line[m[3]:])
	}
	line = s.placeLater(line)
	if m := keyFirst.FindStringSubmatchIndex(line); m != nil && at(s.keys[line[m[2]:m[3]]], names...) {
		return line[:m[2]] + origin.At + ": " + line[m[2]:]
	}
	if m := valued.FindStringSubmatch(line); m != nil && at(s.keys[m[1]]+"."+m[2]+m[3]) {
		return origin.At + ": " + line
	}
	if noColumn.MatchString(line) && at(s.keys["features"], names...) {
		return origin.At + ": " + line
	}
	if whole, ok := s.job.Origin(s.keys["features"]); ok && ofInput.MatchString(line) && at(whole.Key, names...) && origin.At != whole.At {
		return origin.At + ": " + line // one of the names stands in the list; others are the data's, or the model's
	}
	return line
}

// placeLater names settings that stand within a message.
func (s *settings) placeLater(text string) string {
	return flagLater.ReplaceAllStringFunc(text, func(part string) string {
		m := flagLater.FindStringSubmatch(part)
		flag := m[1] + m[2]
		origin, ok := s.job.Origin(s.keys[flag])
		if !ok {
			return part
		}
		return strings.Replace(part, "--"+flag, origin.Key+" ("+origin.At+")"+of(origin), 1)
	})
}

// of says which parameters gave a value.
func of(o jobfile.Origin) string {
	if len(o.Parameters) == 0 {
		return ""
	}
	return " (of --set " + strings.Join(o.Parameters, " and ") + ")"
}
