// Package engine scores a dataset with a model: it plans a run, drives the
// pipeline that carries it out, and publishes the result.
//
// # The pipeline
//
// Data goes one way; no stage reaches back:
//
//	feed      for each part, for each span, in order:
//	              queue the span for reading, and in the order queue
//	read      xR: decode a queued span into record batches of at most
//	              ReadOptions.ChunkRows rows        (owner: the span's queue)
//	cut       take the spans in order; cut batches at the edges that the
//	              plan prescribes                   (owner: the job)
//	work      xW: assemble the batch's tensors in the worker's own buffers,
//	              Run, make columns of the outputs  (owner: the result)
//	collect   take the results in order; take rejected rows out;
//	              write the part; commit it at its end
//
// Assembly and Run are one stage on purpose: tensors are made on the core that
// will read them, while they are in its cache, and no tensor ever waits in a
// queue. A stage of its own for assembly was considered; it costs a hand-over
// of cold memory per batch and gains nothing, because W workers keep W cores
// busy either way.
//
// # Order
//
// The queue between cut and collect holds one result slot per batch, in batch
// order; a worker fills the slot of its batch. So the collector sees batches in
// order whatever the workers do, and the slot queue's capacity bounds how far
// the fastest worker may be ahead of the slowest.
//
// # Invariants
//
//   - Batch edges are a function of the plan alone: see batcher.Cutter.
//   - Every queue is bounded, so peak memory does not grow with the input.
//   - Whoever takes a value off a queue owns it, and releases it on every path.
//   - Nothing is visible at the output's place before Publish, and all of it
//     after.
//   - read = scored + rejected + filtered, per part and per run, or nothing is
//     published.
package engine
