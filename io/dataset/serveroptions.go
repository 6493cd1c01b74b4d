package dataset

import (
	"net/url"
	"slices"
	"strings"
)

// isSecretKey says whether the value of a parameter may be a secret, by its name. Names with a
// dot are settings that others than PostgreSQL made: an application's, such as x.token.
func isSecretKey(name string) bool {
	name = strings.ToLower(name)
	return strings.Contains(name, ".") || slices.ContainsFunc(secretKeys, func(k string) bool { return strings.Contains(name, k) })
}

// redactOptions takes what may be a secret out of libpq's options: values of settings by their
// names, and all of it where that is not what it has. It is escaped as in a URI, and comes
// back as it is where it has none.
func redactOptions(escaped string) string {
	text, err := url.PathUnescape(escaped) // to libpq a plus is no blank
	if err != nil {
		return mask
	}
	words := optionWords(text)
	hidden := false
	for i := 0; i < len(words); i++ {
		setting, named := strings.CutPrefix(words[i], "--")
		if !named {
			if setting, named = strings.CutPrefix(words[i], "-c"); !named {
				return mask
			}
			if setting == "" { // the next word
				if i++; i == len(words) {
					return mask
				}
				setting = words[i]
			}
		}
		name, _, given := strings.Cut(setting, "=")
		if !given {
			return mask
		}
		if isSecretKey(name) {
			words[i], hidden = strings.TrimSuffix(words[i], setting)+name+"="+mask, true
		}
	}
	if !hidden {
		return escaped
	}
	return strings.ReplaceAll(url.QueryEscape(strings.Join(words, " ")), "+", "%20")
}

// optionWords splits options as a server does (pg_split_opts of PostgreSQL's
// utils/init/postinit.c): at blanks, of which a backslash makes one of a word.
func optionWords(text string) (words []string) {
	var word strings.Builder
	begun := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text):
			word.WriteString(text[i : i+2])
			begun = true
			i++
		case strings.IndexByte(" \t\n\v\f\r", c) >= 0:
			if begun {
				words = append(words, word.String())
				word.Reset()
				begun = false
			}
		default:
			word.WriteByte(c)
			begun = true
		}
	}
	if begun {
		words = append(words, word.String())
	}
	return words
}

// unescaped is a parameter's name, or what was written where that cannot be read.
func unescaped(name string) string {
	if text, err := url.QueryUnescape(name); err == nil {
		return text
	}
	return name
}
