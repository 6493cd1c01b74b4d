package distribution

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// MostLabels is how many different labels of a column are counted. A column that has
// more, or a label of more than mostLabelBytes, has no counts: those of the first would
// depend on which rows come first.
const MostLabels = 1000

const mostLabelBytes = 1 << 10

// LabelCount is how many rows have a label.
type LabelCount struct {
	Label string `json:"label"`
	Rows  int64  `json:"rows"`
}

// labels counts the rows of each label.
type labels struct {
	small []int64          // of the integers from 0 on, while there are such
	ints  map[int64]int64  // of other integers
	texts map[string]int64 // of all others, and of what was read
	many  bool             // more than are counted
}

// smallLabels are integers that are counted without a map: classes, most often.
const smallLabels = 256

func (l *labels) addInt(v, n int64) {
	switch {
	case l.many:
	case uint64(v) < smallLabels:
		if l.small == nil {
			l.small = make([]int64, smallLabels)
		}
		l.small[v] += n
	default:
		if l.ints == nil {
			l.ints = map[int64]int64{}
		}
		if l.ints[v] += n; len(l.ints) > MostLabels {
			l.drop()
		}
	}
}

// addText takes in n rows of a label. It keeps no reference to the text.
func (l *labels) addText(text string, n int64) {
	if l.many {
		return
	}
	if _, met := l.texts[text]; met {
		l.texts[text] += n
		return
	}
	if l.texts == nil {
		l.texts = map[string]int64{}
	}
	text = strings.Clone(strings.ToValidUTF8(text, "\uFFFD")) // as JSON has it
	l.texts[text] += n
	if len(l.texts) > MostLabels || len(text) > mostLabelBytes {
		l.drop()
	}
}

func (l *labels) drop() { *l = labels{many: true} }

// merge takes in others' counts. Whether there are too many depends on all labels alone,
// and on no order.
func (l *labels) merge(other *labels) {
	if l.many || other.many {
		l.drop()
		return
	}
	for v, n := range other.small {
		if n > 0 {
			l.addInt(int64(v), n)
		}
	}
	for v, n := range other.ints {
		l.addInt(v, n)
	}
	for text, n := range other.texts {
		l.addText(text, n)
	}
	if len(l.all()) > MostLabels {
		l.drop()
	}
}

// all are the labels, the one with the most rows first; nil where there are too many.
func (l *labels) all() []LabelCount {
	if l.many {
		return nil
	}
	rows := map[string]int64{}
	for v, n := range l.small {
		if n > 0 {
			rows[strconv.Itoa(v)] += n
		}
	}
	for v, n := range l.ints {
		rows[strconv.FormatInt(v, 10)] += n
	}
	for text, n := range l.texts {
		rows[text] += n
	}
	all := make([]LabelCount, 0, len(rows))
	for text, n := range rows {
		all = append(all, LabelCount{text, n})
	}
	slices.SortFunc(all, func(a, b LabelCount) int {
		return cmp.Or(cmp.Compare(b.Rows, a.Rows), cmp.Compare(a.Label, b.Label))
	})
	return all
}
