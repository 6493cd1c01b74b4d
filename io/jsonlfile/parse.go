package jsonlfile

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// parser goes through the JSON of one line (RFC 8259), and gives the members of its
// object. Its results are texts that say what is wrong, empty where nothing is.
type parser struct {
	text []byte
	at   int
	end  int
	dots bool
	// member takes the name of a member, without escapes and with the names before it
	// where it is nested, and where its value lies.
	member func(name []byte, from, to int) string

	prefix []byte // of the names of a nested object's members
	name   []byte // scratch
}

// maxDepth is how deep values may be nested.
const maxDepth = 64

const (
	noObject    = "is no JSON object"
	noJSON      = "is no JSON"
	noNumber    = "is no JSON, which has no NaN and no Infinity: write null"
	tooDeep     = "is nested too deep"
	notUTF8     = "is not UTF-8"
	afterObject = "has text after its object"
)

// record goes through an object that is all of a line.
func (p *parser) record(from, to int) string {
	p.at, p.end, p.prefix = from, to, p.prefix[:0]
	p.space()
	if p.at == p.end || p.text[p.at] != '{' {
		return noObject
	}
	if why := p.object(0); why != "" {
		return why
	}
	if p.space(); p.at < p.end {
		return afterObject
	}
	return ""
}

func (p *parser) space() {
	for p.at < p.end && (p.text[p.at] == ' ' || p.text[p.at] == '\t' || p.text[p.at] == '\r') {
		p.at++
	}
}

// next takes a byte, after spaces.
func (p *parser) next(c byte) bool {
	p.space()
	if p.at < p.end && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

// object goes through an object whose members are given.
func (p *parser) object(depth int) string {
	if depth > maxDepth {
		return tooDeep
	}
	p.at++
	if p.next('}') {
		return ""
	}
	for {
		p.space()
		from := p.at
		if why := p.str(); why != "" {
			return why
		}
		name := p.text[from+1 : p.at-1]
		if bytes.IndexByte(name, '\\') >= 0 {
			var ok bool
			if name, ok = unescape(p.name[:0], name); !ok {
				return noJSON
			}
			p.name = name
		}
		if !p.next(':') {
			return noJSON
		}
		if why := p.give(name, depth); why != "" {
			return why
		}
		if p.next('}') {
			return ""
		}
		if !p.next(',') {
			return noJSON
		}
	}
}

// give gives a member, or those of the object that it is.
func (p *parser) give(name []byte, depth int) string {
	p.space()
	if len(p.prefix) > 0 {
		p.prefix = append(p.prefix, name...)
		defer func(n int) { p.prefix = p.prefix[:n] }(len(p.prefix) - len(name))
		name = p.prefix
	}
	if p.dots && p.at < p.end && p.text[p.at] == '{' {
		was := len(p.prefix)
		if was == 0 {
			p.prefix = append(p.prefix, name...)
		}
		p.prefix = append(p.prefix, '.')
		why := p.object(depth + 1)
		p.prefix = p.prefix[:was]
		return why
	}
	from := p.at
	if why := p.value(depth); why != "" {
		return why
	}
	return p.member(name, from, p.at)
}

// value goes to behind a value.
func (p *parser) value(depth int) string {
	if p.at == p.end {
		return noJSON
	}
	switch c := p.text[p.at]; c {
	case '"':
		return p.str()
	case '{', '[':
		return p.nested(c, depth)
	case 't':
		return p.word("true")
	case 'f':
		return p.word("false")
	case 'n':
		return p.word("null")
	}
	return p.number()
}

func (p *parser) word(word string) string {
	if p.end-p.at < len(word) || string(p.text[p.at:p.at+len(word)]) != word {
		return noJSON
	}
	p.at += len(word)
	return ""
}

// nested goes to behind an object or a list that nobody looks into.
func (p *parser) nested(open byte, depth int) string {
	if depth >= maxDepth {
		return tooDeep
	}
	closing := open + 2 // ] is two after [, and } after {
	p.at++
	if p.next(closing) {
		return ""
	}
	for {
		p.space()
		if open == '{' {
			if why := p.str(); why != "" {
				return why
			}
			if !p.next(':') {
				return noJSON
			}
			p.space()
		}
		if why := p.value(depth + 1); why != "" {
			return why
		}
		if p.next(closing) {
			return ""
		}
		if !p.next(',') {
			return noJSON
		}
	}
}

// str goes to behind a string.
func (p *parser) str() string {
	if p.at == p.end || p.text[p.at] != '"' {
		return noJSON
	}
	text := p.text[:p.end]
	for at := p.at + 1; at < len(text); at++ {
		switch c := text[at]; {
		case c == '"':
			p.at = at + 1
			return ""
		case c < 0x20:
			return noJSON
		case c == '\\':
			at++
			if at == len(text) || !isEscape(text[at:]) {
				return noJSON
			}
		}
	}
	return noJSON
}

// isEscape says that what follows a backslash is one of the escapes.
func isEscape(text []byte) bool {
	if text[0] != 'u' {
		return bytes.IndexByte([]byte(`"\/bfnrt`), text[0]) >= 0
	}
	_, ok := hex4(text[1:])
	return ok
}

// hex4 reads four hexadecimal digits.
func hex4(text []byte) (r rune, ok bool) {
	if len(text) < 4 {
		return 0, false
	}
	for _, c := range text[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// number goes to behind a number.
func (p *parser) number() string {
	text, at := p.text[:p.end], p.at
	if at < len(text) && text[at] == '-' {
		at++
	}
	from := at
	at = whileDigits(text, at)
	if rest := text[from:]; at == from && (bytes.HasPrefix(rest, []byte("NaN")) || bytes.HasPrefix(rest, []byte("Infinity"))) {
		return noNumber
	}
	if at == from || at > from+1 && text[from] == '0' {
		return noJSON
	}
	if at < len(text) && text[at] == '.' {
		from = at + 1
		if at = whileDigits(text, from); at == from {
			return noJSON
		}
	}
	if at < len(text) && text[at]|0x20 == 'e' {
		if at++; at < len(text) && (text[at] == '+' || text[at] == '-') {
			at++
		}
		from = at
		if at = whileDigits(text, from); at == from {
			return noJSON
		}
	}
	p.at = at
	return ""
}

func whileDigits(text []byte, at int) int {
	for at < len(text) && text[at]-'0' <= 9 {
		at++
	}
	return at
}

// unescape appends the text of a string's inside; ok is false for half of a surrogate
// pair, which is no character.
func unescape(dst, text []byte) (_ []byte, ok bool) {
	for {
		at := bytes.IndexByte(text, '\\')
		if at < 0 {
			return append(dst, text...), true
		}
		dst = append(dst, text[:at]...)
		c := text[at+1]
		text = text[at+2:]
		switch c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r, _ := hex4(text)
			text = text[4:]
			if utf16.IsSurrogate(r) {
				if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
					return nil, false
				}
				low, _ := hex4(text[2:])
				if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
					return nil, false
				}
				text = text[6:]
			}
			dst = utf8.AppendRune(dst, r)
			continue
		}
		dst = append(dst, c)
	}
}
