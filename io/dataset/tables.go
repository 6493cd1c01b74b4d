package dataset

import (
	"fmt"
	"strings"
)

// TableOf says in which folder the log or metadata of a table format is that a path, with
// slashes, leads to, and names the format; of other paths both are empty. The data files in
// such a folder are no table by themselves: some hold rows that were deleted or replaced, or
// that nobody committed.
//
// Sources: delta-io/delta:PROTOCOL.md, "File Types"; apache/iceberg:format/spec.md, "Table
// Metadata and Snapshots"; apache/hudi's technical specification, "Storage Format".
func TableOf(path string) (folder, format string) {
	elements := strings.Split(path, "/")
	for i, element := range elements {
		switch {
		case element == "_delta_log":
			format = "Delta"
		case element == ".hoodie":
			format = "Hudi"
		case element == "metadata" && i == len(elements)-2 && strings.HasSuffix(path, ".metadata.json"):
			format = "Iceberg"
		default:
			continue
		}
		return strings.Join(elements[:i], "/"), format
	}
	return "", ""
}

// TableError says that a folder is a table, as TableOf tells it. It wraps ErrInput.
func TableError(folder, format string) error {
	return asInput(fmt.Errorf("folder %q is a table of the format %s: which of its files and rows are current only the table's metadata tell, "+
		"and these are not read; name the current files, as the table's library lists them, or score a copy that it wrote", folder, format))
}
