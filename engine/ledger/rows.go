package ledger

import "fmt"

// Rows are the row accounts of a run, an input or a part.
type Rows struct {
	Read     int64 `json:"read"`
	Scored   int64 `json:"scored"`
	Rejected int64 `json:"rejected"`
	Filtered int64 `json:"filtered"`
	// Nulled is how many of the rejected rows stand in the output all the same, with
	// null predictions.
	Nulled int64 `json:"nulled"`
}

// Written is how many rows the output has.
func (r Rows) Written() int64 { return r.Scored + r.Nulled }

// Check returns an error that wraps ErrAccounts unless
// read = scored + rejected + filtered, with none of them negative, and no more rows
// are nulled than rejected.
func (r Rows) Check() error {
	if r.Nulled < 0 || r.Nulled > r.Rejected {
		return fmt.Errorf("%w: %d rows have null predictions, but %d were rejected", ErrAccounts, r.Nulled, r.Rejected)
	}
	if min(r.Read, r.Scored, r.Rejected, r.Filtered) < 0 || r.Read != r.Scored+r.Rejected+r.Filtered {
		return fmt.Errorf("%w: %d rows read, but %d scored + %d rejected + %d filtered = %d",
			ErrAccounts, r.Read, r.Scored, r.Rejected, r.Filtered, r.Scored+r.Rejected+r.Filtered)
	}
	return nil
}

// Add returns the sum of two accounts.
func (r Rows) Add(o Rows) Rows {
	return Rows{
		Read:     r.Read + o.Read,
		Scored:   r.Scored + o.Scored,
		Rejected: r.Rejected + o.Rejected,
		Filtered: r.Filtered + o.Filtered,
		Nulled:   r.Nulled + o.Nulled,
	}
}

// Sum adds accounts up.
func Sum(accounts []Rows) Rows {
	var sum Rows
	for _, r := range accounts {
		sum = sum.Add(r)
	}
	return sum
}
