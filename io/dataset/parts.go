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

// Parts cuts the dataset into parts of at least targetRows rows each, except
// the last, which takes what is left. Spans are never split. Spans without
// rows at the end go to the last part, so that only a dataset without rows has
// a part without rows, and that is then the only one. A targetRows below 1
// counts as 1. The result depends on the files and targetRows alone.
func (d *Dataset) Parts(targetRows int64) []Part {
	targetRows = max(targetRows, 1)
	parts := []Part{{}}
	for f, src := range d.files {
		var firstRow int64
		for s, span := range src.spans {
			last := &parts[len(parts)-1]
			if last.Rows >= targetRows && span.Rows > 0 {
				parts = append(parts, Part{Index: len(parts)})
				last = &parts[len(parts)-1]
			}
			last.Spans = append(last.Spans, SpanRef{File: f, Span: s, Rows: span.Rows, FirstRow: firstRow})
			last.Rows += span.Rows
			firstRow += span.Rows
		}
	}
	return parts
}
