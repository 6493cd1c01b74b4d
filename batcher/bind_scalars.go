package batcher

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/models"
)

// bindScalars binds columns of one value a row: [N], [N,1] or [N,F].
func (b *binder) bindScalars(in *models.Value, entries []entry, source listSource) error {
	width := int64(0)
	for i := range entries {
		width += entries[i].width()
	}
	if width > maxWidth {
		return fmt.Errorf("model input %q: the features have %d values a row, more than a tensor can", in.Name, width)
	}
	binding := Binding{Input: *in, Form: Column, Width: int(width)}
	switch {
	case !in.HasShape:
		binding.Item = []int64{width}
	case len(in.Shape) == 1:
		if width != 1 {
			return fmt.Errorf("model input %q is [N], one value a row, but %d %s are bound to it", in.Name, width, counted(entries))
		}
	default:
		want, open := itemElements(in.Shape)
		if open > 1 || len(in.Shape) > 2 && open == 1 {
			return fmt.Errorf("model input %q %s leaves more than its rows open: only a FixedSizeList column can tell its shape", in.Name, describe(in))
		}
		if open == 1 && width > 1 && in.Shape[0].Size == width { // [F,N] of F features: each batch would be F rows on their side
			return fmt.Errorf("model input %q %s fixes its first dimension to %d, and has %d %s: it looks like [features, rows], and rows are given in the first; "+
				"export the model with them there, or give a FixedSizeList column if that is a batch of %d rows", in.Name, describe(in), width, width, counted(entries), width)
		}
		if open == 0 && want != width {
			return b.wrongWidth(in, entries, want, source)
		}
		for _, d := range in.Shape[1:] {
			binding.Item = append(binding.Item, d.Size)
		}
		if open == 1 {
			binding.Item = []int64{width}
		}
	}
	if width > 1 {
		binding.Form = Matrix
	}
	var problems []error
	offset := 0
	for _, e := range entries {
		feature, err := b.scalar(in, e, len(entries))
		if err != nil {
			problems = append(problems, err)
			continue
		}
		feature.Offset = offset
		offset += feature.Width
		binding.Features = append(binding.Features, feature)
	}
	if len(problems) > 0 {
		return errors.Join(problems...)
	}
	b.plan.Bindings = append(b.plan.Bindings, binding)
	return nil
}

// scalar is the feature of one of some entries that are no lists.
func (b *binder) scalar(in *models.Value, e entry, of int) (Feature, error) {
	if e.program != nil {
		return b.computed(in, e)
	}
	if isList(e.field.Type) {
		return Feature{}, fmt.Errorf("model input %q takes %d columns of one value each, but %q is a %s", in.Name, of, e.name, e.field.Type)
	}
	return b.feature(in, e, e.field.Type)
}

// counted is what is counted of entries: columns, or the values of features.
func counted(entries []entry) string {
	if slices.ContainsFunc(entries, func(e entry) bool { return e.program != nil }) {
		return "values of features"
	}
	return "columns"
}

func (b *binder) wrongWidth(in *models.Value, entries []entry, want int64, source listSource) error {
	names := make([]string, len(entries))
	wide := []string{}
	total := int64(0)
	for i := range entries {
		e := &entries[i]
		names[i] = e.name
		total += e.width()
		if e.width() != 1 {
			wide = append(wide, fmt.Sprintf("%q has %d", e.name, e.width()))
		}
	}
	if source == fromName && entries[0].program == nil {
		return fmt.Errorf("model input %q wants %d features a row, but column %q has one value a row; give --features, or a FixedSizeList column", in.Name, want, names[0])
	}
	if source == fromBind {
		source += listSource(" " + in.Name)
	}
	if len(wide) > 0 {
		return fmt.Errorf("model input %q wants %d features; %s gives %d values a row: %s", in.Name, want, source, total, some(wide))
	}
	hint := ""
	if int64(len(entries)) < want {
		candidates := b.opts.Metadata
		if len(candidates) == 0 || source == fromMetadata {
			candidates = b.names
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
	return fmt.Errorf("model input %q wants %d features; %s names %d%s", in.Name, want, source, len(entries), hint)
}

// some joins the first of some words, and counts the others.
func some(words []string) string {
	const most = 8
	if len(words) <= most {
		return strings.Join(words, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(words[:most], ", "), len(words)-most)
}
