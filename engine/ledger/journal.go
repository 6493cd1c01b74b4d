package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"time"
)

// JournalVersion names the form of the journals written here.
const JournalVersion = "millrace.journal/1"

// Head is what a journal says of its run before the first part.
type Head struct {
	Version string    `json:"journal"`
	Run     string    `json:"run"` // the first start's id
	Started time.Time `json:"started"`
	Job     Job       `json:"job"`
	// Frozen is what the run chose when it started, for those that continue it to
	// take over: the caller's own.
	Frozen json.RawMessage `json:"frozen,omitempty"`
	// Base is the manifest that an append builds on, by its digest, and FirstFile
	// the number of the run's first output file.
	Base      string `json:"base,omitempty"`
	FirstFile int    `json:"first_file,omitempty"`
}

// Start is one process that worked on the run.
type Start struct {
	Run  string    `json:"run"`
	Time time.Time `json:"time"`
	PID  int       `json:"pid"`
	Host string    `json:"host"`
	// Rows are those of the parts that it finished.
	Rows int64 `json:"-"`
}

// PartRecord is a part that is finished: it is on the disk, under its name.
type PartRecord struct {
	Part    int      `json:"part"`
	Outputs []Output `json:"outputs"` // one, unless it is of PartFiles
	Rows    Rows     `json:"rows"`
	Rejects *Output  `json:"rejects,omitempty"`
	// Detail is the caller's own.
	Detail json.RawMessage `json:"detail,omitempty"`
}

// DigestRecord is the digest of an input file that is wholly read.
type DigestRecord struct {
	File   int    `json:"file"`   // by its place among the inputs
	Digest string `json:"digest"` // as Input.Digest
}

// Line is one line of a journal: exactly one field is set.
type Line struct {
	Head  *Head       `json:"head,omitempty"`
	Start *Start      `json:"start,omitempty"`
	Begun *int        `json:"begun,omitempty"` // a part that somebody works on
	Part  *PartRecord `json:"part,omitempty"`
	// Digest is not durable by itself: one that is lost is taken again.
	Digest *DigestRecord `json:"digest,omitempty"`
	// Stopped is the end of a start that did not finish, and knows why.
	Stopped string `json:"stopped,omitempty"`
}

// Journal is what a journal file says.
//
// It is lines, each the CRC-32C of a JSON document in eight hexadecimal digits, a
// space, and the document. Lines are appended only, and count from the first on
// as far as they are whole: a crash can cut or garble the last ones. A part's line
// is written when its file is durable, and is durable before the next step; a
// line that a crash took away costs its part's rows to be scored again.
type Journal struct {
	Head   *Head // nil where the run died before it wrote one
	Starts []Start
	Parts  []PartRecord // one for each finished part, in the order in which they ended
	// Deaths counts, by part, the starts that ended without a word while the part
	// was being worked on.
	Deaths map[int]int
	// Digests are those of inputs, by file, as earlier starts took them.
	Digests map[int]string

	size int64 // bytes of the lines that count
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// journalName is the journal's name in a run's directory.
const journalName = "journal"

// lineChecksum is the CRC-32C of a line's JSON, in 8 small hexadecimal digits.
func lineChecksum(text []byte) string {
	return fmt.Sprintf("%08x", crc32.Checksum(text, castagnoli))
}

// EncodeLine is a line as a journal has it, with its newline.
func EncodeLine(l *Line) ([]byte, error) {
	text, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("encode journal: %w", err)
	}
	return fmt.Appendf(nil, "%s %s\n", lineChecksum(text), text), nil
}

// parseLine reads a line without its newline; ok is false for one that is not
// whole.
func parseLine(text []byte) (l Line, ok bool) {
	if len(text) < 9 || text[8] != ' ' {
		return Line{}, false
	}
	if string(text[:8]) != lineChecksum(text[9:]) { // as text: a flipped bit makes an A of an a
		return Line{}, false
	}
	dec := json.NewDecoder(bytes.NewReader(text[9:]))
	dec.DisallowUnknownFields()
	return l, dec.Decode(&l) == nil
}

// ParseJournal reads the lines of a journal that count. It fails on nothing: what is
// damaged ends the journal.
func ParseJournal(data []byte) *Journal {
	j := &Journal{Deaths: map[int]int{}, Digests: map[int]string{}}
	open := map[int]bool{} // parts begun and not finished by the start at hand
	done := map[int]bool{}
	for {
		end := bytes.IndexByte(data[j.size:], '\n')
		if end < 0 {
			break
		}
		l, ok := parseLine(data[j.size : j.size+int64(end)])
		if !ok || (j.Head == nil) != (l.Head != nil) {
			break
		}
		switch {
		case l.Head != nil && l.Head.Version == JournalVersion:
			j.Head = l.Head
		case l.Start != nil:
			j.died(open)
			j.Starts = append(j.Starts, *l.Start)
		case l.Begun != nil:
			open[*l.Begun] = true
		case l.Part != nil:
			delete(open, l.Part.Part)
			if !done[l.Part.Part] {
				j.Parts = append(j.Parts, *l.Part)
				if n := len(j.Starts); n > 0 {
					j.Starts[n-1].Rows += l.Part.Rows.Read
				}
			}
			done[l.Part.Part] = true
		case l.Digest != nil:
			j.Digests[l.Digest.File] = l.Digest.Digest
		case l.Stopped != "":
			clear(open)
		default:
			return j
		}
		j.size += int64(end) + 1
	}
	j.died(open)
	return j
}

// died counts the parts that a start left open without having stopped: its process
// was killed, or killed itself.
func (j *Journal) died(open map[int]bool) {
	for part := range open {
		j.Deaths[part]++
	}
	clear(open)
}

// readJournal reads a journal; one that is not there is empty.
func readJournal(fsys FS, dir string) (*Journal, error) {
	data, err := readFile(fsys, filepath.Join(dir, journalName), maxJournalBytes)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return ParseJournal(data), nil
}

// maxJournalBytes bounds what is read of a journal: a million parts are a tenth.
const maxJournalBytes = 4 << 30

// journal is one that is being written; its methods need the staging's lock.
type journal struct {
	file File
}

// append writes a line; durable says that it must outlive a power failure.
func (j *journal) append(l *Line, durable bool) error {
	text, err := EncodeLine(l)
	if err != nil {
		return err
	}
	if _, err := j.file.Write(text); err != nil {
		return err
	}
	if durable {
		return j.file.Sync()
	}
	return nil
}
