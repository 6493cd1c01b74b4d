package jobfile

import (
	"reflect"
	"strconv"

	"github.com/millrace/millrace/engine/unique"
)

// OneOrMore is a list of texts, or one text that stands for a list of it.
type OneOrMore []string

func (o *OneOrMore) fromNode(d *decoder, n *node, f tags) {
	if n.kind != listNode {
		if text, ok := d.text(n, f); ok && d.notEmpty(n, text, f) {
			*o = OneOrMore{text}
		}
		return
	}
	*o = OneOrMore{}
	f.name = "an entry of " + f.name
	for _, item := range n.items {
		if text, ok := d.text(item, f); ok && d.notEmpty(item, text, f) {
			*o = append(*o, text)
		}
	}
}

func (d *decoder) notEmpty(n *node, text string, f tags) bool {
	if text == "" {
		d.bad(n.at, "%s is empty", f.name)
	}
	return text != ""
}

// Setting is a number or a text, as its flag takes it.
type Setting string

func (s *Setting) fromNode(d *decoder, n *node, f tags) {
	switch n.kind {
	case numberNode:
		digits, ok := wholeDigits(n.text)
		if !ok {
			d.bad(n.at, "%s is %s, and must be %s", f.name, n.text, f.form)
			return
		}
		number, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			d.bad(n.at, "%s is %s, and must fit into 64 bits", f.name, quoted(n.text))
		} else if d.inBounds(n, float64(number), f) {
			*s = Setting(digits)
		}
	case textNode:
		if !f.pattern.MatchString(n.text) {
			d.bad(n.at, "%s is %s, and must be %s", f.name, quoted(n.text), f.form)
			return
		}
		*s = Setting(n.text)
	default:
		d.want(n, f, f.form)
	}
}

// Nulls are null policies: of all columns, or by column.
type Nulls struct {
	All     *string // of columns without their own; nil: the default
	Columns map[string]string
}

// othersKey stands for all columns that have no policy of their own.
const othersKey = "*"

func (p *Nulls) fromNode(d *decoder, n *node, f tags) {
	if n.kind != mapNode {
		p.All = d.nullPolicy(n, f)
		return
	}
	p.Columns = map[string]string{}
	for _, e := range d.owned(n, f) {
		inner := f
		inner.name = f.name + " of " + quoted(e.key)
		d.origins.note(joinPath(f.path, e.key), e.value.at)
		switch policy := d.nullPolicy(e.value, inner); {
		case policy == nil:
		case e.key == othersKey:
			p.All = policy
		default:
			p.Columns[e.key] = *policy
		}
	}
}

// nullPolicy is a policy as --nulls takes it; nil for what is none.
func (d *decoder) nullPolicy(n *node, f tags) *string {
	switch n.kind {
	case textNode:
		text, ok := d.expand(n, f) // which refuses ${...}
		if !ok {
			return nil
		}
		return &text
	case boolNode, numberNode:
		if x, ok := parseFloat(n.text); n.kind == numberNode && ok && x != x {
			return new("nan")
		}
		return new(n.text)
	}
	d.want(n, f, "error, nan, reject or a constant")
	return nil
}

// Unique is by which columns rows are to be unique: a list of them, or all that
// unique.Spec says.
type Unique struct{ unique.Spec }

func (u *Unique) fromNode(d *decoder, n *node, f tags) {
	if n.kind == mapNode {
		d.value(n, reflect.ValueOf(&u.Spec).Elem(), f)
		return
	}
	var columns OneOrMore
	columns.fromNode(d, n, f)
	u.Columns = columns
}
