package format

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
)

// RowName says which row of a batch an error is about: its place in what was written, and its
// first column, which is an id where rows have any.
func RowName(batch arrow.RecordBatch, row int, place int64) string {
	const most = 64 // bytes of a value that are of use
	value := batch.Column(0).ValueStr(row)
	if len(value) > most {
		value = value[:most] + "..."
	}
	return fmt.Sprintf("row %d, whose %q is %q", place, batch.ColumnName(0), value)
}
