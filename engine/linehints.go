package engine

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/io/lines"
)

// decimalComma is a number of a column that was taken for text, in the words of why it was.
var decimalComma = regexp.MustCompile(`such as "([+-]?[0-9.]+,[0-9]+|[+-]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?)"`)

// lineHint says what files of lines that do not fit may be instead; empty where nothing
// looks like it.
func (p *Plan) lineHint() string {
	columns := p.Dataset.LineColumns()
	switch none := len(columns) == 0; {
	case none && p.Dataset.Rows() == 0:
		return "the files are text without a line, and so name no column; they may not have been written yet"
	case none: // a CSV's first line names some
		return `no line of the text is a JSON object with a name, such as {"id": 1}, and so it names no column`
	}
	if strings.HasPrefix(columns[0].Name, "#") {
		return "the first line begins with \"#\"; if it is a comment, --comment '#' passes over such lines"
	}
	if i := strings.IndexAny(columns[0].Name, ";\t|"); i >= 0 && len(columns) == 1 && p.Options.Lines.Delimiter == "" {
		return fmt.Sprintf("the files are text without commas; if %q stands between their fields, --delimiter says so", columns[0].Name[i])
	}
	text := lines.TypeName(arrow.BinaryTypes.String)
	for _, c := range columns {
		if c.Type == text && decimalComma.MatchString(c.Why) && !c.Given {
			return fmt.Sprintf("column %q is text because of commas in its numbers; if they stand before fractions, --decimal-separator , says so, and if between groups of digits, --thousands-separator ,", c.Name)
		}
	}
	return ""
}
