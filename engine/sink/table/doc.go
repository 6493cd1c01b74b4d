// Package table is the protocol by which a run's rows get into a table of a database once,
// whatever dies meanwhile. A Database is what it needs of one; packages beside this one
// speak the dialects.
//
//	Hold      one run has the table: whoever had it before can commit nothing any more
//	Begin     the run's row and the head of its journal
//	NewPart   a transaction: the rows of a part go to the run's staging table
//	Record    the same transaction: the part's line of the journal; COMMIT
//	Publish   one transaction: rows are counted, staged ones become the table's, the run's
//	          row says so; COMMIT
//
// So the database's own atomicity is all there is to trust. A part is there with its line or
// not at all, and a start that goes on looks at lines alone. A commit whose answer got lost
// is asked for again: the line, or the run's row, is there or not.
//
// Rows of rejects are kept as bytes with their part, and become rows of a table of their own
// when the run is published, or when it rejected too many.
package table
