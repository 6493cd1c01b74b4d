package dataset

import (
	"github.com/millrace/millrace/io/arrowfile"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/parquetfile"
)

// builtin lists this program's own readers.
func builtin() map[format.Name]OpenFunc {
	return map[format.Name]OpenFunc{
		format.ArrowFile:   arrowfile.Open,
		format.ArrowStream: arrowfile.Open,
		format.Parquet:     parquetfile.Open,
	}
}
