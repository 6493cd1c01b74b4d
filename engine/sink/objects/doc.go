// Package objects publishes outputs in object stores, which have no renames: only whole
// objects, written at once, and writes that fail where an object is there already.
//
//	OUT/part-00000.parquet ...       final names, given after the step
//	OUT/_SUCCESS                     last, with the manifest
//	OUT/_millrace/log/0000000001     who holds the output and what was decided: see log
//	OUT/_millrace/RUN/manifest.json, manifest.sha256, rejects.parquet
//	OUT/_millrace/RUN/staging/       while the run is not published, and its names not final
//	    start                        what the run is, and which dead run it continues
//	    beat                         rewritten while the process lives
//	    journal/part-00000 ...       an object for each finished part
//	    data/, pieces/, rejects/     finished parts; names end in .staged
//	    commit                       what is to be copied where
//
// Of a single file OUT/scores.parquet, OUT/_scores.parquet.millrace/ takes the place of
// OUT/_millrace/.
//
// The one step is the creation of the log's next object, which says "published": of two
// runs that try, the store lets one. Before it nothing but names that readers pass over is
// there. After it the staged objects are copied, by the store itself, to their final names,
// the manifest last, while _SUCCESS is written; whoever comes after a crash in between
// finishes that. So a reader who
// looks at names only may see, for the time of the copies, a part of the new output, or,
// where one is replaced, a mixture: while _SUCCESS is missing.
//
// Rejected: multipart uploads under the final names, completed after the step. They need no
// copies, but stores forget them after days, list them badly, and other stores than S3 have
// no such thing; and a lost acknowledgement of a completion cannot be asked for.
package objects
