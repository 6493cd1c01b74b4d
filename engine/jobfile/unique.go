package jobfile

import "reflect"

// Unique is the columns by which rows are to be unique, alone or with what becomes of
// those that are not.
type Unique struct {
	Columns OneOrMore `json:"columns" doc:"the columns whose values, taken together, only one row may have; a null equals a null"`
	On      string    `json:"on,omitempty" flag:"on-duplicate" values:"auto,count,reject,null,fail" doc:"what becomes of a row whose values a row before it has: count, reject, null or fail; auto, the default: what on_bad_row says, but count instead of fail"`
	Mode    string    `json:"mode,omitempty" flag:"unique-mode" values:"hash,exact" doc:"hash, the default: values of more than 16 bytes are compared by 128-bit hashes, of n rows two are mistaken with a chance of n^2/2^129; or exact"`
}

func (u *Unique) fromNode(d *decoder, n *node, f tags) {
	if n.kind != mapNode {
		u.Columns.fromNode(d, n, f)
		return
	}
	d.object(n, reflect.ValueOf(u).Elem(), f)
}
