package parquetfile

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/arrow-go/v18/parquet/schema"
)

// arrowSchemaKey is the file metadata in which Arrow writers keep the schema
// that a file was written from, as a base64 IPC message.
const arrowSchemaKey = "ARROW:schema"

const fieldIDKey = "PARQUET:field_id"

type nodeKind int

const (
	leafNode nodeKind = iota
	structNode
	listNode // list, large list, fixed size list or map; one child
)

// node is one level of a column: how levels become an array of dtype.
type node struct {
	kind     nodeKind
	dtype    arrow.DataType // of the array, extensions included
	storage  arrow.DataType // dtype without extension
	nullable bool
	levels   file.LevelInfo
	children []*node
	leaf     int // index of the leaf column; the first one below a group
}

// schemaOf gives a file's Arrow schema and the nodes of its top-level columns.
// pqarrow says which levels belong to which node; types are then corrected to
// what Arrow C++ gives (INT96 without a time zone, JSON as a string), and
// restored from the schema that the writer kept where that agrees with what
// is stored.
func schemaOf(md *metadata.FileMetaData) (*arrow.Schema, []*node, error) {
	manifest, err := pqarrow.NewSchemaManifest(md.Schema, nil, &pqarrow.ArrowReadProperties{})
	if err != nil {
		return nil, nil, unsupported("schema: %v", err)
	}
	origin := originOf(md)
	if len(origin) != len(manifest.Fields) {
		origin = make([]*originField, len(manifest.Fields)) // nil says unknown
	}
	fields := make([]arrow.Field, len(manifest.Fields))
	nodes := make([]*node, len(manifest.Fields))
	for i := range manifest.Fields {
		n := nodeOf(&manifest.Fields[i], md.Schema, origin[i])
		nodes[i] = n
		fields[i] = arrow.Field{
			Name: manifest.Fields[i].Field.Name, Type: n.dtype, Nullable: n.nullable,
			Metadata: fieldMetadata(manifest.Fields[i].Field.Metadata, origin[i]),
		}
	}
	var keys, values []string
	for _, kv := range md.KeyValueMetadata() {
		if kv.Key != arrowSchemaKey {
			keys, values = append(keys, kv.Key), append(values, kv.GetValue())
		}
	}
	fileMD := arrow.NewMetadata(keys, values)
	return arrow.NewSchema(fields, &fileMD), nodes, nil
}

// fieldMetadata joins the writer's metadata with the Parquet field id.
func fieldMetadata(parquetMD arrow.Metadata, origin *originField) arrow.Metadata {
	var keys, values []string
	if id, ok := parquetMD.GetValue(fieldIDKey); ok && id != "-1" {
		keys, values = append(keys, fieldIDKey), append(values, id)
	}
	if origin != nil {
		for i, k := range origin.keys {
			if k != fieldIDKey {
				keys, values = append(keys, k), append(values, origin.values[i])
			}
		}
	}
	return arrow.NewMetadata(keys, values)
}

func nodeOf(sf *pqarrow.SchemaField, sc *schema.Schema, origin *originField) *node {
	n := &node{nullable: sf.Field.Nullable, levels: sf.LevelInfo, leaf: sf.ColIndex}
	stored := sf.Field.Type
	if len(sf.Children) > 0 {
		if ext, ok := stored.(arrow.ExtensionType); ok {
			stored = ext.StorageType() // a variant: read as the struct it is stored in
		}
	}
	switch {
	case len(sf.Children) == 0:
		n.storage = leafType(stored, sc.Column(sf.ColIndex), origin)
	case stored.ID() == arrow.STRUCT:
		n.kind = structNode
		n.children = childNodes(sf, sc, origin)
		fields := make([]arrow.Field, len(n.children))
		for i, c := range n.children {
			fields[i] = childField(&sf.Children[i], c)
		}
		n.storage = arrow.StructOf(fields...)
	default:
		n.kind = listNode
		n.children = childNodes(sf, sc, origin)
		n.storage = listType(stored, childField(&sf.Children[0], n.children[0]), origin)
	}
	if n.kind == structNode && n.levels.DefLevel <= n.levels.RepeatedAncestorDefLevel {
		n.nullable = false // pqarrow calls repeated groups nullable
	}
	if n.kind != leafNode {
		n.leaf = n.children[0].leaf
	}
	n.dtype = n.storage
	if ext, ok := n.storage.(arrow.ExtensionType); ok {
		n.storage = ext.StorageType()
	} else if ext := origin.extension(n.storage); ext != nil {
		n.dtype = ext
	}
	return n
}

func childNodes(sf *pqarrow.SchemaField, sc *schema.Schema, origin *originField) []*node {
	nodes := make([]*node, len(sf.Children))
	for i := range sf.Children {
		nodes[i] = nodeOf(&sf.Children[i], sc, origin.child(i, len(sf.Children)))
	}
	return nodes
}

func childField(sf *pqarrow.SchemaField, n *node) arrow.Field {
	return arrow.Field{
		Name: sf.Field.Name, Type: n.dtype, Nullable: n.nullable,
		Metadata: fieldMetadata(sf.Field.Metadata, nil),
	}
}

func listType(stored arrow.DataType, elem arrow.Field, origin *originField) arrow.DataType {
	if _, ok := stored.(*arrow.MapType); ok {
		kv := elem.Type.(*arrow.StructType)
		return arrow.MapOfFields(kv.Field(0), kv.Field(1))
	}
	if origin != nil {
		switch origin.kind {
		case originLargeList:
			return arrow.LargeListOfField(elem)
		case originFixedSizeList:
			if origin.size > 0 {
				return arrow.FixedSizeListOfField(origin.size, elem)
			}
		}
	}
	return arrow.ListOfField(elem)
}

// leafType corrects and restores the type of a leaf. The result has the
// physical layout that leaf.go decodes for the column.
func leafType(stored arrow.DataType, col *schema.Column, origin *originField) arrow.DataType {
	switch physical := col.PhysicalType(); {
	case physical == parquet.Types.Int96:
		stored = &arrow.TimestampType{Unit: arrow.Nanosecond}
	case physical == parquet.Types.ByteArray && col.LogicalType().Equals(schema.JSONLogicalType{}):
		stored = arrow.BinaryTypes.String
	}
	if origin == nil {
		return stored
	}
	switch st := stored.(type) {
	case *arrow.TimestampType:
		if origin.kind == originTimestamp && origin.unit == st.Unit && st.TimeZone == "UTC" && origin.zone != "" {
			return &arrow.TimestampType{Unit: st.Unit, TimeZone: origin.zone}
		}
	case *arrow.Int64Type:
		if origin.kind == originDuration {
			return &arrow.DurationType{Unit: origin.unit}
		}
	case *arrow.StringType:
		if origin.kind == originLargeUtf8 {
			return arrow.BinaryTypes.LargeString
		}
	case *arrow.BinaryType:
		if origin.kind == originLargeBinary {
			return arrow.BinaryTypes.LargeBinary
		}
	case *arrow.Decimal128Type:
		if origin.kind == originDecimal && origin.size == 256 {
			return &arrow.Decimal256Type{Precision: st.Precision, Scale: st.Scale}
		}
	case *arrow.Date32Type:
		if origin.kind == originDate64 {
			return arrow.FixedWidthTypes.Date64
		}
	}
	return stored
}
