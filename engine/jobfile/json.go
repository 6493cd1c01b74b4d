package jobfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"
)

// parseJSON gives the tree of a JSON document; nil with problems in s.
func parseJSON(s *source, text []byte) *node {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	line := 0
	for l := range bytes.Lines(text) {
		// The decoder would put U+FFFD in its place: a category that no value is.
		if line++; !utf8.Valid(l) {
			s.bad(place{line, 1}, "this line is not UTF-8")
			return nil
		}
	}
	p := &jsonParser{text: text, dec: json.NewDecoder(bytes.NewReader(text)), line: 1}
	p.dec.UseNumber()
	root, err := p.value(0)
	if err == nil {
		if _, more := p.dec.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("more stands after its end")
		}
	}
	if err != nil {
		at := p.place(p.dec.InputOffset())
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			at = p.place(syntax.Offset - 1)
		}
		s.bad(at, "this is not JSON: %v", err)
		return nil
	}
	return root
}

// jsonParser makes nodes of JSON's tokens. Places are asked for in rising order.
type jsonParser struct {
	text []byte
	dec  *json.Decoder

	seen  int64 // bytes before the place that was asked for last
	line  int
	began int64 // where that line begins
}

// place is where a byte stands.
func (p *jsonParser) place(offset int64) place {
	offset = min(max(offset, p.seen), int64(len(p.text)))
	for i := p.seen; i < offset; i++ {
		if p.text[i] == '\n' {
			p.line++
			p.began = i + 1
		}
	}
	p.seen = offset
	return place{p.line, int(offset-p.began) + 1}
}

// next is where the next token begins.
func (p *jsonParser) next() place {
	offset := p.dec.InputOffset()
	for offset < int64(len(p.text)) && bytes.IndexByte([]byte(" \t\r\n,:"), p.text[offset]) >= 0 {
		offset++
	}
	return p.place(offset)
}

func (p *jsonParser) value(depth int) (*node, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("lists and objects lie more than %d deep", maxDepth)
	}
	n := &node{at: p.next()}
	t, err := p.dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case bool:
		n.kind, n.text = boolNode, strconv.FormatBool(t)
	case json.Number:
		n.kind, n.text = numberNode, t.String()
	case string:
		n.kind, n.text, n.quoted = textNode, t, true
	case json.Delim:
		if t == '[' {
			n.kind = listNode
			err = p.items(n, depth)
		} else {
			n.kind = mapNode
			err = p.entries(n, depth)
		}
	}
	return n, err
}

func (p *jsonParser) items(n *node, depth int) error {
	for p.dec.More() {
		item, err := p.value(depth + 1)
		if err != nil {
			return err
		}
		n.items = append(n.items, item)
	}
	_, err := p.dec.Token()
	return err
}

func (p *jsonParser) entries(n *node, depth int) error {
	for p.dec.More() {
		e := entry{at: p.next()}
		key, err := p.dec.Token()
		if err != nil {
			return err
		}
		e.key, _ = key.(string) // an object's keys are, or Token fails
		if e.value, err = p.value(depth + 1); err != nil {
			return err
		}
		n.entries = append(n.entries, e)
	}
	_, err := p.dec.Token()
	return err
}
