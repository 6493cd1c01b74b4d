package ledger

import (
	"slices"
	"time"
)

// Work is how a run went.
type Work struct {
	// Starts are the processes that worked on the run, the one that published last.
	Starts []StartWork `json:"starts"`
	// What follows is of the last start: seconds from opening the model until all was
	// ready to be published, and rows that it read.
	Seconds float64 `json:"seconds"`
	Rows    int64   `json:"rows"`
	// StageSeconds are busy seconds, summed over the goroutines of a stage.
	StageSeconds    map[string]float64 `json:"stage_seconds"`
	PeakMemoryBytes int64              `json:"peak_memory_bytes"` // of the process, mapped pages among it
	Batches         int64              `json:"batches"`
	BytesCopied     int64              `json:"bytes_copied"` // into input tensors
	BytesViewed     int64              `json:"bytes_viewed"` // given to ONNX Runtime where they lay
	// Filter is what statistics kept from being read; nil without one.
	Filter *FilterWork `json:"filter,omitempty"`
	// Drift are the differences of input files from the first, in words.
	Drift []string `json:"drift,omitempty"`
}

// StartWork is one process that worked on a run.
type StartWork struct {
	Run  string    `json:"run"` // its id; a continued run is named by the last
	Time time.Time `json:"time"`
	Host string    `json:"host"`
	Rows int64     `json:"rows"` // that it read, of parts that it finished
}

// FilterWork is what of the input was not read, since no row of it could pass.
type FilterWork struct {
	FilesSkipped int   `json:"files_skipped"`
	SpansSkipped int   `json:"spans_skipped"`
	RowsSkipped  int64 `json:"rows_skipped"`
}

// FeatureCount is what was met in one feature of a model's input.
type FeatureCount struct {
	Models  []string `json:"models,omitempty"` // of several, those that take it
	Input   string   `json:"input"`
	Column  string   `json:"column"`
	Nulls   int64    `json:"nulls"`
	Policy  string   `json:"null_policy"` // what became of them
	Rounded int64    `json:"rounded"`
}

// ByColumn are counts with each column once for what became of its nulls: where several
// models take one, each has counted the same values.
func ByColumn(counts []FeatureCount) []FeatureCount {
	var all []FeatureCount
	for _, c := range counts {
		at := slices.IndexFunc(all, func(known FeatureCount) bool { return known.Column == c.Column && known.Policy == c.Policy })
		if at < 0 {
			all = append(all, c)
			continue
		}
		all[at].Nulls, all[at].Rounded = max(all[at].Nulls, c.Nulls), max(all[at].Rounded, c.Rounded)
	}
	return all
}
