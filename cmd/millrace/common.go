package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"
	"github.com/lmittmann/tint"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/timeline"
	"github.com/millrace/millrace/internal/secret"
)

// version and commit are set by the linker; see the Makefile.
var (
	version = "0.1.0-dev"
	commit  = ""
)

// commonOptions are the flags of every command.
type commonOptions struct {
	args []string // of this process

	Quiet     bool
	JSON      bool
	LogFormat string
	ORTLib    string
	Profile   string
	ProfileTo string

	store storeOptions

	// settings are those that a job file made; nil without one. Errors name them by
	// their places.
	settings *settings

	// timeline gets what a run's workers do, for --profile device; nil otherwise.
	timeline *timeline.Recorder
}

func (o *commonOptions) addFlags(fs *pflag.FlagSet) {
	fs.BoolVarP(&o.Quiet, "quiet", "q", false, "print errors only")
	fs.BoolVar(&o.JSON, "json", false, "print the answer on stdout as one JSON document")
	fs.StringVar(&o.LogFormat, "log-format", "text", "`FORM` of log lines on stderr: text or json")
	fs.StringVar(&o.Profile, "profile", "", "record a `KIND` of profile of this program: cpu, mem, mutex, block or trace; or device, a timeline of workers and NVIDIA devices")
	fs.StringVar(&o.ProfileTo, "profile-to", ".", "`FOLDER` for --profile's file")
	fs.StringVar(&o.ORTLib, "ort-lib", "", "`PATH` of ONNX Runtime's shared library, or a folder with it (default: see millrace doctor)")
	o.store.addFlags(fs)
}

func (o *commonOptions) validate() error {
	if o.LogFormat != "text" && o.LogFormat != "json" {
		return fmt.Errorf("%w: --log-format (%s) must be text or json", engine.ErrUsage, o.LogFormat)
	}
	if o.store.Attempts == 0 && o.store.Endpoint == "" { // made without flags
		return nil
	}
	if err := o.store.Validate(); err != nil {
		return fmt.Errorf("%w: %w", engine.ErrUsage, err)
	}
	return nil
}

func (o *commonOptions) library() ort.LibraryOptions { return ort.LibraryOptions{Path: o.ORTLib} }

// logger writes log lines to stderr: plain lines, coloured on a terminal, or
// JSON.
func (o *commonOptions) logger(s streams) *slog.Logger {
	switch {
	case o.Quiet:
		return slog.New(slog.DiscardHandler)
	case o.LogFormat == "json":
		return slog.New(slog.NewJSONHandler(s.lines(), nil))
	default:
		return slog.New(tint.NewTextHandler(s.lines(), &tint.Options{TimeFormat: time.DateTime, NoColor: !isTerminal(s.Err) || os.Getenv("NO_COLOR") != ""}))
	}
}

// reportError is the last thing a failing command prints.
func (o *commonOptions) reportError(s streams, err error, code int) {
	err = o.settings.place(err)
	text := secret.HidePasswords(err.Error()) // of a URI that was given where none belongs
	if errors.Is(err, syscall.EMFILE) {
		text += openFilesHint()
	}
	if o.wantsJSONLines() {
		slog.New(slog.NewJSONHandler(s.Err, nil)).Error(text, "exit", code)
		return
	}
	text = strings.TrimPrefix(text, engine.ErrUsage.Error()+": ")
	_, _ = fmt.Fprintf(s.Err, "millrace: %s\n", visible(strings.ReplaceAll(text, "\n", "\n  ")))
}

// wantsJSONLines says whether lines on stderr are to be JSON: also where the flags could
// not be read to their end, or the variables not at all.
func (o *commonOptions) wantsJSONLines() bool {
	const flag = "--log-format"
	for i, arg := range o.args {
		value, is := strings.CutPrefix(arg, flag+"=")
		if !is && arg == flag && i+1 < len(o.args) {
			value, is = o.args[i+1], true
		}
		if is {
			return value == "json"
		}
	}
	return o.LogFormat == "json" || os.Getenv(variable(flag[2:])) == "json"
}

// openFilesHint says what to do where the process has as many files open as it may.
func openFilesHint() string {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return "" // the error names what could not be opened
	}
	return fmt.Sprintf("\nthe process may have %d files open at a time: raise that by ulimit -n, or LimitNOFILE= of a systemd unit, or have fewer open by --workers and --readers", limit.Max)
}

// isTerminal reports whether a stream is one that a person looks at.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// drawsBars says whether a stream is a terminal on which a line can be drawn again.
func drawsBars(stream any) bool { return isTerminal(stream) && os.Getenv("TERM") != "dumb" }

// report is a command's answer. Its fields are what --json prints.
type report interface {
	// Text writes the answer for a person.
	Text(w io.Writer) error
}

// print writes a report in the form that was asked for. Where it cannot be written, what it
// is of was done all the same.
func (o *commonOptions) print(s streams, r report) (err error) {
	switch {
	case o.JSON:
		err = writeJSON(s.Out, r)
	case !o.Quiet:
		err = r.Text(visibleWriter{s.Out})
	}
	return unanswered(err)
}

// unanswered words what standard output said when it was written to.
func unanswered(err error) error {
	if _, failed := errors.AsType[*os.PathError](err); failed {
		return fmt.Errorf("%w: the answer, on standard output; what was asked for is done: %w", ledger.ErrOutput, err)
	}
	return err
}

// joinTexts splits a comma separated list, without empty entries.
func joinTexts(lists []string) []string {
	var all []string
	for _, list := range lists {
		for text := range strings.SplitSeq(list, ",") {
			if text = strings.TrimSpace(text); text != "" {
				all = append(all, text)
			}
		}
	}
	return all
}

// joinColumns splits a comma separated list of names, without empty entries. As in CSV, a
// name in double quotes keeps its commas and the blanks at its ends, and has a quote by two.
func joinColumns(lists []string) []string {
	var all []string
	for _, list := range lists {
		for list != "" {
			name, rest, quoted := quotedName(list)
			if !quoted {
				name, rest, _ = strings.Cut(list, ",")
				name = strings.TrimSpace(name)
			}
			if list = rest; name != "" {
				all = append(all, name)
			}
		}
	}
	return all
}

// quotedName is a list's first name, where that stands in quotes, and what comes after its
// comma.
func quotedName(list string) (name, rest string, ok bool) {
	rest, ok = strings.CutPrefix(strings.TrimSpace(list), `"`)
	for ok {
		var part string
		if part, rest, ok = strings.Cut(rest, `"`); !ok {
			break // it does not end: the quote is one of the name's
		}
		name += part
		if after, twice := strings.CutPrefix(rest, `"`); twice {
			name, rest = name+`"`, after
			continue
		}
		rest = strings.TrimSpace(rest)
		after, more := strings.CutPrefix(rest, ",")
		return name, after, more || rest == ""
	}
	return "", "", false
}

// readList reads a list flag: comma separated names, or @FILE with one name a
// line.
func readList(flag string, lists []string) ([]string, error) {
	var all []string
	for _, list := range lists {
		path, ok := strings.CutPrefix(list, "@")
		if !ok {
			all = append(all, joinColumns([]string{list})...)
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("%w: --%s @%s: %w", engine.ErrUsage, flag, path, errors.Unwrap(err))
		}
		all = append(all, joinColumns(strings.Split(string(text), "\n"))...)
	}
	return all, nil
}

// counted is a number of things, in full: 1 row, 50,000 rows.
func counted(n int64, thing string) string {
	return humanize.Comma(n) + " " + english.PluralWord(int(n), thing, "")
}
