package models

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/millrace/millrace/models/onnxpb"
)

// labelsKey is the metadata key of class labels that a rewritten graph no longer
// tells: a JSON object from an output's name to the list of its columns' labels,
// all strings or all integers.
const labelsKey = "millrace.output_labels"

// KeepLabels gives a model whose metadata hold the class labels that its graph,
// being rewritten, no longer tells, so that they are still known when it has been
// written to a file and opened again. m is not changed, and is given back where
// no label would be lost.
func KeepLabels(m *Model) (*Model, error) {
	kept, _, err := m.reparsed(withLabels)
	return kept, err
}

func withLabels(m *Model, p *parsedModel) (changed bool, err error) {
	lost := map[string]any{}
	for i, found := range outputLabels(p.GetGraph(), m.Outputs) {
		l, ok := m.OutputLabels(i)
		switch {
		case !ok || found.Equal(l):
		case len(l.Strings) > 0:
			lost[m.Outputs[i].Name] = l.Strings
		default:
			lost[m.Outputs[i].Name] = l.Ints
		}
	}
	if len(lost) == 0 {
		return false, nil
	}
	text, err := json.Marshal(lost)
	if err != nil {
		return false, err
	}
	p.MetadataProps = slices.DeleteFunc(p.GetMetadataProps(), func(e *onnxpb.StringStringEntryProto) bool { return e.GetKey() == labelsKey })
	p.MetadataProps = append(p.MetadataProps, &onnxpb.StringStringEntryProto{Key: new(labelsKey), Value: new(string(text))})
	m.Metadata = maps.Clone(m.Metadata)
	m.Metadata[labelsKey] = string(text)
	return true, nil
}

// keptLabels adds what KeepLabels wrote to the labels that the graph tells;
// what it cannot read, or what does not fit an output, it passes over.
func keptLabels(text string, outputs []Value, labels []ClassLabels) {
	var all map[string]json.RawMessage
	if text == "" || json.Unmarshal([]byte(text), &all) != nil {
		return
	}
	for i, v := range outputs {
		list := all[v.Name]
		if list == nil || labels[i].Len() > 0 || v.Kind != Tensor {
			continue
		}
		var l ClassLabels
		if json.Unmarshal(list, &l.Ints) != nil {
			l.Ints = nil
			if json.Unmarshal(list, &l.Strings) != nil {
				continue
			}
		}
		if n := len(v.Shape); n > 1 && v.Shape[n-1].Size >= 0 && v.Shape[n-1].Size != int64(l.Len()) {
			continue
		}
		labels[i] = l
	}
}
