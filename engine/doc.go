// Package engine scores a dataset with a model: it plans a run, drives the
// pipeline that carries it out, and publishes the result.
//
// # The pipeline
//
// Data goes one way, from spans to committed parts:
//
//	read      decode a span's next record batch of at most
//	              ReadOptions.ChunkRows rows        (owner: the lane)
//	cut       cut batches at the edges that the plan prescribes
//	                                                (owner: the slot)
//	score     assemble the batch's tensors in the worker's own buffers,
//	              Run, make columns of the outputs, take
//	              rejected rows aside               (owner: the slot)
//	write     take the results in order; write the part and its rejects;
//	              commit both at its end
//
// These are no stages with goroutines and queues of their own: W workers, as many
// as cores, each do whatever is nearest to the output (crew). A batch is read, cut
// and scored on one core, while its columns and tensors are in that core's cache,
// and nothing wakes another thread as long as there is something to read. Stages
// with queues between them were built first; what they cost is in
// docs/decisions/013.
//
// # Order
//
// Each lane, a span or short ones that are joined, keeps a slot for each batch
// that is cut of it, in batch order, and lanes stand in the order of their spans.
// One worker at a time writes: the slots of the first lane up to the first that is
// not scored. How far the others may be ahead of it is bounded, in rows and bytes.
//
// # Invariants
//
//   - Batch edges are a function of the plan alone: see batcher.Cutter.
//   - What waits is bounded, so peak memory does not grow with the input.
//   - Whoever takes a value out of a lane owns it, and releases it on every path.
//   - Nothing is visible at the output's place before Publish, and all of it
//     after.
//   - read = scored + rejected + filtered, per span, part and run, and the output
//     has the rows that were scored and those that were rejected and nulled, or
//     nothing is published.
package engine
