// Package models knows what an .onnx file is: its signature, metadata and
// class labels, whether it is safe to hand to ONNX Runtime, and how to rewrite
// its graph: without ZipMaps, with operators of engine/ort's own in place of
// slower ones, and with tensor operators in place of those that devices have no
// kernels for. It does not run models; engine/ort does.
//
// A model file is untrusted: Open bounds what it reads and refuses external
// data outside the model's folder. A Model is immutable and may be shared.
package models
