package unique

import (
	"cmp"
	"container/heap"
)

// sorted gives entries in the order of their keys, and equal ones by their row.
type sorted interface {
	// next gives the next entry and its key, which it lends until it is called again;
	// ok is false at the end.
	next() (e entry, key []byte, ok bool, err error)
}

// pileReader reads a sorted pile.
type pileReader struct {
	pile *pile
	at   int
}

func (r *pileReader) next() (entry, []byte, bool, error) {
	if r.at == len(r.pile.entries) {
		return entry{}, nil, false, nil
	}
	e := r.pile.entries[r.at]
	r.at++
	return e, r.pile.key(&e), true, nil
}

// merger is a heap of runs by their next entries.
type merger struct {
	runs  []*runReader
	given bool // the first run's head was given out
}

// Len, Less, Swap, Push and Pop are heap.Interface's.
func (m *merger) Len() int { return len(m.runs) }

func (m *merger) Less(i, j int) bool {
	a, b := m.runs[i], m.runs[j]
	return cmp.Or(compareKeys(&a.head, &b.head, a.key, b.key), cmp.Compare(a.head.row, b.head.row)) < 0
}

func (m *merger) Swap(i, j int) { m.runs[i], m.runs[j] = m.runs[j], m.runs[i] }

// Push adds a run.
func (m *merger) Push(run any) { m.runs = append(m.runs, run.(*runReader)) }

// Pop takes the last run off.
func (m *merger) Pop() any {
	last := m.runs[len(m.runs)-1]
	m.runs = m.runs[:len(m.runs)-1]
	return last
}

func (m *merger) push(r *runReader) { heap.Push(m, r) }

func (m *merger) next() (entry, []byte, bool, error) {
	if m.given {
		m.given = false
		ok, err := m.runs[0].next()
		if err != nil {
			return entry{}, nil, false, err
		}
		if ok {
			heap.Fix(m, 0)
		} else {
			heap.Pop(m)
		}
	}
	if len(m.runs) == 0 {
		return entry{}, nil, false, nil
	}
	m.given = true
	return m.runs[0].head, m.runs[0].key, true, nil
}
