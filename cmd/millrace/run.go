package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/internal/cpulevel"
	"github.com/millrace/millrace/internal/hugepage"
	"github.com/millrace/millrace/internal/nearest"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/io/dataset"
)

// streams are where a command reads and writes: data and answers on Out,
// everything else on Err.
type streams struct {
	In     io.Reader
	Out    io.Writer
	Err    io.Writer
	screen *screen // Err, for lines while a bar is at its end; nil: there is never one
}

// run is the whole program but for os.Exit.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
	s := streams{In: stdin, Out: stdout, Err: stderr, screen: &screen{err: stderr}}
	common := &commonOptions{args: args}
	defer collectEarly()()
	defer func() {
		if r := recover(); r != nil {
			_, _ = fmt.Fprintf(stderr, "millrace: internal error: %v\n%s\nThis is a fault of millrace's; please report it with the lines above.\n", r, debug.Stack())
			code = exitFault
		}
	}()
	ctx, stop := interruptible(ctx)
	defer stop()
	root := newRoot(s, common) //nolint:contextcheck // commands get ctx from ExecuteContext
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	code = exitCode(err)
	if _, quiet := errors.AsType[*quietError](err); !quiet {
		common.reportError(s, err, code)
	}
	return code
}

// ballastBytes is memory that is asked for and never touched, so that it is none
// of the machine's; to the collector of garbage it is heap.
const ballastBytes = 32 << 20

// collectEarly lets the heap grow by half before it is collected, and not
// double, unless GOGC says otherwise: it is large buffers, and memory that is
// garbage is memory that the machine's other jobs do not get. But a small heap
// grows by half again and again, each collection stopping all workers; with the
// ballast there are 16 MiB at least between two. (A linear model on Arrow took a
// seventh more processor time without.) The function that it gives must be
// called at the end.
func collectEarly() (done func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	defer debug.SetGCPercent(50)
	if !ballasted() {
		return func() {}
	}
	debug.SetGCPercent(-1)
	makeRoom()
	ballast := make([]byte, ballastBytes)
	runtime.GC() // so that the room is free; there is next to nothing else yet
	return func() { runtime.KeepAlive(ballast) }
}

// roomBytes is about how much of the heap a run comes to use.
const roomBytes = 48 << 20

// makeRoom has the heap grow at once, by memory that asks for huge pages and is
// then free: 4,000 faults less to open a model of many trees. What is never used
// costs nothing.
func makeRoom() { hugepage.Advise(make([]byte, roomBytes)) }

// ballasted says whether the heap has the ballast: a limit that the user set is
// for the heap as it is.
func ballasted() bool { return os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" }

// interrupts says what the first signal does: it ends the context, unless something
// better is set.
type interrupts struct {
	mu     sync.Mutex
	action func(cause error)
}

// interruptsKey is where a context has its *interrupts.
type interruptsKey struct{}

// onSignal has action called at the first signal, instead of the context's end, until
// done is called.
func onSignal(ctx context.Context, action func(cause error)) (done func()) {
	i, ok := ctx.Value(interruptsKey{}).(*interrupts)
	if !ok {
		return func() {}
	}
	set := func(action func(error)) {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.action = action
	}
	set(action)
	return func() { set(nil) }
}

// interruptible ends the context at the first SIGINT or SIGTERM, with
// engine.ErrInterrupted as its cause; see onSignal. After that the signals have
// their default effect again, so that a second Ctrl-C kills.
func interruptible(ctx context.Context) (context.Context, func()) {
	i := &interrupts{}
	ctx, cancel := context.WithCancelCause(context.WithValue(ctx, interruptsKey{}, i))
	signals := make(chan os.Signal, 1) // one is enough: the first decides
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		select {
		case sig := <-signals:
			signal.Stop(signals)
			name := sig.String()
			if s, ok := sig.(syscall.Signal); ok {
				name = unix.SignalName(s)
			}
			cause := fmt.Errorf("%w by %s", engine.ErrInterrupted, name)
			i.mu.Lock()
			defer i.mu.Unlock()
			if i.action != nil {
				i.action(cause)
			} else {
				cancel(cause)
			}
		case <-done:
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}
}

func newRoot(s streams, common *commonOptions) *cobra.Command {
	root := &cobra.Command{
		Use:   "millrace",
		Short: "Score large columnar data sets with ONNX models, and prove what was done.",
		Example: `  millrace score --model models/reference/flights_gbdt.onnx --input testdata/flights-sample.parquet --nulls nan --ids id --output scores/
  millrace plan  --model models/reference/flights_gbdt.onnx --input testdata/flights-sample.parquet --nulls nan`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			names := make([]string, 0, len(cmd.Commands()))
			for _, c := range cmd.Commands() {
				names = append(names, c.Name())
			}
			return fmt.Errorf("%w: no command %q%s; see millrace --help", engine.ErrUsage, args[0], nearest.DidYouMean(args[0], names))
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	root.SetHelpCommand(newHelp(root))
	root.SetUsageTemplate(usageTemplate)
	root.SetHelpFunc(showHelp(s))
	root.Version = version
	root.SetVersionTemplate(versionText())
	root.SetFlagErrorFunc(flagError)
	common.addFlags(root.PersistentFlags())
	root.AddCommand(
		newScore(s, common), newPlan(s, common), newInit(s, common), newSchema(s), newBench(s, common), newInspect(s, common), newRewrite(s, common), newVerify(s, common), newRuns(s, common), newReplay(s, common), newReport(s, common), newDoctor(s, common), newVersion(s, common),
	)
	for _, c := range root.Commands() {
		before := c.RunE
		c.RunE = func(cmd *cobra.Command, args []string) error {
			if err := applyEnvironment(cmd.Flags(), os.Environ(), allFlagNames(root)); err != nil {
				return err
			}
			if err := checkPlaces(cmd.Flags()); err != nil {
				return err
			}
			if err := common.validate(); err != nil {
				return err
			}
			stop, err := common.startProfile(s)
			if err != nil {
				return err
			}
			defer stop() // on errors and panics, too
			for _, place := range args {
				if err := dataset.CheckName(place); err != nil {
					return fmt.Errorf("%w: %w", engine.ErrUsage, err)
				}
			}
			return before(cmd, args)
		}
		c.Flags().VisitAll(nameVariable)
		completeFlags(c)
	}
	root.PersistentFlags().VisitAll(nameVariable)
	completeFlags(root)
	nameCompletion(root)
	return root
}

// flagError words pflag's error and names the nearest flag.
func flagError(cmd *cobra.Command, err error) error {
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if short := unknown.GetSpecifiedShortnames(); short != "" {
			return fmt.Errorf("%w: unknown flag -%s; see %s --help", engine.ErrUsage, secret.Hide(unknown.GetSpecifiedName()), cmd.CommandPath())
		}
		if near := nearest.Name(unknown.GetSpecifiedName(), names); near != "" {
			return fmt.Errorf("%w: unknown flag --%s (did you mean --%s?)", engine.ErrUsage, unknown.GetSpecifiedName(), near)
		}
		return fmt.Errorf("%w: unknown flag --%s; see %s --help", engine.ErrUsage, secret.Hide(unknown.GetSpecifiedName()), cmd.CommandPath())
	}
	return fmt.Errorf("%w: %s", engine.ErrUsage, secret.Hide(plainValue(err).Error()))
}

// plainValue words what is wrong with a flag's value without names of Go's.
func plainValue(err error) error {
	invalid, ok := errors.AsType[*pflag.InvalidValueError](err)
	if !ok {
		return err
	}
	what := map[string]string{"int": "a whole number", "int64": "a whole number", "uint64": "a whole number, 0 or more", "float64": "a number", "bool": "true or false", "duration": "a time such as 90s or 5m", "intSlice": "whole numbers, separated by commas"}[invalid.GetFlag().Value.Type()]
	if what == "" {
		return err
	}
	return fmt.Errorf("--%s (%s) must be %s", invalid.GetFlag().Name, secret.Hide(invalid.GetValue()), what)
}

// noArgs refuses arguments, which are most often a flag's value gone astray.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s takes no arguments, only flags: %q is one too many (a glob for --input must be quoted, or the shell expands it)",
		engine.ErrUsage, cmd.CommandPath(), secret.Hide(args[0]))
}

func allFlagNames(root *cobra.Command) []string {
	var names []string
	add := func(f *pflag.Flag) { names = append(names, f.Name) }
	root.PersistentFlags().VisitAll(add)
	for _, c := range root.Commands() {
		c.Flags().VisitAll(add)
	}
	return names
}

// variable is the environment variable of a flag.
func variable(flag string) string {
	return "MILLRACE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

func nameVariable(f *pflag.Flag) {
	if f.Name != "help" && !strings.Contains(f.Usage, "MILLRACE_") {
		f.Usage += " [" + variable(f.Name) + "]"
	}
}

// otherVariables are those that scripts of this repository and the vector kernels
// read.
var otherVariables = map[string]bool{
	"MILLRACE_CORPORA": true, "MILLRACE_DATA_DIR": true, "MILLRACE_COMMIT": true, cpulevel.Variable: true,
}

// applyEnvironment sets flags that were not given from their variables. A
// MILLRACE_ variable that no command knows is an error, since it is most likely
// a misspelt setting.
func applyEnvironment(flags *pflag.FlagSet, environ, known []string) error {
	names := map[string]string{}
	variables := make([]string, 0, len(known))
	for _, flag := range known {
		names[variable(flag)] = flag
		variables = append(variables, variable(flag))
	}
	var problems []error
	for _, entry := range environ {
		key, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(key, "MILLRACE_") || otherVariables[key] {
			continue
		}
		flag, ok := names[key]
		if !ok {
			hint := ""
			if near := nearest.Name(key, variables); near != "" {
				hint = fmt.Sprintf(" (did you mean %s?)", near)
			}
			problems = append(problems, fmt.Errorf("environment: unknown variable %s%s", key, hint))
			continue
		}
		f := flags.Lookup(flag)
		if f == nil || f.Changed || key == ort.EnvVariable { // package ort reads that one, and says so

			continue
		}
		if err := flags.Set(flag, value); err != nil {
			problems = append(problems, fmt.Errorf("environment: %s: %w", key, plainValue(err)))
		}
	}
	if len(problems) > 0 {
		return fmt.Errorf("%w: %w", engine.ErrUsage, errors.Join(problems...))
	}
	return nil
}

// checkPlaces refuses flags that name a file or folder by what may hold a secret, before it
// becomes the name of anything. Of inputs, models and outputs of runs more is known where
// they are read: a database's URI may hold a password.
func checkPlaces(flags *pflag.FlagSet) error {
	var problems []error
	flags.Visit(func(f *pflag.Flag) {
		kind, _ := pflag.UnquoteUsage(f)
		switch {
		case f.Name == "input", f.Name == "model" && f.Value.Type() != "string", f.Name == "output" && kind == "PATH":
			return
		case kind != "FILE" && kind != "FOLDER" && kind != "PATH":
			return
		}
		places := []string{f.Value.String()}
		if several, ok := f.Value.(pflag.SliceValue); ok {
			places = several.GetSlice()
		}
		for _, place := range places {
			if err := secret.In(place); err != nil {
				problems = append(problems, fmt.Errorf("--%s: %w", f.Name, err))
			}
		}
	})
	if len(problems) > 0 {
		return fmt.Errorf("%w: %w", engine.ErrUsage, errors.Join(problems...))
	}
	return nil
}

const usageTemplate = `Usage:
{{- if .HasAvailableSubCommands}}
  {{.CommandPath}} COMMAND [flags]

Commands:{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}}  {{.Short}}{{end}}{{end}}
{{- else}}
  {{.UseLine}}
{{- end}}
{{- if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}
{{- end}}
{{- if .HasAvailableInheritedFlags}}

Flags of every command:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}
{{- end}}

A flag that is not given is taken from the environment variable in brackets, and then,
by commands with --job, from the job file.

Exit status:
` + exitTable + `
{{- if .HasExample}}

Examples:
{{.Example}}
{{- end}}
{{- if .HasAvailableSubCommands}}

Help of one command: {{.CommandPath}} COMMAND --help
{{- end}}
`
