package unique

import (
	"errors"
	"fmt"
	"slices"
)

// Spec says by which columns rows are to be unique, and what becomes of those that are
// not. In a job file it is this, or the list of columns alone.
type Spec struct {
	Columns []string `json:"columns" doc:"the columns whose values, taken together, only one row may have; a null equals a null"`
	On      On       `json:"on,omitempty" flag:"on-duplicate" doc:"what becomes of a row whose values a row before it has: count, reject, null or fail; auto, the default: what on_bad_row says, but count instead of fail"`
	Mode    Mode     `json:"mode,omitempty" flag:"unique-mode" doc:"hash, the default: keys longer than 16 bytes are compared by 128-bit hashes, of n rows two are mistaken with a chance of n^2/2^129; or exact: by their values"`
}

// On says what becomes of a duplicate: of every row whose key a row before it has.
type On string

// What becomes of it.
const (
	OnAuto   On = "auto"   // by the policy of bad rows; counted where that is to fail
	OnCount  On = "count"  // it is scored like any other, and counted
	OnReject On = "reject" // it is left out of the output
	OnNull   On = "null"   // it stays in the output, with null predictions
	OnFail   On = "fail"   // the run fails before it scores a row
)

// Values are all of them.
func (On) Values() []string {
	return []string{string(OnAuto), string(OnCount), string(OnReject), string(OnNull), string(OnFail)}
}

// Mode says how keys are compared.
type Mode string

// The modes.
const (
	Hash  Mode = "hash"
	Exact Mode = "exact"
)

// Values are all of them.
func (Mode) Values() []string { return []string{string(Hash), string(Exact)} }

// EnsureDefaults fills empty fields where there are columns.
func (s *Spec) EnsureDefaults() {
	if len(s.Columns) == 0 {
		return
	}
	if s.On == "" {
		s.On = OnAuto
	}
	if s.Mode == "" {
		s.Mode = Hash
	}
}

// Validate joins every problem, in the words of the flags.
func (s *Spec) Validate() error {
	var problems []error
	if len(s.Columns) == 0 {
		if s.On != "" && s.On != OnAuto || s.Mode != "" && s.Mode != Hash {
			return errors.New("--on-duplicate and --unique-mode need --unique: the columns that make a row unique")
		}
		return nil
	}
	if !slices.Contains(OnAuto.Values(), string(s.On)) {
		problems = append(problems, fmt.Errorf("--on-duplicate (%s) must be auto, count, reject, null or fail", s.On))
	}
	if !slices.Contains(Hash.Values(), string(s.Mode)) {
		problems = append(problems, fmt.Errorf("--unique-mode (%s) must be hash or exact", s.Mode))
	}
	for i, c := range s.Columns {
		if slices.Contains(s.Columns[:i], c) {
			problems = append(problems, fmt.Errorf("--unique names column %q twice", c))
		}
	}
	return errors.Join(problems...)
}
