package dataset

import "github.com/millrace/millrace/io/format"

// builtin lists this program's own readers.
func builtin() map[format.Name]OpenFunc {
	return map[format.Name]OpenFunc{}
}
