package batcher

import (
	"errors"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/models"
)

// roundsError says that a cast rounds, and that nobody allowed it.
type roundsError struct {
	column string
	from   arrow.DataType
	input  string
	to     models.ElementType
}

func (e *roundsError) Error() string {
	return fmt.Sprintf("column %q is %s, but model input %q wants %s, and that cast rounds: allow it by --allow-lossy-casts (rounded values are counted), or write the column as %s",
		e.column, e.from, e.input, e.to, e.to)
}

// joinRounds makes one problem of all columns that would be rounded in the same way, so
// that a table of float64 is one message and not one for each of its columns.
func joinRounds(problems []error) []error {
	type cast struct {
		from string
		to   models.ElementType
	}
	var told []error
	first := map[cast]int{} // its place there
	columns := map[cast][]string{}
	for _, err := range flattened(problems) {
		rounds, ok := errors.AsType[*roundsError](err)
		if !ok {
			told = append(told, err)
			continue
		}
		c, name := cast{rounds.from.String(), rounds.to}, fmt.Sprintf("%q", rounds.column)
		if columns[c] == nil {
			first[c] = len(told)
			told = append(told, err)
		}
		if !slices.Contains(columns[c], name) { // it may fill several inputs
			columns[c] = append(columns[c], name)
		}
	}
	for c, names := range columns {
		if len(names) > 1 {
			told[first[c]] = fmt.Errorf("columns are %s where the model wants %s, and that cast rounds: allow it by --allow-lossy-casts (rounded values are counted), or write them as %s: %s",
				c.from, c.to, c.to, some(names))
		}
	}
	return told
}

// flattened are the errors that joined ones are made of.
func flattened(problems []error) []error {
	var all []error
	for _, err := range problems {
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			all = append(all, flattened(joined.Unwrap())...)
			continue
		}
		all = append(all, err)
	}
	return all
}
