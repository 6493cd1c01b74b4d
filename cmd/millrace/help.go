package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
)

// leastHelpWidth is what is left for a flag's words beside its name at least; on narrower
// terminals they stand below it.
const leastHelpWidth = 30

// helpIndent is where words begin that stand below a name.
const helpIndent = 10

// showHelp writes a command's help as wide as the terminal is.
func showHelp(s streams) func(cmd *cobra.Command, args []string) {
	return func(cmd *cobra.Command, _ []string) {
		text := strings.TrimRight(cmp.Or(cmd.Long, cmd.Short), " \n") + "\n\n" + cmd.UsageString()
		_, _ = io.WriteString(s.Out, fold(text, terminalWidth(s.Out)))
	}
}

// helpName is what a line of help begins with where it is a list's: a name, and two blanks
// or more before what is said of it.
var helpName = regexp.MustCompile(`^ +\S+( \S+)* {2,}`)

// fold breaks lines of help that are wider than width, between words, and below where
// their words began. Commands stay whole, to be copied. Without a width, 0, nothing is
// broken.
func fold(text string, width int) string {
	if width <= 0 {
		return text
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		if len([]rune(line)) <= width+1 || strings.HasPrefix(line, "  millrace ") && !helpName.MatchString(line) || strings.HasPrefix(line, "  source ") {
			b.WriteString(line)
			continue
		}
		foldLine(&b, strings.TrimRight(line, "\n"), width)
	}
	return b.String()
}

func foldLine(b *strings.Builder, line string, width int) {
	name := helpName.FindString(line)
	indent := len(name)
	if name == "" {
		indent = len(line) - len(strings.TrimLeft(line, " "))
		name = line[:indent]
	}
	words := strings.Fields(line[len(name):])
	if width-indent < leastHelpWidth && indent > helpIndent {
		b.WriteString(strings.TrimRight(name, " ") + "\n")
		indent, name = helpIndent, strings.Repeat(" ", helpIndent)
	}
	b.WriteString(name)
	at := indent
	for i, word := range words {
		n := len([]rune(word))
		switch {
		case i == 0:
		case at+1+n > width:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			at = indent
		default:
			b.WriteString(" ")
			at++
		}
		b.WriteString(word)
		at += n
	}
	b.WriteString("\n")
}

// newHelp is "help", as many type it.
func newHelp(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:    "help [COMMAND]",
		Short:  "Show the help of a command.",
		Hidden: true,
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 && cmd == root {
				return errors.Join(err, root.Args(root, rest))
			}
			return cmd.Help()
		},
	}
}

// versionText is what version prints, for --version.
func versionText() string {
	var b strings.Builder
	if err := buildReport().Text(&b); err != nil {
		return fmt.Sprintln(err)
	}
	return b.String()
}
