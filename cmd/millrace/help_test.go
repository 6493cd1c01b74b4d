package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func TestFold(t *testing.T) {
	const text = `Say a thing or two of a line that is longer than there is room for it.

Usage:
  millrace bench --model M.onnx --input DATA --results results.jsonl [flags]

Flags:
      --workers COUNTS   how many of them there are, at most, at any one time, of all
  -q, --quiet            print errors only
      --log-format FORM of many words that leave no room   FORM of lines, text or json
`
	const want = `Say a thing or two of a line that is longer than there is
room for it.

Usage:
  millrace bench --model M.onnx --input DATA --results results.jsonl [flags]

Flags:
      --workers COUNTS   how many of them there are, at
                         most, at any one time, of all
  -q, --quiet            print errors only
      --log-format FORM of many words that leave no room
          FORM of lines, text or json
`
	if got := fold(text, 58); got != want {
		t.Errorf("fold at 58 =\n%s\nwant\n%s", got, want)
	}
	if got := fold(text, 0); got != text {
		t.Errorf("fold without a width =\n%s\nwant the text as it was", got)
	}
}

// Every value that shells are told of is in the flag's help, and every flag is there.
func TestCompletedFlagsAreThere(t *testing.T) {
	root := newRoot(streams{Out: &bytes.Buffer{}, Err: &bytes.Buffer{}}, &commonOptions{})
	flags := map[string][]*pflag.Flag{}
	add := func(f *pflag.Flag) { flags[f.Name] = append(flags[f.Name], f) }
	for _, c := range append([]*cobra.Command{root}, root.Commands()...) {
		c.LocalFlags().VisitAll(add)
	}
	for name, values := range flagValues {
		if len(flags[name]) == 0 {
			t.Errorf("--%s is completed, and no command has it", name)
		}
		for _, value := range values {
			if !slices.ContainsFunc(flags[name], func(f *pflag.Flag) bool { return strings.Contains(f.Usage, value) }) {
				t.Errorf("--%s is completed by %q, of which its help does not tell", name, value)
			}
		}
	}
	for _, name := range append(flagFolders, slices.Collect(maps.Keys(flagFiles))...) {
		if len(flags[name]) == 0 {
			t.Errorf("--%s is completed, and no command has it", name)
		}
	}
}

// Lines are JSON where that was asked for, also of flags that cannot be read.
func TestErrorsOfFlagsAreJSON(t *testing.T) {
	for _, c := range []struct {
		args     []string
		variable string
		want     bool
	}{
		{[]string{"score", "--bogus", "--log-format", "json"}, "", true},
		{[]string{"score", "--bogus", "--log-format=json"}, "", true},
		{[]string{"--log-format=text", "score", "--bogus"}, "json", false},
		{[]string{"score", "--bogus"}, "json", true},
		{[]string{"score", "--bogus"}, "", false},
	} {
		t.Setenv("MILLRACE_LOG_FORMAT", c.variable)
		var out, errs bytes.Buffer
		if code := run(t.Context(), c.args, strings.NewReader(""), &out, &errs); code != exitUsage {
			t.Errorf("%q exits %d; want %d", c.args, code, exitUsage)
		}
		if got := strings.HasPrefix(errs.String(), "{"); got != c.want {
			t.Errorf("%q with MILLRACE_LOG_FORMAT=%s prints %s; want JSON: %v", c.args, c.variable, &errs, c.want)
		}
	}
}

// An error of too many open files says what to do, however deep it lies.
func TestTooManyOpenFiles(t *testing.T) {
	var errs bytes.Buffer
	err := fmt.Errorf("part 0: %w", errors.Join(errors.New("x"), &os.PathError{Op: "open", Path: "a.parquet", Err: syscall.EMFILE}))
	(&commonOptions{}).reportError(streams{Err: &errs}, err, exitOutput)
	for _, want := range []string{"open a.parquet: too many open files", "the process may have ", "ulimit -n", "--workers"} {
		if !strings.Contains(errs.String(), want) {
			t.Errorf("the error is %q; want %q in it", errs.String(), want)
		}
	}
}
