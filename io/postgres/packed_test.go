package postgres

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// stream is a COPY in binary of one column: these values.
func stream(values ...[]byte) []byte {
	out := bytes.Clone(copyHeader)
	for _, v := range values {
		out = binary.BigEndian.AppendUint16(out, 1)
		out = binary.BigEndian.AppendUint32(out, uint32(len(v)))
		out = append(out, v...)
	}
	return binary.BigEndian.AppendUint16(out, copyEnd)
}

// Two tuples of two fields, by the manual's "Binary Format", and what they are with a third.
const (
	tupleA, tupleB = "\x00\x02\x00\x00\x00\x01x\xff\xff\xff\xff", "\x00\x02\x00\x00\x00\x00\x00\x00\x00\x02yz"
	addedA, addedB = "\x00\x03\x00\x00\x00\x01x\xff\xff\xff\xff\x00\x00\x00\x03run", "\x00\x03\x00\x00\x00\x00\x00\x00\x00\x02yz\x00\x00\x00\x03run"
)

// Two rows of lengths 1 and 2, and what they are as tuples with a third field.
const (
	evenA     = "\x00\x00\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x02abcdef"
	evenAdded = "\x00\x03\x00\x00\x00\x01a\x00\x00\x00\x02bc\x00\x00\x00\x03run\x00\x03\x00\x00\x00\x01d\x00\x00\x00\x02ef\x00\x00\x00\x03run"
)

func TestUnpacked(t *testing.T) {
	header, end := string(copyHeader), "\xff\xff"
	tests := []struct {
		why  string
		in   []byte
		want string
		err  error
	}{
		{"no piece", stream(), header + end, nil},
		{"a piece of one tuple", stream([]byte(tupleA)), header + addedA + end, nil},
		{"pieces of several, and an empty one", stream([]byte(tupleA+tupleB), nil, []byte(tupleB)), header + addedA + addedB + addedB + end, nil},
		{"a stream that stops in its header", stream()[:7], "", io.ErrUnexpectedEOF},
		{"a stream that stops between pieces", bytes.TrimSuffix(stream([]byte(tupleA)), []byte("\xff\xff")), "", io.ErrUnexpectedEOF},
		{"a stream that stops in a piece", stream([]byte(tupleA))[:30], "", io.ErrUnexpectedEOF},
		{"a stream of another query", bytes.Replace(stream([]byte(tupleA)), []byte("\x00\x01\x00\x00\x00\x0b"), []byte("\x00\x02\x00\x00\x00\x0b"), 1), "", errStream},
		{"a piece that is null", bytes.Replace(stream([]byte(tupleA)), []byte("\x00\x00\x00\x0b"), []byte("\xff\xff\xff\xff"), 1), "", ErrPacked},
		{"a tuple of another number of fields", stream([]byte("\x00\x01\x00\x00\x00\x01x")), "", ErrPacked},
		{"a piece that ends in a count of fields", stream([]byte(tupleA + "\x00")), "", ErrPacked},
		{"a piece that ends in a length", stream([]byte(tupleA + "\x00\x02\x00\x00")), "", ErrPacked},
		{"a piece that ends in a field", stream([]byte(tupleA[:7])), "", ErrPacked},
		{"a field of a length below null's", stream([]byte("\x00\x02\xff\xff\xff\xfe\xff\xff\xff\xff")), "", ErrPacked},
		{"a piece of rows with the same lengths", stream([]byte(evenA)), header + evenAdded + end, nil},
		{"pieces of both kinds", stream([]byte(tupleA), []byte(evenA), []byte(tupleB)), header + addedA + evenAdded + addedB + end, nil},
		{"rows with the same lengths, in a piece that ends in them", stream([]byte(evenA[:12])), "", ErrPacked},
		{"one that ends before its lengths", stream([]byte(evenA[:2])), "", ErrPacked},
		{"one that lacks a value", stream([]byte(evenA[:len(evenA)-1])), "", ErrPacked},
		{"one with a row more than it says", stream([]byte(evenA + "abc")), "", ErrPacked},
		{"rows of no bytes, of which there could be any number", stream([]byte("\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00")), "", ErrPacked},
		{"the same length below null's", stream([]byte("\x00\x00\x00\x00\x00\x01\xff\xff\xff\xfe\x00\x00\x00\x01x")), "", ErrPacked},
		{"the same length beyond the piece", stream([]byte("\x00\x00\x00\x00\x00\x01\x7f\xff\xff\xff\x7f\xff\xff\xffx")), "", ErrPacked},
		{"a field longer than its piece", stream([]byte("\x00\x02\x7f\xff\xff\xff\xff\xff\xff\xff")), "", ErrPacked},
	}
	for _, test := range tests {
		t.Run(test.why, func(t *testing.T) {
			for name, in := range map[string]io.Reader{"at once": bytes.NewReader(test.in), "byte by byte": iotest.OneByteReader(bytes.NewReader(test.in))} {
				got, err := io.ReadAll(NewUnpacked(in, 2, "run"))
				if !errors.Is(err, test.err) {
					t.Errorf("%s: error %v; want %v", name, err, test.err)
				}
				if test.err == nil && string(got) != test.want {
					t.Errorf("%s: %q; want %q", name, got, test.want)
				}
				if test.err != nil && strings.HasSuffix(string(got), end) {
					t.Errorf("%s: %q has an end, by which a server would take it", name, got)
				}
			}
		})
	}
}

func FuzzUnpacked(f *testing.F) {
	f.Add(stream([]byte(tupleA + tupleB))[len(copyHeader):])
	f.Add(stream([]byte(evenA))[len(copyHeader):])
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := io.ReadAll(NewUnpacked(bytes.NewReader(append(bytes.Clone(copyHeader), data...)), 2, "run"))
		if err == nil && !bytes.HasSuffix(got, []byte("\xff\xff")) {
			t.Errorf("%q has no end, and there is no error", got)
		}
	})
}
