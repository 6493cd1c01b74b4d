package arrowfile

import (
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/endian"
)

// column is one field of the schema, as record batches lay it out.
type column struct {
	dtype    arrow.DataType // as given out; an extension stays on top
	storage  arrow.DataType // dtype without extension
	children []column       // of storage; none for a dictionary
	dictID   int64          // when storage is a dictionary
}

// fileSchema is the schema of a file together with how its batches are laid
// out.
type fileSchema struct {
	schema  *arrow.Schema // in the machine's byte order
	columns []column
	dicts   map[int64]*column // the values of each dictionary, by id
	big     bool              // numbers are stored most significant byte first
}

// Slots of the schema's tables; the numbers are format/Schema.fbs's order.
const (
	schemaEndianness, schemaFields, schemaMetadata               = 0, 1, 2
	fieldName, fieldNullable, fieldTypeType, fieldType           = 0, 1, 2, 3
	fieldDictionary, fieldChildren, fieldMetadata                = 4, 5, 6
	dictionaryID, dictionaryIndex, dictionaryOrdered, dictionary = 0, 1, 2, 3
)

// schemaOf reads a Schema table.
func schemaOf(t table) (*fileSchema, error) {
	s := &fileSchema{dicts: make(map[int64]*column)}
	switch e := t.i16(schemaEndianness, 0); e {
	case 0:
	case 1:
		s.big = true
	default:
		t.f.fail("endianness %d", e)
	}
	at := t.tables(schemaFields)
	fields := make([]arrow.Field, len(at))
	s.columns = make([]column, len(at))
	for i, pos := range at {
		var err error
		if fields[i], s.columns[i], err = s.field(t.f.tableAt(pos), 1); err != nil {
			return nil, err
		}
	}
	md := keyValues(t, schemaMetadata)
	if t.f.err != nil {
		return nil, damaged("schema: %v", t.f.err)
	}
	s.schema = arrow.NewSchemaWithEndian(fields, &md, endian.NativeEndian)
	return s, nil
}

// keyValues reads a vector of KeyValue tables.
func keyValues(t table, slot int) arrow.Metadata {
	at := t.tables(slot)
	keys, values := make([]string, len(at)), make([]string, len(at))
	for i, pos := range at {
		kv := t.f.tableAt(pos)
		keys[i], values[i] = kv.text(0), kv.text(1)
	}
	return arrow.NewMetadata(keys, values)
}

// field reads a Field table and those below it.
func (s *fileSchema) field(t table, depth int) (arrow.Field, column, error) {
	f := arrow.Field{Name: t.text(fieldName), Nullable: t.boolean(fieldNullable), Metadata: keyValues(t, fieldMetadata)}
	if depth > maxDepth {
		return f, column{}, unsupported("fields are nested deeper than %d levels", maxDepth)
	}
	at := t.tables(fieldChildren)
	children := make([]arrow.Field, len(at))
	c := column{children: make([]column, len(at))}
	for i, pos := range at {
		var err error
		if children[i], c.children[i], err = s.field(t.f.tableAt(pos), depth+1); err != nil {
			return f, c, err
		}
	}
	typ, _ := t.table(fieldType)
	dtype, err := typeOf(t.u8(fieldTypeType), typ, children)
	if t.f.err != nil {
		return f, c, damaged("schema: %v", t.f.err)
	}
	if err != nil {
		return f, c, fmt.Errorf("field %q: %w", f.Name, err)
	}
	c.storage = dtype
	if enc, ok := t.table(fieldDictionary); ok {
		if c, err = s.dictionary(enc, c); err != nil {
			return f, c, fmt.Errorf("field %q: %w", f.Name, err)
		}
	}
	if t.f.err != nil {
		return f, c, damaged("schema: %v", t.f.err)
	}
	if c.dtype = extensionOf(f.Metadata, c.storage); c.dtype.ID() == arrow.EXTENSION {
		f.Metadata = without(f.Metadata, extensionName, extensionMetadata) // the type says it
	}
	f.Type = c.dtype
	return f, c, nil
}

// dictionary turns a column of values into the column of its indices and
// remembers how the dictionary's own batches are laid out.
func (s *fileSchema) dictionary(t table, values column) (column, error) {
	index := arrow.PrimitiveTypes.Int32
	if it, ok := t.table(dictionaryIndex); ok {
		var err error
		if index, err = intOf(it); err != nil {
			return column{}, err
		}
	}
	if kind := t.i16(dictionary, 0); kind != 0 {
		return column{}, unsupported("dictionary of kind %d", kind)
	}
	id := t.i64(dictionaryID)
	if t.f.err != nil {
		return column{}, damaged("schema: %v", t.f.err)
	}
	values.dtype = values.storage
	if known, ok := s.dicts[id]; !ok {
		s.dicts[id] = &values
	} else if !arrow.TypeEqual(known.dtype, values.dtype) {
		return column{}, damaged("dictionary %d is declared as %s and as %s", id, known.dtype, values.dtype)
	}
	dtype := &arrow.DictionaryType{IndexType: index, ValueType: values.dtype, Ordered: t.boolean(dictionaryOrdered)}
	return column{storage: dtype, dictID: id}, nil
}

// Keys of a field's metadata that name an extension type.
const (
	extensionName     = "ARROW:extension:name"
	extensionMetadata = "ARROW:extension:metadata"
)

// extensionOf returns the registered extension type that the metadata names,
// or storage where it is not known or does not accept the storage.
func extensionOf(md arrow.Metadata, storage arrow.DataType) (dtype arrow.DataType) {
	name, ok := md.GetValue(extensionName)
	if !ok {
		return storage
	}
	known := arrow.GetExtensionType(name)
	if known == nil {
		return storage
	}
	// Deserialize is code of an extension and sees bytes of a file.
	defer func() {
		if recover() != nil {
			dtype = storage
		}
	}()
	parameters, _ := md.GetValue(extensionMetadata)
	ext, err := known.Deserialize(storage, parameters)
	if err != nil || ext == nil || !arrow.TypeEqual(ext.StorageType(), storage) {
		return storage
	}
	return ext
}

// without returns md without some keys.
func without(md arrow.Metadata, drop ...string) arrow.Metadata {
	var keys, values []string
	for i, k := range md.Keys() {
		if !slices.Contains(drop, k) {
			keys, values = append(keys, k), append(values, md.Values()[i])
		}
	}
	return arrow.NewMetadata(keys, values)
}

// nullsAreValidity reports whether the validity bitmap alone says which rows
// of a column are null.
func (c *column) nullsAreValidity() bool {
	switch c.storage.ID() {
	case arrow.DICTIONARY, arrow.SPARSE_UNION, arrow.DENSE_UNION, arrow.RUN_END_ENCODED:
		return false
	default:
		return true
	}
}

// project returns a schema of the fields at the listed indexes.
func (s *fileSchema) project(columns []int) (*arrow.Schema, error) {
	fields := make([]arrow.Field, len(columns))
	for i, c := range columns {
		if c < 0 || c >= len(s.columns) {
			return nil, fmt.Errorf("column %d: the file has %d columns", c, len(s.columns))
		}
		fields[i] = s.schema.Field(c)
	}
	md := s.schema.Metadata()
	return arrow.NewSchema(fields, &md), nil
}
