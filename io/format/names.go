package format

import (
	"path/filepath"
	"strings"
)

// endings are those of file names, by format.
var endings = map[string]Name{
	".parquet": Parquet, ".pq": Parquet,
	".arrow": ArrowFile, ".feather": ArrowFile, ".ipc": ArrowFile,
	".csv": CSV, ".tsv": CSV,
	".jsonl": JSONLines, ".ndjson": JSONLines,
}

// codecEndings are those of text files that are compressed as a whole, by codec.
var codecEndings = map[string]string{"": "", "none": "", "gzip": ".gz", "zstd": ".zst"}

// Kind is what a file's name says of its bytes.
type Kind struct {
	Format Name
	Codec  string // of a whole text file: gzip, zstd, or empty
	Ending string // of the format, in lower case
}

// KindOf is what the endings of a name say; ok is false for a name without one of a
// format, or with one of a codec that the format's files are not compressed by.
func KindOf(path string) (k Kind, ok bool) {
	name := path
	for codec, ending := range codecEndings {
		if ending != "" && strings.EqualFold(filepath.Ext(name), ending) {
			k.Codec, name = codec, name[:len(name)-len(ending)]
			break
		}
	}
	k.Ending = strings.ToLower(filepath.Ext(name))
	k.Format, ok = endings[k.Ending]
	return k, ok && (k.Codec == "" || k.Format.IsText())
}

// IsText says that files of the format are lines of text, which have no count of their
// rows and are compressed as a whole.
func (n Name) IsText() bool { return n == CSV || n == JSONLines }

// Renamed is the name that a text file has when it is compressed by another codec; ok is
// false for a codec that text files are not compressed by.
func (k *Kind) Renamed(path, codec string) (name string, ok bool) {
	ending, ok := codecEndings[codec]
	return path[:len(path)-len(codecEndings[k.Codec])] + ending, ok
}

// PartEnding is what names of a dataset's files end in.
func (n Name) PartEnding(codec string) string {
	if n.IsText() {
		return "." + string(n) + codecEndings[codec]
	}
	return "." + string(n)
}
