package kernel

// Most values are easy: no NaN to be filled, no integer that a float rounds. What finds
// the others costs a kernel a third of its time, and the processor finds them for nothing: it
// keeps a note of whatever was invalid or rounded. So a quick kernel takes all values for
// easy ones, and looks at the note in the end. Where it was wrong another kernel makes the
// rows again, and for some calls the group doubts. Rows come out the same.

// patience is how long a group doubts.
const patience = 16

// runQuick has rows made by a kernel for easy values, and reports whether they were.
func (g *Group[D]) runQuick(k *rowsKernel, r rowsRun, dst []D, stride, from, to int) bool {
	doubts := &g.doubts[g.Columns[0].kind]
	switch {
	case k == nil:
		return false
	case *doubts > 0:
		*doubts--
		return false
	}
	if g.runAll(r.by(k), dst, stride, from, to) {
		return true
	}
	*doubts = patience
	return false
}
