// Package dataset makes one table out of many files: it resolves inputs to
// files in a stable order, finds out each file's format from its first bytes, or of text its name,
// reconciles the schemas, and cuts the spans of all files into parts.
//
// It refuses files that are neither Arrow, Parquet, CSV nor JSON Lines, files whose columns
// differ in name or type, and files that changed after they were first seen.
// Every such error wraps ErrInput and names the file.
//
// Files are opened lazily and closed when idle, so a dataset of thousands of
// files holds a few descriptors. All methods of a Dataset may run
// concurrently; Close waits for reads in progress. Batches given to a yield
// are borrowed by it and keep their own memory alive, as package format says.
package dataset
