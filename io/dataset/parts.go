package dataset

// SpanRef names one span of a dataset.
type SpanRef struct {
	File     int   // index into Files
	Span     int   // index of the span in its file
	Rows     int64 // rows of the span
	FirstRow int64 // number of its first row within its file
}

// Part is a run of consecutive spans, which may cross files.
type Part struct {
	Index int
	Spans []SpanRef
	Rows  int64
}

// Parts cuts the dataset into parts, as Cut does.
func (d *Dataset) Parts(targetRows int64) []Part {
	files := make([][]int64, len(d.files))
	for f, src := range d.files {
		files[f] = make([]int64, len(src.spans))
		for s, span := range src.spans {
			files[f][s] = span.Rows
		}
	}
	return Cut(files, targetRows)
}

// Cut cuts files, given as the rows of their spans, into parts of at least
// targetRows rows each, except the last, which takes what is left. Spans are never
// split. Spans without rows at the end go to the last part, so that only a dataset
// without rows has a part without rows, and that is then the only one. A targetRows
// below 1 counts as 1. The result depends on the files and targetRows alone.
func Cut(files [][]int64, targetRows int64) []Part {
	targetRows = max(targetRows, 1)
	parts := []Part{{}}
	for f, spans := range files {
		var firstRow int64
		for s, rows := range spans {
			last := &parts[len(parts)-1]
			if last.Rows >= targetRows && rows > 0 {
				parts = append(parts, Part{Index: len(parts)})
				last = &parts[len(parts)-1]
			}
			last.Spans = append(last.Spans, SpanRef{File: f, Span: s, Rows: rows, FirstRow: firstRow})
			last.Rows += rows
			firstRow += rows
		}
	}
	return parts
}
