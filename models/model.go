package models

import (
	"encoding/json"
	"io/fs"
	"slices"
	"strings"
)

// Opset is one operator set a model imports; the empty domain is ai.onnx.
type Opset struct {
	Domain  string
	Version int64
}

// Operator is one kind of node and how many of it the model's graphs hold.
type Operator struct {
	Domain string // "" is ai.onnx
	Name   string
	Nodes  int
}

// String names an operator as ONNX documents do, such as ai.onnx.ml.ZipMap.
func (o Operator) String() string {
	if o.Domain == "" {
		return o.Name
	}
	return o.Domain + "." + o.Name
}

// ExternalFile is a file beside the model that holds some of its tensors.
type ExternalFile struct {
	Location string // as the model names it, relative to its folder
	Bytes    int64
	SHA256   string // hex

	info fs.FileInfo // when it was digested
}

// Model is what a checked .onnx file says about itself, together with the bytes
// that were checked, so that what runs is what was hashed even if the file is
// replaced meanwhile. External data files are read again by ONNX Runtime, so Changed and
// Overwritten are to be asked.
//
// A Model is immutable; slices and maps in it are shared and must not be
// changed.
type Model struct {
	Path string
	// SHA256 is the hex digest of the file, also after a rewrite. Where tensors lie in External
	// files it is that of them all: of a text of one line each, the model's own first, as
	// sha256sum prints them with what the model calls them ("-" for itself).
	SHA256     string
	FileSHA256 string // of the file alone
	Bytes      int64  // of the file

	IRVersion       int64
	Opsets          []Opset
	Producer        string
	ProducerVersion string
	Domain          string
	ModelVersion    int64
	GraphName       string
	Doc             string
	Metadata        map[string]string

	// Inputs leaves out graph inputs that have an initializer: those are
	// constants with a name, not data.
	Inputs  []Value
	Outputs []Value

	// Operators are the kinds of nodes of all graphs and model-local functions,
	// sorted by domain and name.
	Operators []Operator
	// Custom are the operators that neither ONNX nor ONNX Runtime defines and
	// the model has no function for: a session cannot be made without a library
	// that brings them.
	Custom []Operator
	// External are the files of external data, in order of first use.
	External []ExternalFile
	// Rewrites says, one sentence each, what was changed in the graph after the
	// file was read; empty for a model as it was found.
	Rewrites []string

	data   []byte
	folder string
	labels []ClassLabels // by output; both lists nil where there are none
	ours   bool          // UseKernels put operators of ours into the graph

	rowElements int // see RowElements
}

// Data is the serialised ModelProto that a session is made from: the file's
// bytes, or those of the rewritten graph. Borrowed; the caller must not change
// them.
func (m *Model) Data() []byte { return m.data }

// OwnKernels says that the graph has operators of KernelDomain, which a session
// needs to be told of.
func (m *Model) OwnKernels() bool { return m.ours }

// Folder is where locations of external data are relative to.
func (m *Model) Folder() string { return m.folder }

// FeatureNames are the names of the features of the model's one matrix input,
// in column order, from the metadata key feature_names: a JSON array of strings
// or a comma separated list. Nil when the model has no such list or it cannot
// be read.
func (m *Model) FeatureNames() []string {
	names, _ := featureNames(m.Metadata["feature_names"])
	return names
}

// UnreadFeatureNames is the text of the metadata key feature_names where it is no list that
// FeatureNames reads, such as one with Python's quotes; else empty.
func (m *Model) UnreadFeatureNames() string {
	text := m.Metadata["feature_names"]
	if _, ok := featureNames(text); ok {
		return ""
	}
	return text
}

func featureNames(text string) (names []string, ok bool) {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, true
	}
	if strings.HasPrefix(text, "[") {
		if json.Unmarshal([]byte(text), &names) != nil {
			return nil, false
		}
		return names, true
	}
	names = strings.Split(text, ",")
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	return names, true
}

// OutputLabels are the class labels of an output's columns, when the output
// holds the scores of a classifier: [N,C] for C labels. It is false for other
// outputs, for the predicted label itself, and where the graph does not tell.
// Where the model leaves the width open, whoever runs it compares it with Len.
func (m *Model) OutputLabels(output int) (ClassLabels, bool) {
	if output < 0 || output >= len(m.labels) {
		return ClassLabels{}, false
	}
	l := m.labels[output]
	return l, l.Len() > 0
}

// Len is the number of classes.
func (l ClassLabels) Len() int { return max(len(l.Strings), len(l.Ints)) }

// Equal says whether two lists hold the same labels in the same order.
func (l ClassLabels) Equal(other ClassLabels) bool {
	return slices.Equal(l.Strings, other.Strings) && slices.Equal(l.Ints, other.Ints)
}
