package dataset

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/millrace/millrace/io/format"
)

// Detect finds a file's format from its first bytes. The error names the file
// and wraps ErrUnknownFormat where they are no format's.
func Detect(path string) (format.Name, error) {
	if err := regular(path); err != nil {
		return "", err
	}
	return detect(path, path, "")
}

// regular makes sure that a file can be read from any place on.
func regular(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return statError(path, err)
	case info.IsDir():
		return asInput(fmt.Errorf("input %q: is a directory", path))
	case !info.Mode().IsRegular():
		// Spans are read in any order, so a pipe or device cannot do.
		return asInput(fmt.Errorf("input %q: not a regular file (%s)", path, info.Mode().Type()))
	}
	return nil
}

// detect is Detect for a regular file, which messages name otherwise, and whose format
// may be asked for.
func detect(path, name string, asked format.Name) (format.Name, error) {
	head, err := readHead(path)
	if err != nil {
		return "", err
	}
	return detectHead(head, name, asked)
}

// detectHead is detect by a file's first bytes.
func detectHead(head []byte, name string, asked format.Name) (format.Name, error) {
	found := Sniff(head, name)
	switch {
	case asked != "" && found != "" && found != asked:
		return "", asInput(fmt.Errorf("input %q: %w: its first bytes say %s, and --input-format %s", name, ErrUnknownFormat, found, asked))
	case asked != "":
		return asked, nil
	case found != "":
		return found, nil
	}
	if byName := linesByName(name); byName != "" {
		return byName, nil
	}
	if len(head) == 0 {
		return "", asInput(fmt.Errorf("input %q: %w: file is empty", name, ErrUnknownFormat))
	}
	return "", unknownFormat(name, head)
}

// unknownFormat says what a file is, where its first bytes are well known.
func unknownFormat(path string, head []byte) error {
	for magic, is := range map[string]string{
		"FEA1":         "a Feather version 1 file; write it again as Feather version 2 (Arrow IPC)",
		"Obj\x01":      "an Avro file; write it again as Parquet",
		"ORC":          "an ORC file; write it again as Parquet",
		"\x1f\x8b":     "compressed by gzip; a name such as x.csv.gz or x.jsonl.gz, or --input-format, says that it is CSV or JSON Lines",
		"\x28\xb5\x2f": "compressed by zstd; a name such as x.csv.zst or x.jsonl.zst, or --input-format, says that it is CSV or JSON Lines",
		"PK\x03\x04":   "a zip archive, as spreadsheets are; take out or export what is in it",
		"[":            "a JSON array, or text; JSON Lines has an object on each line (jq -c '.[]' makes them)",
		"{":            "JSON; if there is an object on each line, --input-format jsonl or the name x.jsonl says so",
	} {
		if bytes.HasPrefix(bytes.TrimLeft(head, " \t\r\n"), []byte(magic)) {
			return fmt.Errorf("input %q: %w: it is %s", path, ErrUnknownFormat, is)
		}
	}
	return fmt.Errorf("input %q: %w: it starts with %q", path, ErrUnknownFormat, head)
}

// HeadBytes is how many of a file's first bytes Sniff wants, if there are as many.
const HeadBytes = 8

// Sniff is the format that a file's first bytes are of; "" for none that is known.
//
// Sources: Parquet.thrift ("PAR1", "PARE" with an encrypted footer) and
// Arrow's Columnar.rst, "IPC File Format" and "Encapsulated message format".
func Sniff(head []byte, name string) format.Name {
	switch {
	case bytes.HasPrefix(head, []byte("PAR1")), bytes.HasPrefix(head, []byte("PARE")):
		return format.Parquet
	case bytes.HasPrefix(head, []byte("ARROW1")):
		return format.ArrowFile
	case bytes.HasPrefix(head, []byte{0xff, 0xff, 0xff, 0xff}) && len(head) >= 8:
		return format.ArrowStream
	case legacyStream(head) && knownExtension(name):
		return format.ArrowStream
	}
	return ""
}

// legacyStream recognises a stream written before Arrow 0.15, which starts
// with the size of its first message and no marker: a size in 8-byte steps and
// a root offset within it. That is weak, so a known extension must go with it.
func legacyStream(head []byte) bool {
	if len(head) < 8 {
		return false
	}
	size := binary.LittleEndian.Uint32(head)
	root := binary.LittleEndian.Uint32(head[4:])
	return size > 0 && size < 1<<20 && (size+4)%8 == 0 && root >= 4 && root < size
}

func readHead(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, statError(path, err)
	}
	defer f.Close()
	head := make([]byte, HeadBytes)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, statError(path, err)
	}
	return head[:n], nil
}
