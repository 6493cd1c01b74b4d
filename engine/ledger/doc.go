// Package ledger keeps a run's accounts and makes its output appear in one
// step: row accounts that must add up, a manifest that says what was made by
// which model from which data, a staging directory beside the output, and the
// rename that publishes it.
//
// It refuses to touch an output that is there already, unless told to replace
// it, to publish while another run holds the output, and to publish accounts
// that do not add up.
//
// Parts of one Staging may be written concurrently, each by one goroutine;
// Staging's own methods may be called concurrently.
package ledger
