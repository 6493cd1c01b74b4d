package batcher

import (
	"errors"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/models"
)

// bindScalars binds columns of one value a row: [N], [N,1] or [N,F].
func (b *binder) bindScalars(in *models.Value, fields []arrow.Field, source listSource) error {
	width := int64(len(fields))
	binding := Binding{Input: *in, Form: Column, Width: len(fields)}
	switch {
	case !in.HasShape:
		binding.Item = []int64{width}
	case len(in.Shape) == 1:
		if width != 1 {
			return fmt.Errorf("model input %q is [N], one value a row, but %d columns are bound to it", in.Name, width)
		}
	default:
		want, open := itemElements(in.Shape)
		if open > 1 || len(in.Shape) > 2 && open == 1 {
			return fmt.Errorf("model input %q %s leaves more than its rows open: only a FixedSizeList column can tell its shape", in.Name, describe(in))
		}
		if open == 0 && want != width {
			return b.wrongWidth(in, fields, want, source)
		}
		for _, d := range in.Shape[1:] {
			binding.Item = append(binding.Item, d.Size)
		}
		if open == 1 {
			binding.Item = []int64{width}
		}
	}
	if len(fields) > 1 {
		binding.Form = Matrix
	}
	var problems []error
	for _, f := range fields {
		if isList(f.Type) {
			problems = append(problems, fmt.Errorf("model input %q takes %d columns of one value each, but %q is a %s", in.Name, len(fields), f.Name, f.Type))
			continue
		}
		feature, err := b.feature(in, f, f.Type)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		binding.Features = append(binding.Features, feature)
	}
	if len(problems) > 0 {
		return errors.Join(problems...)
	}
	b.plan.Bindings = append(b.plan.Bindings, binding)
	return nil
}

func (b *binder) wrongWidth(in *models.Value, fields []arrow.Field, want int64, source listSource) error {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	if source == fromName {
		return fmt.Errorf("model input %q wants %d features a row, but column %q has one value a row; give --features, or a FixedSizeList column", in.Name, want, names[0])
	}
	if source == fromBind {
		source += listSource(" " + in.Name)
	}
	hint := ""
	if int64(len(fields)) < want {
		candidates := b.opts.Metadata
		if len(candidates) == 0 || source == fromMetadata {
			candidates = columnNames(b.schema)
		}
		missing := slices.DeleteFunc(slices.Clone(candidates), func(c string) bool { return slices.Contains(names, c) })
		if len(missing) > 0 {
			hint = fmt.Sprintf(" (missing: %s?)", quoted(missing))
		}
	} else {
		var extra []string
		for i, n := range names {
			if len(b.opts.Metadata) > 0 && !slices.Contains(b.opts.Metadata, n) || slices.Contains(names[:i], n) {
				extra = append(extra, n)
			}
		}
		if len(extra) > 0 {
			hint = fmt.Sprintf(" (too many: %s?)", quoted(extra))
		}
	}
	return fmt.Errorf("model input %q wants %d features; %s names %d%s", in.Name, want, source, len(fields), hint)
}
