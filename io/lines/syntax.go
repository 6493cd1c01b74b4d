package lines

import (
	"github.com/millrace/millrace/internal/numerals"
	"github.com/millrace/millrace/io/format"
)

// pad is how many bytes may be read before and after a field: see Fields.
const pad = numerals.Pad

// ones has the value 1 in each byte.
const ones = numerals.Ones

// Syntax is one way of writing tables as lines: CSV, or JSON Lines. All its methods
// may be called concurrently.
type Syntax interface {
	// Format is the format's name.
	Format() format.Name
	// Begin looks at the first bytes of a text, which are all of it where whole, and
	// says which names the columns have and where the first record begins. Names are
	// nil where records name their own fields.
	Begin(head []byte, whole bool) (names []string, at int, err error)
	// Names gives the names of a record's own fields; nothing where it is no record.
	Names(record []byte, see func(name string))
	// Guess lists the states that a block may begin in, of which the first is the
	// likeliest, by the byte before it and the block.
	Guess(before byte, block []byte) []State
	// Split finds the ends of records in a block of text. A record that has no end
	// within so many bytes, or is broken in another way, is its first line.
	Split(block []byte, from State, most int) Split
	// Finish says of a record that is open at a text's end whether it is a row, and
	// whether it is broken.
	Finish(at State) (row, broken bool)
	// Tokenizer makes a tokenizer for one goroutine, of the wanted fields of a file
	// with these columns.
	Tokenizer(columns []string, wanted []int, most int) Tokenizer
}

// State is where in a record a piece of text begins.
type State uint8

// States of all syntaxes; others are a syntax's own.
const (
	AtRecord   State = iota // between records
	Skipping                // in a line that is no record, up to its end
	Commenting              // in a line that is no row, up to its end
	OwnState                // the first of a syntax's own
)

// Split is what a block of text has of the records that end in it. Offsets are from the
// block's beginning.
type Split struct {
	Rows  int64 // that end in the block, blank lines not among them
	First int   // just after the first end of a record, or of a blank line; -1 where none is
	Last  int   // just after the last one; 0 where none is
	Open  int   // where the record begins that is open at the end; -1 where that was before the block
	State State // at the end
	// Broken says that the record which is open at the block's beginning turned out to
	// be broken; nothing else of the Split holds then.
	Broken bool
}

// Fields are rows whose fields lie in a text. Wanted field i of row r is
//
//	Text[At[r*Stride+First[i]]+1 : At[r*Stride+First[i]+1]]
//
// and empty where it is missing. Eight bytes before and after any field may be read.
type Fields struct {
	Text   []byte
	Rows   int
	Stride int
	At     []uint32
	First  []int
	Starts []uint32 // of each row's record, and where the last one's ends
	Bad    []BadRecord
}

// BadRecord is a record that is no row of its file: all of its fields are missing.
type BadRecord struct {
	Row    int // among Fields
	Reason string
}

// Tokenizer finds the fields of records.
type Tokenizer interface {
	// Next finds those of at most so many records of text, from an offset on, and where
	// it stopped: before a record that is not whole, unless the text is the last. skip
	// says that what follows the text, up to the end of its line, is of the last record.
	Next(f *Fields, text []byte, at, most int, last bool) (next int, skip bool)
	// Special says that a field beginning with this byte has to be asked its Value.
	Special(first byte) bool
	// Value is the text of a field with quotes and escapes taken off, which may lie in
	// scratch; why says why it has none.
	Value(scratch, field []byte) (value []byte, why string)
}
