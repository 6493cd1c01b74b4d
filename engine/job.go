package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/millrace/millrace/engine/distribution"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
)

// decisive are the settings that decide what a run writes, by the flag that says
// them. Workers, readers and memory are none: they change no byte.
var decisive = []struct{ setting, flag string }{
	{"feature_specs", "the job's features"},
	{"where", "--where"},
	{"rules", "rules"},
	{"features", "--features"},
	{"bind", "--bind"},
	{"nulls", "--nulls"},
	{"nulls_by_column", "--nulls COLUMN="},
	{"allow_lossy_casts", "--allow-lossy-casts"},
	{"partitions", "--partitions"},
	{"input_format", "--input-format"},
	{"lines", "--types and what else is said of CSV and JSON Lines"},
	{"ids", "--ids"},
	{"keep", "--keep"},
	{"models", "models"},
	{"model_outputs", "--model-outputs"},
	{"output_prefix", "--output-prefix"},
	{"output_layout", "--output-layout"},
	{"output_format", "--output-format"},
	{"compression", "--compression"},
	{"output_delimiter", "--output-delimiter"},
	{"spreadsheet_safe", "--spreadsheet-safe"},
	{"part_rows", "--part-rows"},
	{"partition_by", "--partition-by"},
	{"target_file_bytes", "--target-file-size"},
	{"provider", "--provider"},
	{"tf32", "--tf32"},
	{"kernels", "--kernels"},
	{"model_rewrites", "the model's rewrites"},
	{"max_bad_rows", "--max-bad-rows"},
	{"max_bad_rows_percent", "--max-bad-rows PERCENT"},
	{"on_bad_row", "--on-bad-row"},
	{"finite", "--finite"},
	{"refuse_nan_output", "--refuse-nan-output"},
	{"unique", "--unique"},
}

// job lists everything that decides what the run writes.
func (p *Plan) job(lib *ort.Library) (*ledger.Job, error) {
	job := &ledger.Job{Facts: append(p.modelFacts(), []ledger.Fact{
		{Name: "millrace's version", Value: fmt.Sprintf("%s (%s)", p.Options.Build.Version, p.Options.Build.Commit)},
		{Name: "ONNX Runtime's version", Value: lib.Version},
	}...)}
	of := map[string]string{"model_rewrites": job.Facts[0].Name}
	settings := p.Settings()
	for _, d := range decisive {
		value, err := json.Marshal(settings[d.setting])
		if err != nil {
			return nil, fmt.Errorf("%w: setting %s: %w", ErrInternal, d.setting, err)
		}
		job.Facts = append(job.Facts, ledger.Fact{Name: d.flag, Value: string(value), Of: of[d.setting]})
	}
	// What is left to a run to choose is frozen in its journal.
	asked := func(given bool, n int) string {
		if given {
			return strconv.Itoa(n)
		}
		return "auto"
	}
	job.Facts = append(job.Facts,
		ledger.Fact{Name: "--batch-size", Value: asked(p.asked.batch, p.Options.BatchRows)},
		ledger.Fact{Name: "--intra-op-threads", Value: asked(p.asked.intraOpThreads, p.Options.IntraOpThreads)},
	)
	listed := map[string]int{}
	for _, f := range p.Dataset.Files() {
		path := absolute(f.Path)
		listed[path]++
		name := factName(path)
		if n := listed[path]; n > 1 {
			name = fmt.Sprintf("%s (listed %d times)", name, n)
		}
		job.Facts = append(job.Facts, ledger.Fact{
			Name: name, Input: true,
			Value: inputFact(f),
		})
	}
	return job, nil
}

// inputFact is what tells an input from itself at another time.
func inputFact(f dataset.FileInfo) string {
	fact := fmt.Sprintf("%d bytes, %d rows", f.Size, f.Rows)
	if !f.ModTime.IsZero() {
		fact += ", changed at " + f.ModTime.UTC().Format(time.RFC3339Nano)
	}
	if f.Version != "" {
		fact += ", version " + f.Version
	}
	return fact
}

// factName names the fact of an input.
func factName(path string) string { return "input " + path }

// frozen is what the first start of a run chose, for all that continue it.
type frozen struct {
	Choice Choice `json:"choice"`
}

// partDetail is what a part's record has for the engine.
type partDetail struct {
	Spans    map[int]ledger.Rows `json:"spans"` // as spanIndex numbers them
	Features featureCounts       `json:"features"`
	Schema   []ledger.Column     `json:"schema"`
	// Agreement is what models were compared by; nil in a run of one.
	Agreement *partAgreement `json:"agreement,omitempty"`
	// Predictions are how those of the part are distributed, by column; nil where it has
	// no rows.
	Predictions []*distribution.Tally `json:"predictions,omitempty"`
}

// resume takes over what an earlier start finished.
func (c *collector) resume(j *ledger.Journal) error {
	for i := range j.Parts {
		if err := c.takeOver(&j.Parts[i]); err != nil {
			return err
		}
		c.progress.take(j.Parts[i].Rows)
	}
	c.deadly = c.plan.deadly(c.staging, j, c.done)
	return nil
}

// takeOver counts a part as finished that another process wrote.
func (c *collector) takeOver(part *ledger.PartRecord) error {
	var detail partDetail
	if part.Part < 0 || part.Part >= len(c.parts) {
		return fmt.Errorf("%w: journal has part %d of %d", ErrInternal, part.Part, len(c.parts))
	}
	if err := json.Unmarshal(part.Detail, &detail); err != nil {
		return fmt.Errorf("%w: journal: part %d: %w", ErrInternal, part.Part, err)
	}
	for span, rows := range detail.Spans {
		if span < 0 || span >= len(c.spans) {
			return fmt.Errorf("%w: journal: part %d is of span %d of %d", ErrInternal, part.Part, span, len(c.spans))
		}
		c.spans[span] = c.spans[span].Add(rows)
	}
	if len(detail.Features) != len(c.features) {
		return fmt.Errorf("%w: journal: part %d counts %d features of %d", ErrInternal, part.Part, len(detail.Features), len(c.features))
	}
	if c.columns != nil && !slices.Equal(c.columns, detail.Schema) {
		return fmt.Errorf("%w: the columns of part %d are %v, and of others %v", ErrOutputShape, part.Part, detail.Schema, c.columns)
	}
	if err := c.takeAgreement(part.Part, detail.Agreement); err != nil {
		return err
	}
	if err := c.takePredicted(part.Part, detail.Predictions); err != nil {
		return err
	}
	c.features.add(detail.Features)
	c.outputs[part.Part], c.rejects[part.Part] = part.Outputs, part.Rejects
	c.parts[part.Part], c.done[part.Part] = part.Rows, true
	if c.single != nil {
		c.single.done[part.Part] = true
	}
	c.columns = detail.Schema
	return nil
}

// detail is what the journal's line of a part that is written has for the engine.
func (w *partWriter) detail(columns []ledger.Column) (json.RawMessage, error) {
	detail, err := json.Marshal(partDetail{Spans: w.spans, Features: w.features, Schema: columns, Agreement: w.metAgreement(), Predictions: w.predicted})
	if err != nil {
		return nil, fmt.Errorf("%w: part %d: %w", ErrInternal, w.number, err)
	}
	return detail, nil
}

// resumable says whether what is finished is of use after an error: to fix its cause
// changes neither the model nor the data nor the settings, so the next start has the
// same job.
func resumable(err error) bool {
	for _, final := range []error{ErrBadRows, ErrUsage, format.ErrChanged, format.ErrDamaged, format.ErrUnsupported, ledger.ErrExists, ledger.ErrAccounts, sink.ErrRows} {
		if errors.Is(err, final) {
			return false
		}
	}
	for _, passing := range []error{ErrInterrupted, ErrInternal, ErrMemory, ort.ErrOutOfMemory, ort.ErrDevice, ledger.ErrOutput, ledger.ErrHeld, dataset.ErrInput, ErrDeadly, ErrApart, ErrDisagree} {
		if errors.Is(err, passing) {
			return true
		}
	}
	return false
}
