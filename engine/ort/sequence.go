package ort

// #include "shim.h"
import "C"

import (
	"fmt"
	"unsafe"

	"github.com/millrace/millrace/models"
)

// DecodeSequenceOfMaps turns what a ZipMap operator gives, N maps from class to
// score, into scores [N,C], row by row, and the labels of their columns in the
// maps' own order, which is ascending. All maps must have the same classes, as
// a ZipMap's do. Without rows there are no labels to read.
//
// Errors wrap ErrOutput for values of other types and for maps that differ.
// models.StripZipMap avoids the maps altogether and is the way to go where it
// applies; this takes about two microseconds a row, most of it in ONNX Runtime.
func DecodeSequenceOfMaps(t *Tensor) (scores []float32, labels models.ClassLabels, err error) {
	if t.c == nil {
		return nil, labels, fmt.Errorf("%w: %w", ErrTensor, ErrClosed)
	}
	if t.kind != models.Sequence {
		return nil, labels, fmt.Errorf("%w: it is no sequence of maps", ErrOutput)
	}
	var rows C.size_t
	if err := statusError(C.mr_count(t.c, &rows), logEnd()); err != nil {
		return nil, labels, err
	}
	if rows == 0 {
		return nil, labels, nil
	}
	keys, err := firstKeys(t)
	if err != nil {
		return nil, labels, err
	}
	defer func() { _ = keys.Close() }()
	classes := int(keys.shape[0])
	scores = make([]float32, int(rows)*classes)
	out := (*C.float)(unsafe.Pointer(unsafe.SliceData(scores)))
	var row C.size_t
	var status *C.OrtStatus
	if keys.elem == models.String {
		offsets, data, err := keys.Strings()
		if err != nil {
			return nil, labels, err
		}
		labels.Strings = make([]string, classes)
		for i := range labels.Strings {
			labels.Strings[i] = string(data[offsets[i]:offsets[i+1]])
		}
		status = C.mr_maps_string(t.c, rows, (*C.size_t)(unsafe.Pointer(unsafe.SliceData(offsets))),
			(*C.char)(unsafe.Pointer(unsafe.SliceData(data))), C.size_t(len(data)), C.size_t(classes), out, &row)
	} else {
		labels.Ints = append(make([]int64, 0, classes), View[int64](keys)...)
		status = C.mr_maps_int64(t.c, rows, dims(labels.Ints), C.size_t(classes), out, &row)
	}
	if err := statusError(status, logEnd()); err != nil {
		return nil, models.ClassLabels{}, fmt.Errorf("%w: map %d: %w", ErrOutput, row, err)
	}
	if row < rows {
		return nil, models.ClassLabels{}, fmt.Errorf("%w: map %d has not the classes of map 0, or no float32 scores", ErrOutput, row)
	}
	return scores, labels, nil
}

// firstKeys gives the keys of the first map as a tensor, which shows that the
// sequence holds maps with keys that can be labels.
func firstKeys(t *Tensor) (*Tensor, error) {
	var first, second *C.OrtValue
	if err := statusError(C.mr_map(t.c, 0, &first, &second), logEnd()); err != nil { //nolint:gocritic // dupSubExpr reads what cgo generates
		return nil, fmt.Errorf("%w: it is a sequence, but not of maps: %w", ErrOutput, err)
	}
	C.mr_release_value(second)
	keys, err := adopt(first)
	if err != nil {
		return nil, err
	}
	if keys.kind != models.Tensor || len(keys.shape) != 1 || keys.elem != models.String && keys.elem != models.Int64 {
		_ = keys.Close()
		return nil, fmt.Errorf("%w: maps with keys of %s", ErrOutput, keys.elem)
	}
	return keys, nil
}
