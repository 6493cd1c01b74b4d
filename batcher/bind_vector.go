package batcher

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"

	"github.com/millrace/millrace/models"
)

// bindVector binds a list column of k values a row: [N,k] or, nested or flat,
// higher ranks.
func (b *binder) bindVector(in *models.Value, e entry) error {
	f := e.field
	elem, dims, known := listShape(f.Type)
	binding := Binding{Input: *in, Form: Vector}
	if in.HasShape && len(in.Shape) == 1 {
		return fmt.Errorf("model input %q is [N], one value a row, but column %q is a %s", in.Name, f.Name, f.Type)
	}
	want, open := int64(0), 1
	if in.HasShape {
		want, open = itemElements(in.Shape)
	}
	switch {
	case !known && open > 0:
		return fmt.Errorf("column %q is a %s whose lists may have any length, and model input %q %s does not say which; write it as a FixedSizeList", f.Name, f.Type, in.Name, describe(in))
	case !known:
		if len(dims) > 1 {
			return fmt.Errorf("column %q is a %s; nested lists are taken as FixedSizeLists only", f.Name, f.Type)
		}
		dims = []int64{want} // every list is checked to have this length
	}
	total := product(dims)
	shape, err := tensorShape(f)
	switch {
	case err != nil:
		return err
	case shape != nil && product(shape) != total:
		return fmt.Errorf("column %q is a tensor of shape %v in lists of %d values", f.Name, shape, total)
	case shape != nil:
		dims = shape
	}
	switch {
	case total == 0:
		return fmt.Errorf("column %q is a %s, which holds no values for model input %q", f.Name, f.Type, in.Name)
	case total > maxWidth:
		return fmt.Errorf("column %q is a %s: a row of model input %q has more values than a tensor can", f.Name, f.Type, in.Name)
	case open == 0 && total != want:
		return fmt.Errorf("model input %q wants %d values a row, but column %q is a %s of %d", in.Name, want, f.Name, f.Type, total)
	case open == 0:
		for _, d := range in.Shape[1:] {
			binding.Item = append(binding.Item, d.Size)
		}
		if !merges(dims, binding.Item) && !merges(binding.Item, dims) {
			return fmt.Errorf("model input %q wants rows of shape %v, but column %q is a %s of shape %v: values would come to stand in other places; a flat list of %d is taken as the model orders it",
				in.Name, binding.Item, f.Name, f.Type, dims, total)
		}
	case !in.HasShape || open == 1 && len(in.Shape) == 2 && len(dims) == 1:
		binding.Item = dims
	case len(dims) == len(in.Shape)-1:
		for i, d := range in.Shape[1:] {
			if d.Size >= 0 && d.Size != dims[i] {
				return fmt.Errorf("model input %q %s does not fit column %q, a %s", in.Name, describe(in), f.Name, f.Type)
			}
		}
		binding.Item = dims
	default:
		return fmt.Errorf("model input %q %s leaves its shape open, and column %q, a %s, has another rank", in.Name, describe(in), f.Name, f.Type)
	}
	feature, err := b.feature(in, e, elem)
	if err != nil {
		return err
	}
	if !known && feature.Cast < Checked {
		feature.Cast = Checked // of the lengths
	}
	feature.Width = int(total)
	binding.Features = []Feature{feature}
	binding.Width = int(total)
	b.plan.Bindings = append(b.plan.Bindings, binding)
	return nil
}

// merges says whether dimensions become others by making one of some side by side, which leaves
// all values in their order. Dimensions of one element decide no value's place.
func merges(fine, coarse []int64) bool {
	for _, c := range coarse {
		n := int64(1)
		for ; n < c && len(fine) > 0; fine = fine[1:] {
			n *= fine[0]
		}
		if n != c {
			return false
		}
	}
	return product(fine) == 1
}

// tensorShape is that of a column of Arrow's extension type for tensors of a fixed shape, which
// lie in flat lists; nil for other columns. The error says that values lie in another order.
//
// Source: https://arrow.apache.org/docs/format/CanonicalExtensions.html#fixed-shape-tensor
func tensorShape(f arrow.Field) ([]int64, error) {
	name, text := "", ""
	if t, ok := f.Type.(arrow.ExtensionType); ok {
		name, text = t.ExtensionName(), t.Serialize()
	} else if f.HasMetadata() {
		name, _ = f.Metadata.GetValue(ipc.ExtensionTypeKeyName)
		text, _ = f.Metadata.GetValue(ipc.ExtensionMetadataKeyName)
	}
	if name != "arrow.fixed_shape_tensor" {
		return nil, nil
	}
	var tensor struct {
		Shape       []int64 `json:"shape"`
		Permutation []int   `json:"permutation"`
	}
	if err := json.Unmarshal([]byte(text), &tensor); err != nil {
		return nil, fmt.Errorf("column %q is a tensor whose shape cannot be read: %w", f.Name, err)
	}
	if !slices.IsSorted(tensor.Permutation) {
		return nil, fmt.Errorf("column %q is a tensor of shape %v whose dimensions are permuted, %v: write it in the order that the model takes", f.Name, tensor.Shape, tensor.Permutation)
	}
	return tensor.Shape, nil
}
