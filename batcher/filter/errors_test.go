package filter

import (
	"errors"
	"strings"
	"testing"
)

// What is wrong is said, and where: at is the character under the caret, from 1.
func TestErrorsPointAtTheCharacter(t *testing.T) {
	record := sample(t)
	defer record.Release()
	for _, c := range []struct {
		why, text string
		at        int
		want      string
	}{
		{"nothing", "  ", 1, "the expression is empty"},
		{"a name that is none", "smal > 1", 1, `no column "smal" in the data (did you mean "small"?)`},
		{"further on", "i > 1 && smal > 1", 10, `(did you mean "small"?)`},
		{"characters, not bytes", `s == "éé" && smal > 1`, 14, `no column "smal"`},
		{"the second line", "i > 1\n  && smal > 1", 12, `no column "smal"`},
		{"the beginning of a name with a blank", "arr > 1", 1, `is written col("arr delay")`},
		{"it ends early", "i >", 4, "the expression ends here"},
		{"one = is no comparison", "i = 1", 3, "equality is =="},
		{"one & is no logic", "i > 1 & b", 7, `unexpected operator "&"; logic is && and ||`},
		{"a quote that does not end", `s == "a`, 8, "literal not terminated"},
		{"text for a number", `i > "1"`, 5, `column i is int64, and cannot be compared with the text "1": leave the quotes out`},
		{"a number for text", `s == 1`, 6, "put it into quotes"},
		{"a number for a day", `day > 2013`, 7, `write a text, such as "2013-01-31"`},
		{"a number for a time of day", `clock > 5`, 9, `write a text, such as "17:30:00"`},
		{"a day that is none", `day > "2013-02-30"`, 7, `"2013-02-30" is no date or time`},
		{"an offset where the column has none", `at > "2013-01-01T00:00:00Z"`, 6, "which has no time zone"},
		{"a time of day that is none", `clock > "25:00"`, 9, `"25:00" is none`},
		{"a number is no condition", `i`, 1, "a condition is wanted here, and this is column i (int64)"},
		{"! binds to what follows", `!i > 1`, 2, "a condition is wanted here"},
		{"a list has only nulls", `list > 1`, 8, "only == nil and != nil are for it"},
		{"nothing is above nil", `i > nil`, 3, "nothing is > nil"},
		{"nil on a list", `i in [1, nil]`, 10, "nil equals nothing"},
		{"an empty list", `i in []`, 6, "in wants a list"},
		{"a list elsewhere", `[1] == i`, 1, "a list stands only on the right of in"},
		{"a function", `lower(s) == "a"`, 1, `no function "lower"`},
		{"a function nearly", `durations("1h") == clock`, 1, `(did you mean "duration"?)`},
		{"col of nothing", `col(i) > 1`, 1, `col takes one text, such as col("arr delay")`},
		{"half of a character", `s == "a\ud83d" || i > 1`, 8, `half of a character: \ud800 to \udfff come in pairs`},
		{"the second half", `s == '\ude42\ud83d'`, 7, "half of a character"},
		{"half of one by another escape", `s in ["a", "\u{d83d}\U0000d83d"]`, 13, "half of a character"},
		{"what is after a whole one has its place", `s == "\ud83d\ude42" && smal > 1`, 24, `no column "smal"`},
		{"an operator", `i ** 2 > 1`, 3, "the operator ** is not part"},
		{"let", `let x = 1; i > x`, 5, "let is not part"},
		{"members", `s.length > 1`, 3, "parts of a value are not part"},
		{"an index", `list[0] > 1`, 5, "parts of a value are not part"},
		{"a regular expression", `s matches "("`, 11, "missing closing )"},
		{"matches of a number", `i matches "1"`, 1, "matches wants a column of text on its left"},
		{"matches of a column", `s matches large`, 11, "matches wants a text on its right"},
		{"a remainder of fractions", `f % 2 == 1`, 3, "% is for integers"},
		{"a sum of text", `s + 1 == 1`, 1, "+ wants numbers, and this is column s (utf8)"},
		{"text against numbers", `s == i`, 3, "cannot be compared with column i"},
		{"a date against a zone's time", `day == zoned`, 5, "cannot be compared"},
		{"a division by 0", `i > 1 / 0`, 7, "is no number"},
		{"a quoted column, as SQL has it", `"s" == "a"`, 1, `the text "s" is the same in every row; the column of that name is written s`},
		{"a quoted column asked for nulls", "i > 1 || `arr delay` != nil", 10, `is written col("arr delay")`},
		{"true has no order", `b > true`, 5, "cannot be compared with true by >"},
		{"a number that is too large", `i > 1e999`, 5, "1e999 is no number that fits"},
		{"many digits are no trouble, and a name is", `u > 99999999999999999999999999 && x`, 35, `no column "x"`},
	} {
		f, err := Parse(c.text, record.Schema())
		var at *Error
		if !errors.As(err, &at) || !errors.Is(err, ErrExpression) {
			t.Errorf("%s: Parse(%q) = %v, %v; want an *Error", c.why, c.text, f, err)
			continue
		}
		if at.At+1 != c.at || !strings.Contains(at.Reason, c.want) {
			t.Errorf("%s: Parse(%q) = character %d: %s; want character %d: %s", c.why, c.text, at.At+1, at.Reason, c.at, c.want)
		}
	}
}

// The caret stands under the character, also on a later line and in a long one.
func TestErrorsShowTheLine(t *testing.T) {
	for _, c := range []struct {
		why  string
		err  Error
		want string
	}{
		{"the first line", Error{"a > 1", 0, "x"}, "character 1: x\n    a > 1\n    ^"},
		{"the second", Error{"a &&\n\tbb > 1", 6, "x"}, "character 7: x\n     bb > 1\n     ^"},
		{"its end", Error{"a >", 3, "x"}, "character 4: x\n    a >\n       ^"},
		{"beyond it", Error{"a", 99, "x"}, "character 2: x\n    a\n     ^"},
		{"control characters do nothing", Error{"a\x1b[31m", 2, "x"}, "character 3: x\n    a [31m\n      ^"},
		{"a piece of a long line", Error{strings.Repeat("a", 500), 250, "x"}, "character 251: x\n    " + strings.Repeat("a", 140) + "\n    " + strings.Repeat(" ", 70) + "^"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.why, got, c.want)
		}
	}
}

// A text of any size is refused or taken in bounded time and memory.
func TestLargeExpressions(t *testing.T) {
	record := sample(t)
	defer record.Release()
	for _, c := range []struct {
		why, text string
		ok        bool
	}{
		{"parentheses", strings.Repeat("(", 30_000) + "b" + strings.Repeat(")", 30_000), true},
		{"a chain of ||", "b" + strings.Repeat(" || i == 7", 2000), true},
		{"a long list", "i in [" + strings.Repeat("-12345, ", maxListed-1) + "-1]", true},
		{"a list that is too long", "i in [" + strings.Repeat("-12345, ", maxListed) + "-1]", false},
		{"long lists of texts", "s not in [" + strings.Repeat("'abc', ", 9000) + "'d'] && s in [" + strings.Repeat("'abc', ", 9000) + "'d']", true},
		{"signs in a list", "i in [1, " + strings.Repeat("-", 60_000) + "1]", false},
		{"a list of sums", "i in [" + strings.Repeat("1+", 60_000) + "1]", false},
		{"lists in lists", "i in " + strings.Repeat("[", 200_000) + strings.Repeat("]", 200_000), false},
		{"too deep", strings.Repeat("(", 200_000) + "b" + strings.Repeat(")", 200_000), false},
		{"too many names", "b" + strings.Repeat("||b", 20_000), false},
		{"too many bytes", "b " + strings.Repeat(" ", maxBytes), false},
		{"signs", "i > " + strings.Repeat("-", 60_000) + "1", false},
		{"products of large numbers", "i > 1e300" + strings.Repeat(" * 1e300", 50), false},
		{"a small exponent", "f > 1e-999999999", true},
	} {
		_, err := Parse(c.text, record.Schema())
		if (err == nil) != c.ok {
			t.Errorf("%s: Parse() = %v; want ok %t", c.why, err, c.ok)
		}
	}
}

// TestSurrogatePairs: a character that is escaped as JSON does it, in two halves, is that
// character.
func TestSurrogatePairs(t *testing.T) {
	record := sample(t)
	defer record.Release()
	for _, c := range []struct{ escaped, plain string }{
		{`s == "\ud83d\ude42"`, `s == "🙂"`},
		{`s in ['é\uD83D\uDE42\n', "\u{1f642}"] && i > 12345678901234567890`, "s in [\"é🙂\\n\", '🙂'] && i > 12345678901234567890"},
		{`s == "\\ud83d\\\ud83d\ude42"`, "s == \"\\\\ud83d\\\\🙂\""},
		{"s == `\\ud83d`", `s == "\\ud83d"`},
	} {
		got, err := Parse(c.escaped, record.Schema())
		if err != nil {
			t.Errorf("Parse(%s) = %v", c.escaped, err)
			continue
		}
		want, err := Parse(c.plain, record.Schema())
		if err != nil {
			t.Fatal(err)
		}
		if got.String() != want.String() {
			t.Errorf("Parse(%s) = %s; want %s", c.escaped, got, want)
		}
	}
}
