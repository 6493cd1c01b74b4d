package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/internal/nearest"
)

// flagValues are the values of flags that take one of a few, for shells that complete
// them.
var flagValues = map[string][]string{
	"compression":       {"zstd", "snappy", "gzip", "lz4", "none"},
	"decimal-separator": {".", ","},
	"digest":            {"auto", "sha256", "xxh3", "size-mtime"},
	"header":            {"auto", "first", "none"},
	"if-exists":         {"error", "replace", "append"},
	"input-format":      {"auto", "csv", "jsonl"},
	"kernels":           {"auto", "onnxruntime"},
	"log-format":        {"text", "json"},
	"made-format":       {"parquet", "arrow"},
	"nested":            {"refuse", "dots"},
	"nulls":             {"error", "nan", "reject"},
	"on-bad-row":        {"fail", "null", "reject"},
	"on-duplicate":      {"auto", "count", "reject", "null", "fail"},
	"output-format":     {"parquet", "arrow", "csv", "jsonl"},
	"output-layout":     {"auto", "list", "columns"},
	"partitions":        {"auto", "none"},
	"profile":           {"cpu", "mem", "mutex", "block", "trace", "device"},
	"provider":          {"cpu", "cuda", "tensorrt", "auto"},
	"providers":         {"cpu", "cuda", "tensorrt"},
	"store-checks":      {"auto", "always", "never"},
	"unique-mode":       {"hash", "exact"},
}

// flagFiles are the endings of files that flags name, and flagFolders the flags that name
// folders. Others are completed by any file.
var (
	flagFiles   = map[string][]string{"job": {"yaml", "yml"}, "model": {"onnx"}, "report": {"html"}, "compare": {"jsonl"}, "from": {"jsonl"}, "results": {"jsonl"}}
	flagFolders = []string{"dir", "engine-cache", "profile-dir", "profile-to"}
)

// completeFlags has a command's flags completed by their values.
func completeFlags(cmd *cobra.Command) {
	for name, values := range flagValues {
		if f := cmd.Flag(name); f != nil {
			told := slices.DeleteFunc(slices.Clone(values), func(value string) bool { return !strings.Contains(f.Usage, value) }) // replay has one provider
			_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(told, cobra.ShellCompDirectiveNoFileComp))            // once for those of every command
		}
	}
	for name, endings := range flagFiles {
		_ = cmd.MarkFlagFilename(name, endings...) // nothing, where there is no such flag
	}
	for _, name := range flagFolders {
		_ = cmd.MarkFlagDirname(name)
	}
}

// nameCompletion words the command that cobra makes, and has it refuse shells that it
// does not know.
func nameCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	i := slices.IndexFunc(root.Commands(), func(c *cobra.Command) bool { return c.Name() == "completion" })
	cmd := root.Commands()[i]
	cmd.Use = "completion SHELL"
	cmd.Short = "Print a script by which bash, zsh, fish or powershell complete commands, flags and their values."
	cmd.Long = cmd.Short + "\n\nmillrace completion SHELL --help says where each takes it from."
	cmd.Example = "  source <(millrace completion bash)\n  millrace completion fish > ~/.config/fish/completions/millrace.fish"
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		shells := make([]string, 0, len(cmd.Commands()))
		for _, c := range cmd.Commands() {
			shells = append(shells, c.Name())
		}
		if len(args) == 0 {
			return fmt.Errorf("%w: completion wants a shell: %s", engine.ErrUsage, strings.Join(shells, ", "))
		}
		return fmt.Errorf("%w: completion knows no shell %q%s; it knows %s", engine.ErrUsage, args[0], nearest.DidYouMean(args[0], shells), strings.Join(shells, ", "))
	}
	for _, shell := range cmd.Commands() {
		write := shell.RunE
		shell.RunE = func(cmd *cobra.Command, args []string) error { return unanswered(write(cmd, args)) }
	}
	cmd.RunE = func(*cobra.Command, []string) error { return nil } // Args refuses whatever is no shell
}
