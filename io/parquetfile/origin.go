package parquetfile

import (
	"encoding/base64"
	"encoding/binary"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet/metadata"
)

// originKind is a type of the schema that a file was written from. Only those
// that Parquet does not keep are told apart. The numbers are the union tags of
// the Type union in arrow:format/Schema.fbs.
type originKind uint8

const (
	originBinary        originKind = 4
	originUtf8          originKind = 5
	originDecimal       originKind = 7
	originDate          originKind = 8
	originTimestamp     originKind = 10
	originFixedSizeList originKind = 16
	originDuration      originKind = 18
	originLargeBinary   originKind = 19
	originLargeUtf8     originKind = 20
	originLargeList     originKind = 21

	originDate64 originKind = 0xff // Date with unit milliseconds
)

// Limits on a stored schema; past them it is ignored.
const (
	maxOriginDepth  = 32
	maxOriginFields = 1 << 20
)

// originField is one field of the schema that the writer kept. Methods take a
// nil receiver, which says that nothing is known.
type originField struct {
	kind         originKind
	unit         arrow.TimeUnit // timestamp, duration
	zone         string         // timestamp
	size         int32          // fixed size list: values; decimal: bits
	children     []*originField
	keys, values []string
}

func (o *originField) child(i, of int) *originField {
	if o == nil || len(o.children) != of {
		return nil
	}
	return o.children[i]
}

// extension is the registered extension type that the writer named, where it
// is stored as storage; nil where there is none.
func (o *originField) extension(storage arrow.DataType) arrow.DataType {
	if o == nil {
		return nil
	}
	var name, serialized string
	for i, k := range o.keys {
		switch k {
		case "ARROW:extension:name":
			name = o.values[i]
		case "ARROW:extension:metadata":
			serialized = o.values[i]
		}
	}
	if name == "" {
		return nil
	}
	registered := arrow.GetExtensionType(name)
	if registered == nil {
		return nil
	}
	ext, err := registered.Deserialize(storage, serialized)
	if err != nil || !arrow.TypeEqual(ext.StorageType(), storage) {
		return nil
	}
	return ext
}

// originOf gives the top-level fields of the schema that the writer kept in the
// file's metadata, or nil. What is damaged there only loses type details, so
// it is not an error.
//
// The bytes are walked here rather than by arrow-go's IPC reader, which takes
// offsets and counts on trust.
func originOf(md *metadata.FileMetaData) []*originField {
	stored := md.KeyValueMetadata().FindValue(arrowSchemaKey)
	if stored == nil {
		return nil
	}
	return decodeOrigin(*stored)
}

func decodeOrigin(stored string) []*originField {
	enc := base64.StdEncoding
	if len(stored)%4 != 0 {
		enc = base64.RawStdEncoding
	}
	message, err := enc.DecodeString(stored)
	if err != nil {
		return nil
	}
	// Encapsulated message: continuation u32 (since 0.15), length u32, Message.
	if len(message) >= 4 && binary.LittleEndian.Uint32(message) == 0xffffffff {
		message = message[4:]
	}
	if len(message) < 8 {
		return nil
	}
	f := &flat{b: message[4:], left: maxOriginFields}
	schema := f.root().table(2) // Message.header, a Schema
	fields := f.fields(schema, 1, 0)
	if f.bad {
		return nil
	}
	return fields
}

// fields reads a vector of Field tables.
//
//	Field: name 0, nullable 1, type_type 2, type 3, dictionary 4, children 5, custom_metadata 6
func (f *flat) fields(t flatTable, slot, depth int) []*originField {
	at := t.vector(slot)
	if depth > maxOriginDepth {
		f.bad = true
	}
	if f.bad {
		return nil
	}
	out := make([]*originField, len(at))
	for i, pos := range at {
		ft := f.tableAt(pos)
		o := &originField{kind: originKind(ft.u8(2))}
		typ := ft.table(3)
		switch o.kind {
		case originTimestamp: // unit 0, timezone 1
			o.unit, o.zone = f.unit(typ.i16(0, 0)), typ.text(1)
		case originDuration: // unit 0, milliseconds by default
			o.unit = f.unit(typ.i16(0, 1))
		case originFixedSizeList: // listSize 0
			o.size = typ.i32(0, 0)
		case originDecimal: // precision 0, scale 1, bitWidth 2
			o.size = typ.i32(2, 128)
		case originDate: // unit 0, milliseconds by default
			if typ.i16(0, 1) == 1 {
				o.kind = originDate64
			}
		}
		for _, kv := range ft.vector(6) { // key 0, value 1
			t := f.tableAt(kv)
			o.keys, o.values = append(o.keys, t.text(0)), append(o.values, t.text(1))
		}
		o.children = f.fields(ft, 5, depth+1)
		if f.bad {
			return nil
		}
		out[i] = o
	}
	return out
}

func (f *flat) unit(u int16) arrow.TimeUnit {
	if u < int16(arrow.Second) || u > int16(arrow.Nanosecond) {
		f.bad = true
	}
	return arrow.TimeUnit(u)
}
