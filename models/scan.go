package models

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/millrace/millrace/models/onnxpb"
)

// maxMessageDepth is the deepest nesting of messages; ONNX Runtime's protobuf
// refuses more than 100 as well (CodedInputStream's default recursion limit).
const maxMessageDepth = 100

// What a parsed field costs in memory, roughly and rather too much: a generated
// struct with its pointer; a slice or string header; a scalar in a growing
// slice or behind a pointer.
const (
	messageBytes = 320
	headerBytes  = 48
	scalarBytes  = 16
)

// scan walks a serialised ModelProto without building it and refuses what would
// not parse, nests too deep, or would take more than opts.MaxParsedBytes: two
// bytes on disk can become a message of some hundred bytes in memory.
func scan(data []byte, opts Options) error {
	s := scanner{left: opts.MaxParsedBytes, limit: opts.MaxParsedBytes}
	at, err := s.message(data, new(onnxpb.ModelProto).ProtoReflect().Descriptor(), 0)
	if err == nil {
		return nil
	}
	if s.refused != nil {
		return s.refused
	}
	// A real model starts with a field or two that can be read; other files
	// fail on the first byte or soon after.
	if at == 0 || !startsLikeModel(data) {
		return fmt.Errorf("%w: its bytes are not a protobuf message", ErrNotONNX)
	}
	return damagedf("cannot be read past byte %d of %d (cut short?)", at, len(data))
}

type scanner struct {
	left, limit int64
	refused     error // when the message is well formed but not acceptable
}

func (s *scanner) take(n int64) error {
	if s.left -= n; s.left < 0 {
		s.refused = fmt.Errorf("%w: parsed, it would take more than %d bytes of memory", ErrTooLarge, s.limit)
		return s.refused
	}
	return nil
}

// message walks one message; at is where the field begins that err is about.
func (s *scanner) message(b []byte, md protoreflect.MessageDescriptor, depth int) (at int, err error) {
	if depth > maxMessageDepth {
		s.refused = unsafef("messages nest deeper than %d", maxMessageDepth)
		return 0, s.refused
	}
	if err := s.take(messageBytes); err != nil {
		return 0, err
	}
	fields := md.Fields()
	var fd protoreflect.FieldDescriptor
	for at < len(b) {
		if fd != nil {
			if n, fields := scalarsLike(b[at:], fd); fields > 0 {
				if err := s.take(int64(fields) * scalarBytes); err != nil {
					return at, err
				}
				at += n
				continue
			}
		}
		num, typ, n := protowire.ConsumeTag(b[at:])
		if n < 0 {
			return at, protowire.ParseError(n)
		}
		m := protowire.ConsumeFieldValue(num, typ, b[at+n:])
		if m < 0 {
			return at, protowire.ParseError(m)
		}
		// Repeated scalars come one by one: remember the last field.
		if fd == nil || fd.Number() != num {
			fd = fields.ByNumber(num)
		}
		if err := s.field(b[at+n:at+n+m], fd, typ, depth); err != nil {
			return at, err
		}
		at += n + m
	}
	return at, nil
}

// scalarsLike counts the well formed scalars at the beginning of b that are further
// values of a field, and their bytes. Tree ensembles are lists of hundreds of
// thousands, most of them written one by one.
func scalarsLike(b []byte, fd protoreflect.FieldDescriptor) (n, fields int) {
	if fd.Number() > 15 { // two bytes of tag
		return 0, 0
	}
	varint, fixed := byte(fd.Number())<<3|byte(protowire.VarintType), byte(fd.Number())<<3|byte(protowire.Fixed32Type)
	for n < len(b) {
		switch b[n] {
		case varint:
			end := n + 1
			for end < len(b) && b[end] >= 0x80 {
				end++
			}
			if end-n > 9 || end == len(b) { // the tenth byte is the parser's to judge
				return n, fields
			}
			n = end + 1
		case fixed:
			if len(b)-n < 5 {
				return n, fields
			}
			n += 5
		default:
			return n, fields
		}
		fields++
	}
	return n, fields
}

func (s *scanner) field(value []byte, fd protoreflect.FieldDescriptor, typ protowire.Type, depth int) error {
	if fd == nil { // kept as bytes by the parser
		return s.take(int64(len(value)) + scalarBytes)
	}
	if typ != protowire.BytesType {
		return s.take(scalarBytes)
	}
	content, _ := protowire.ConsumeBytes(value)
	switch fd.Kind() {
	case protoreflect.MessageKind:
		_, err := s.message(content, fd.Message(), depth+1)
		return err
	case protoreflect.StringKind, protoreflect.BytesKind:
		return s.take(int64(len(content)) + headerBytes)
	case protoreflect.FloatKind, protoreflect.DoubleKind: // packed, fixed width
		return s.take(int64(len(content)) * 2)
	default: // packed varints: a byte or more for each, eight in memory
		return s.take(int64(len(content)) * 8)
	}
}

// startsLikeModel says whether the first field could be a ModelProto's.
func startsLikeModel(data []byte) bool {
	num, typ, n := protowire.ConsumeTag(data)
	if n < 0 {
		return false
	}
	switch num {
	case 1: // ir_version
		v, m := protowire.ConsumeVarint(data[n:])
		return typ == protowire.VarintType && m > 0 && v >= 1 && v <= 1000
	case 5:
		return typ == protowire.VarintType
	case 2, 3, 4, 6, 7, 8, 14, 20, 25, 26:
		return typ == protowire.BytesType
	}
	return false
}
