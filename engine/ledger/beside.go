package ledger

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/millrace/millrace/io/format"
)

// A directory of files is read as one table, so what is appended must look like what is
// there.

// checkBeside refuses to append files that would not look like those there; the lock is
// held, or nobody else has the staging yet.
func (s *Staging) checkBeside() error {
	if why := OtherFiles(s.mu.before.live, s.opts.Ext, s.opts.PartitionBy); why != "" {
		return s.exists(why, "")
	}
	return nil
}

// OtherFiles says why files with an ending and a layout cannot stand beside those of live
// runs, the newest first; empty where they can.
func OtherFiles(live []*Manifest, ext string, partitionBy []string) string {
	for _, m := range live {
		for _, o := range m.Outputs {
			if there := endings(o.Name); there != ext {
				return fmt.Sprintf("its files end in %s and this run's would in %s, and nobody could read both as one table; append the same --output-format", there, ext)
			}
		}
	}
	if was := live[0].PartitionBy; !slices.Equal(was, partitionBy) {
		words := func(columns []string) string { return cmp.Or(strings.Join(columns, ", "), "nothing") }
		return fmt.Sprintf("it is partitioned by %s, and files partitioned by %s cannot be appended to it: partition them alike, or choose another place", words(was), words(partitionBy))
	}
	return ""
}

// endings are all that a part file's name ends in, such as .csv.gz.
func endings(name string) string {
	base := filepath.Base(name)
	_, ending, ok := strings.Cut(base, ".")
	if !ok {
		return ""
	}
	return "." + ending
}

// CheckColumns returns an error that wraps ErrExists where files of these columns cannot
// stand beside those that the run appends to: names, order and types must be theirs. A
// column may have nulls where theirs has none.
func (s *Staging) CheckColumns(columns []Column) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opts.IfExists != IfExistsAppend || len(s.mu.before.live) == 0 {
		return nil
	}
	if why := OtherColumns(s.mu.before.live, s.opts.Ext, columns); why != "" {
		return s.exists(why, "")
	}
	return nil
}

// OtherColumns says why files of some columns, with an ending, cannot stand beside those of
// live runs, the newest first, as CheckColumns has it; empty where they can.
func OtherColumns(live []*Manifest, ext string, columns []Column) string {
	there := slices.Clone(live[0].Schema)
	same, lacks := len(there) == len(columns), false
	for i := range there {
		there[i].Type = typeAmong(live, i)
		if i >= len(columns) || there[i].Name != columns[i].Name {
			same = false
			continue
		}
		if there[i].Type == columns[i].Type {
			continue
		}
		none := there[i].Type == noType || columns[i].Type == noType
		lacks = lacks || none
		same = same && none && isText(ext)
	}
	if same {
		return ""
	}
	why := fmt.Sprintf("its columns are %s, and this run's would be %s, and nobody could read both as one table; append the same, or write elsewhere",
		columnsText(there), columnsText(columns))
	if lacks {
		why += "; a column of CSV or JSON Lines that has no value, as of a header alone, has no type: --types COLUMN=TYPE gives it one"
	}
	return why
}

// noType is the type of a column that has no value, in input of text.
const noType = "null"

// typeAmong is the type of a column of live runs: what those of text wrote before or after a
// run that had no value in it.
func typeAmong(live []*Manifest, column int) string {
	for _, m := range live {
		if column < len(m.Schema) && m.Schema[column].Type != noType {
			return m.Schema[column].Type
		}
	}
	return noType
}

// isText says whether files with an ending keep no types, so that a column without a value
// looks in them like any other.
func isText(ext string) bool {
	kind, ok := format.KindOf("part" + ext)
	return ok && kind.Format.IsText()
}

func columnsText(columns []Column) string {
	texts := make([]string, len(columns))
	for i, c := range columns {
		texts[i] = fmt.Sprintf("%q %s", c.Name, c.Type)
	}
	return strings.Join(texts, ", ")
}
