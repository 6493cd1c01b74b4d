package models

import (
	"math"
	"math/bits"

	"github.com/millrace/millrace/models/onnxpb"
)

// maxSparseBytes bounds what a sparse tensor becomes when ONNX Runtime makes it
// dense, which a few bytes in the file can ask for.
const maxSparseBytes = 2 << 30

// maxRank bounds the number of dimensions; ONNX Runtime's kernels stop at 8 or
// so.
const maxRank = 64

// elementBits is the width of one element in raw_data, by TensorProto.DataType
// (onnx-ml.proto); 0 for strings, -1 for types unknown here.
func elementBits(dataType int32) int {
	switch onnxpb.TensorProto_DataType(dataType) {
	case onnxpb.TensorProto_STRING:
		return 0
	case onnxpb.TensorProto_UINT2, onnxpb.TensorProto_INT2:
		return 2
	case onnxpb.TensorProto_UINT4, onnxpb.TensorProto_INT4, onnxpb.TensorProto_FLOAT4E2M1:
		return 4
	case onnxpb.TensorProto_FLOAT6E2M3, onnxpb.TensorProto_FLOAT6E3M2:
		return 6
	case onnxpb.TensorProto_FLOAT8E4M3FN, onnxpb.TensorProto_FLOAT8E4M3FNUZ, onnxpb.TensorProto_FLOAT8E5M2,
		onnxpb.TensorProto_FLOAT8E5M2FNUZ, onnxpb.TensorProto_FLOAT8E8M0:
		return 8
	}
	if n := ElementType(dataType).Bytes(); n > 0 {
		return 8 * n
	}
	return -1
}

// elements multiplies dimensions; false when one is negative or the product
// does not fit.
func elements(dims []int64) (int64, bool) {
	total := uint64(1)
	zero := false
	for _, d := range dims {
		if d < 0 {
			return 0, false
		}
		if d == 0 {
			zero = true
			continue
		}
		hi, lo := bits.Mul64(total, uint64(d))
		if hi != 0 || lo > math.MaxInt64 {
			return 0, false
		}
		total = lo
	}
	if zero {
		return 0, true
	}
	return int64(total), true
}

// packedBytes is how many bytes n elements of a width take; false when that
// does not fit.
func packedBytes(n int64, width int) (int64, bool) {
	hi, lo := bits.Mul64(uint64(n), uint64(width))
	if hi != 0 || lo > math.MaxInt64-7 {
		return 0, false
	}
	return int64((lo + 7) / 8), true
}

// tensor checks that a tensor holds exactly what its type and dimensions say.
// Tensors in external files are collected and checked by checkExternal.
func (c *checker) tensor(t *onnxpb.TensorProto) error {
	name, kind := t.GetName(), t.GetDataType()
	width := elementBits(kind)
	switch {
	case kind == int32(onnxpb.TensorProto_UNDEFINED):
		return damagedf("tensor %.80q has no element type", name)
	case width < 0:
		return damagedf("tensor %.80q has the unknown element type %d", name, kind)
	case t.Segment != nil:
		return damagedf("tensor %.80q is stored in segments, which no runtime reads", name)
	}
	if len(t.GetDims()) > maxRank {
		return damagedf("tensor %.80q has %d dimensions", name, len(t.GetDims()))
	}
	n, ok := elements(t.GetDims())
	if !ok {
		return damagedf("tensor %.80q has impossible dimensions %v", name, t.GetDims())
	}
	size, ok := packedBytes(n, width)
	if !ok {
		return damagedf("tensor %.80q has impossible dimensions %v", name, t.GetDims())
	}
	if t.GetDataLocation() == onnxpb.TensorProto_EXTERNAL {
		if width == 0 {
			return damagedf("tensor %.80q holds strings in an external file", name)
		}
		ref, err := externalOf(t, size)
		if err != nil {
			return err
		}
		c.external = append(c.external, ref)
		return nil
	}
	if len(t.GetRawData()) > 0 {
		if width == 0 {
			return damagedf("tensor %.80q holds strings as raw bytes", name)
		}
		if int64(len(t.RawData)) != size {
			return damagedf("tensor %.80q has %d bytes of data where %v of %s take %d",
				name, len(t.RawData), t.GetDims(), ElementType(kind), size)
		}
		return nil
	}
	want, got := typedData(t, n, width)
	if want != got {
		return damagedf("tensor %.80q has %d values where %v of %s take %d", name, got, t.GetDims(), ElementType(kind), want)
	}
	return nil
}

// typedData is how many values of the type's own field a tensor should and does
// hold. Types narrower than a byte are packed into int32_data, the 6 bit ones
// excepted.
func typedData(t *onnxpb.TensorProto, n int64, width int) (want, got int64) {
	switch onnxpb.TensorProto_DataType(t.GetDataType()) {
	case onnxpb.TensorProto_FLOAT:
		return n, int64(len(t.GetFloatData()))
	case onnxpb.TensorProto_COMPLEX64:
		return pairs(n), int64(len(t.GetFloatData()))
	case onnxpb.TensorProto_DOUBLE:
		return n, int64(len(t.GetDoubleData()))
	case onnxpb.TensorProto_COMPLEX128:
		return pairs(n), int64(len(t.GetDoubleData()))
	case onnxpb.TensorProto_INT64:
		return n, int64(len(t.GetInt64Data()))
	case onnxpb.TensorProto_UINT32, onnxpb.TensorProto_UINT64:
		return n, int64(len(t.GetUint64Data()))
	case onnxpb.TensorProto_STRING:
		return n, int64(len(t.GetStringData()))
	}
	if width == 2 || width == 4 {
		n, _ = packedBytes(n, width)
	}
	return n, int64(len(t.GetInt32Data()))
}

func pairs(n int64) int64 {
	if n > math.MaxInt64/2 {
		return -1
	}
	return 2 * n
}

func (c *checker) sparse(t *onnxpb.SparseTensorProto) error {
	values, indices := t.GetValues(), t.GetIndices()
	if values == nil {
		return damagedf("a sparse tensor has no values")
	}
	if err := c.tensor(values); err != nil {
		return err
	}
	n, ok := elements(t.GetDims())
	if len(t.GetDims()) > maxRank {
		return damagedf("sparse tensor %.80q has %d dimensions", values.GetName(), len(t.GetDims()))
	}
	if ok {
		n, ok = packedBytes(n, max(8, elementBits(values.GetDataType())))
	}
	if !ok || n > maxSparseBytes {
		return unsafef("sparse tensor %.80q would take more than %d bytes with dimensions %v",
			values.GetName(), int64(maxSparseBytes), t.GetDims())
	}
	if indices != nil {
		return c.tensor(indices)
	}
	return nil
}
