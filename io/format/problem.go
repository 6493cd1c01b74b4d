package format

import (
	"encoding/json"

	"github.com/apache/arrow-go/v18/arrow"
)

// Problem says why a row of a file of lines is not what its line says: the line is no
// row of the file's columns, or a value is none of its column's type.
type Problem struct {
	Line   int64  `json:"line"` // of the file, from 1, on which the row begins
	Column string `json:"column,omitempty"`
	Reason string `json:"reason"`
	Advice string `json:"advice"`
	Text   string `json:"text"` // the first MostProblemText bytes of the row's line
}

// MostProblemText is how much of a line a Problem keeps, in bytes.
const MostProblemText = 1024

// ProblemField is the column of problems, which files of lines have besides those of
// their schema: a text for each row that has one, as Problem.String writes it, and null
// for all others. Its name is no other column's: a header with NUL is refused.
var ProblemField = arrow.Field{Name: "\x00problem", Type: arrow.BinaryTypes.String, Nullable: true}

// String is the problem as a value of ProblemField.
func (p Problem) String() string {
	text, err := json.Marshal(p)
	if err != nil { // it has texts and a number
		return "{}"
	}
	return string(text)
}

// ParseProblem reads what String wrote.
func ParseProblem(text string) (p Problem, err error) {
	err = json.Unmarshal([]byte(text), &p)
	return p, err
}
