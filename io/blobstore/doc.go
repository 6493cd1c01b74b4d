// Package blobstore reads objects of S3 and what speaks like it (s3://), Google Cloud
// Storage (gs://) and Azure Blob Storage (az://) as inputs of a run: it is a
// dataset.Store.
//
// An object is read by ranges, ahead of whoever reads it and several at a time, into
// blocks that all objects share and that are bounded in bytes. Every request says which
// version of the object it wants, the one first seen: another one is format.ErrChanged.
// A request that fails in passing, stalls or ends early is made again, with growing
// pauses, up to a limit; what came of it before is not used.
//
// Credentials come from where each store's own tools look for them; nothing of them is
// in a URI, and no error has them.
package blobstore
