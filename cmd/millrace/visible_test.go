package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// What a model says of itself paints no terminal, and begins no line that looks
// like one of ours.
func TestModelsPaintNoTerminal(t *testing.T) {
	const hostile = "\x1b[2Jred\u202e\r\nsha256     forged"
	p := onnxtest.Model(onnxtest.Graph(onnxtest.Values(onnxtest.Tensor(hostile, pb.TensorProto_FLOAT, hostile, 3)), onnxtest.Values(onnxtest.Tensor("y", pb.TensorProto_FLOAT, "N", 3)),
		onnxtest.DomainNode("ai.onnx.ml", "Scaler", onnxtest.Names(hostile), onnxtest.Names("y"), onnxtest.Floats("offset", 0), onnxtest.Floats("scale", 1))))
	p.ProducerName = new(hostile)
	p.MetadataProps = []*pb.StringStringEntryProto{{Key: new(hostile), Value: new(hostile)}, {Key: new("feature_names"), Value: new(`["a\u001b[2J","b\nsha256     forged","c"]`)}}
	r, err := inspectModel(t.Context(), onnxtest.Write(t, p), engine.KernelsAuto, nil)
	if err != nil {
		t.Fatal(err)
	}
	var out, stderr bytes.Buffer
	common := &commonOptions{LogFormat: "text"}
	if err := common.print(streams{Out: &out}, r); err != nil {
		t.Fatal(err)
	}
	common.reportError(streams{Err: &stderr}, errors.New(hostile+"\xff"), exitModel)
	for what, text := range map[string]string{"answer": out.String(), "error": stderr.String()} {
		if strings.ContainsAny(text, "\x1b\r\u202e") || strings.Contains(text, "\nsha256     forged") || strings.ToValidUTF8(text, "") != text || !strings.Contains(text, "red") {
			t.Errorf("%s: %q; want nothing that moves a cursor, and no forged line", what, text)
		}
	}
}
