// Package agree says how far two models lie apart on the same rows: a model and
// what a rewrite made of it.
//
// Where there are no rows, Made makes some that fit the model's inputs, with NaN
// and unknown values among them. Comparing runs both models on ONNX Runtime's CPU
// provider; it passes over outputs that are no tensors, and leaves it to the caller
// to say how far is too far. Nothing here may run concurrently on the same
// tensors.
package agree
