package dataset

import (
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
)

// Drift says what becomes of files that differ from the first in columns or types.
type Drift int

// What becomes of them.
const (
	// DriftFails refuses the dataset.
	DriftFails Drift = iota
	// DriftIsKept leaves it to the caller, who may not need the columns: see
	// Dataset.Differs. A column that differs cannot be read of a file that does.
	DriftIsKept
)

// Difference is one column in which a file differs from the first file. Want
// or Got is nil where the column is missing.
type Difference struct {
	File   string
	Column string
	Want   arrow.DataType // in the first file
	Got    arrow.DataType // in File
	// InFirst and InFile are how many columns of this name the two have, where both have some
	// and not as many.
	InFirst, InFile int
	// Alike is a column that File has more than the first one, and whose name differs from
	// Column in capitals alone; empty where there is none.
	Alike string
}

// what says the difference without the file.
func (d Difference) what() string {
	switch {
	case d.InFirst != d.InFile:
		return fmt.Sprintf("column %q stands %s in the first file, and %s in", d.Column, times(d.InFirst), times(d.InFile))
	case d.Got == nil:
		if d.Alike != "" {
			return fmt.Sprintf("column %q (%s) is missing, and there is %q, in", d.Column, d.Want, d.Alike)
		}
		return fmt.Sprintf("column %q (%s) is missing in", d.Column, d.Want)
	case d.Want == nil:
		return fmt.Sprintf("column %q (%s) is not in the first file, and is in", d.Column, d.Got)
	}
	return fmt.Sprintf("column %q is %s in the first file, and %s in", d.Column, d.Want, d.Got)
}

func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	default:
		return fmt.Sprintf("%d times", n)
	}
}

// SchemaError lists every difference of every file from the first. It wraps
// ErrSchema.
type SchemaError struct {
	First       string // path of the first file
	Differences []Difference
}

// listedFiles is how many files of one difference are named.
const listedFiles = 3

// Lines says each difference once, with the files that have it: the first of them, and
// how many there are.
func (e *SchemaError) Lines() []string {
	files := map[string][]string{} // by difference
	var order []string
	for _, d := range e.Differences {
		what := d.what()
		if files[what] == nil {
			order = append(order, what)
		}
		files[what] = append(files[what], d.File)
	}
	lines := make([]string, len(order))
	for i, what := range order {
		lines[i] = what + " " + quoteList(files[what], listedFiles)
	}
	return lines
}

// Error lists all differences, of a thousand columns at most.
func (e *SchemaError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v: compared with %q:", ErrSchema, e.First)
	lines := e.Lines()
	for i, line := range lines {
		if i == maxDrift {
			fmt.Fprintf(&b, "\n  and %d more differences", len(lines)-i)
			break
		}
		b.WriteString("\n  " + line)
	}
	return b.String()
}

// maxDrift is how many differences a message spells out.
const maxDrift = 1000

// Unwrap makes errors.Is(err, ErrSchema) true.
func (e *SchemaError) Unwrap() error { return ErrSchema }

func (d *Dataset) schemaError(differences []Difference) *SchemaError {
	return &SchemaError{First: d.files[0].path, Differences: differences}
}

// Differs returns a *SchemaError of the differences between files that concern some
// columns; nil where these are the same in all of them.
func (d *Dataset) Differs(columns []string) error {
	some := slices.DeleteFunc(slices.Clone(d.differences), func(diff Difference) bool { return !slices.Contains(columns, diff.Column) })
	if len(some) == 0 {
		return nil
	}
	return d.schemaError(some)
}

// Drifted are all differences between files; nil where there are none, and unless
// Options.Drift is DriftIsKept.
func (d *Dataset) Drifted() *SchemaError {
	if len(d.differences) == 0 {
		return nil
	}
	return d.schemaError(d.differences)
}
