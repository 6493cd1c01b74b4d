package query

import (
	"errors"
	"strings"
)

// SplitName splits SCHEMA.NAME, or gives the one name that a text is. A name may be in double
// quotes, as SQL's own are, and is where it has a dot; its capitals stay as they are.
func SplitName(text string) (names []string, err error) {
	for rest := text; ; {
		var name string
		if inner, quoted := strings.CutPrefix(rest, `"`); quoted {
			end := closingQuote(inner)
			if end < 0 {
				return nil, errors.New("a double quote is not closed")
			}
			name, rest = strings.ReplaceAll(inner[:end], `""`, `"`), inner[end+1:]
			if rest != "" && rest[0] != '.' {
				return nil, errors.New("after a name in double quotes a dot or nothing has to follow")
			}
		} else {
			end := strings.IndexByte(rest, '.')
			if end < 0 {
				end = len(rest)
			}
			name, rest = rest[:end], rest[end:]
		}
		if name == "" {
			return nil, errors.New("a name is empty")
		}
		names = append(names, name)
		if rest == "" {
			break
		}
		rest = rest[1:]
	}
	if len(names) > 2 {
		return nil, errors.New("it has more than a schema and a name; put double quotes around a name with a dot")
	}
	return names, nil
}

// closingQuote finds the quote that ends a name, past doubled ones; -1 where none does.
func closingQuote(text string) int {
	for i := 0; i < len(text); i++ {
		if text[i] != '"' {
			continue
		}
		if i+1 == len(text) || text[i+1] != '"' {
			return i
		}
		i++
	}
	return -1
}

// JoinName is what SplitName splits; schema may be empty.
func JoinName(schema, name string) string {
	if strings.ContainsAny(name, `."`) {
		name = QuoteName(name)
	}
	switch {
	case schema == "":
		return name
	case strings.ContainsAny(schema, `."`):
		schema = QuoteName(schema)
	}
	return schema + "." + name
}
