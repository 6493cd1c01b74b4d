package parquetfile

import (
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/metadata"
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
	name     string
	fieldID  int32          // -1 where there is none
	dtype    arrow.DataType // of the array, extensions included
	storage  arrow.DataType // dtype without extension
	nullable bool
	levels   levelInfo
	children []*node
	leaf     int // index of the leaf column; the first one below a group
}

// levelInfo says which levels mean what for a node.
type levelInfo struct {
	// def is the definition level from which the node is there; for a list,
	// from which it has a value.
	def int16
	// rep is the repetition level of the closest list around the node, itself
	// included.
	rep int16
	// ancestor is the definition level from which the closest list around the
	// node, itself not included, has a value; below it the node has no slot.
	ancestor int16
}

// within is the levels of what stands inside a list with these levels.
func (l levelInfo) within() levelInfo { l.ancestor = l.def; return l }

// schemaReader turns a Parquet schema into nodes.
type schemaReader struct {
	leaves int // seen so far; leaf columns are numbered depth first
}

// schemaOf gives a file's Arrow schema and the nodes of its top-level columns,
// with the types that Arrow C++ gives them. Types that Parquet does not keep
// are restored from the schema that the writer left in the file's metadata
// where that agrees with what is stored.
//
// A LIST or MAP annotation on a group of another shape is ignored: the group is
// then a struct, or a list of structs.
func schemaOf(md *metadata.FileMetaData) (*arrow.Schema, []*node, error) {
	root := md.Schema.Root()
	origin := originOf(md)
	if len(origin) != root.NumFields() {
		origin = make([]*originField, root.NumFields()) // nil says unknown
	}
	var s schemaReader
	fields := make([]arrow.Field, root.NumFields())
	nodes := make([]*node, root.NumFields())
	for i := range nodes {
		n := s.node(root.Field(i), levelInfo{}, origin[i])
		nodes[i], fields[i] = n, n.field(origin[i])
	}
	if s.leaves != md.Schema.NumColumns() {
		return nil, nil, damaged("schema has %d leaves, %d columns", s.leaves, md.Schema.NumColumns())
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

// field is the node as a field of its parent, with the Parquet field id and the
// writer's metadata.
func (n *node) field(origin *originField) arrow.Field {
	var keys, values []string
	if n.fieldID >= 0 {
		keys, values = append(keys, fieldIDKey), append(values, strconv.Itoa(int(n.fieldID)))
	}
	if origin != nil {
		for i, k := range origin.keys {
			if k != fieldIDKey {
				keys, values = append(keys, k), append(values, origin.values[i])
			}
		}
	}
	return arrow.Field{Name: n.name, Type: n.dtype, Nullable: n.nullable, Metadata: arrow.NewMetadata(keys, values)}
}

// node reads a schema node that stands inside of outer.
func (s *schemaReader) node(sn schema.Node, outer levelInfo, origin *originField) *node {
	if sn.RepetitionType() == parquet.Repetitions.Repeated {
		// A repeated field outside of a list group is a list of what it is
		// otherwise, neither null nor with nulls.
		//
		//	repeated TYPE name   ->   list<name: TYPE not null> not null
		list := outer
		list.def++
		list.rep++
		n := &node{kind: listNode, name: sn.Name(), fieldID: sn.FieldID(), levels: list}
		return n.list(s.value(sn, list.within(), origin.child(0, 1)), false, origin)
	}
	inner := outer
	nullable := sn.RepetitionType() == parquet.Repetitions.Optional
	if nullable {
		inner.def++
	}
	n := s.value(sn, inner, origin)
	n.nullable = nullable
	return n
}

// value reads a schema node without its own repetition, which levels has.
func (s *schemaReader) value(sn schema.Node, levels levelInfo, origin *originField) *node {
	n := &node{name: sn.Name(), fieldID: sn.FieldID(), levels: levels}
	group, ok := sn.(*schema.GroupNode)
	if !ok {
		n.leaf = s.leaves
		s.leaves++
		n.setType(leafType(sn.(*schema.PrimitiveNode), origin), origin)
		return n
	}
	if repeated := listGroup(group); repeated != nil {
		n.kind = listNode
		n.levels.def++
		n.levels.rep++
		elem := s.element(group, repeated, n.levels.within(), origin)
		return n.list(elem, group.LogicalType().Equals(schema.MapLogicalType{}), origin)
	}
	return s.plainStruct(group, levels, origin)
}

// listGroup returns the repeated field of a group annotated as LIST or MAP, or
// nil where it is not one.
//
//	required/optional group name (LIST or MAP) { repeated ... }
func listGroup(group *schema.GroupNode) schema.Node {
	if !annotated(group) || group.NumFields() != 1 || group.Field(0).RepetitionType() != parquet.Repetitions.Repeated {
		return nil
	}
	return group.Field(0)
}

func annotated(n schema.Node) bool {
	t := n.LogicalType()
	return t.Equals(schema.NewListLogicalType()) || t.Equals(schema.MapLogicalType{})
}

// element reads the values of a list group from its repeated field.
// Source: parquet-format:LogicalTypes.md, backward compatibility rules.
func (s *schemaReader) element(group *schema.GroupNode, repeated schema.Node, levels levelInfo, origin *originField) *node {
	item := origin.child(0, 1)
	inner, ok := repeated.(*schema.GroupNode)
	switch {
	case !ok: // repeated TYPE element
	case inner.NumFields() != 1: // repeated group element { several }
	case listGroup(inner) != nil: // repeated group element (LIST) { repeated ... }
	case repeated.Name() == "array" || repeated.Name() == group.Name()+"_tuple": // repeated group array { one }
	case inner.Field(0).RepetitionType() == parquet.Repetitions.Repeated: // repeated group element { repeated ... }
	default: // repeated group list { element }
		return s.node(inner.Field(0), levels, item)
	}
	if inner != nil && listGroup(inner) == nil {
		return s.plainStruct(inner, levels, item)
	}
	return s.value(repeated, levels, item)
}

// plainStruct reads a group as a struct whatever it is annotated as.
func (s *schemaReader) plainStruct(group *schema.GroupNode, levels levelInfo, origin *originField) *node {
	n := &node{kind: structNode, name: group.Name(), fieldID: group.FieldID(), levels: levels}
	fields := make([]arrow.Field, group.NumFields())
	for i := range fields {
		child := s.node(group.Field(i), levels, origin.child(i, len(fields)))
		n.children = append(n.children, child)
		fields[i] = child.field(nil)
	}
	n.leaf = n.children[0].leaf
	n.setType(arrow.StructOf(fields...), origin)
	return n
}

// list makes n the list of elem, or the map where elem is fit for the entries
// of one: keys must not be null.
func (n *node) list(elem *node, isMap bool, origin *originField) *node {
	n.children = []*node{elem}
	n.leaf = elem.leaf
	field := elem.field(nil)
	entries, ok := elem.dtype.(*arrow.StructType)
	switch {
	case isMap && ok && entries.NumFields() == 2 && !elem.nullable && !entries.Field(0).Nullable:
		n.setType(arrow.MapOfFields(entries.Field(0), entries.Field(1)), origin)
	case origin != nil && origin.kind == originLargeList:
		n.setType(arrow.LargeListOfField(field), origin)
	case origin != nil && origin.kind == originFixedSizeList && origin.size > 0:
		n.setType(arrow.FixedSizeListOfField(origin.size, field), origin)
	default:
		n.setType(arrow.ListOfField(field), origin)
	}
	return n
}

func (n *node) setType(t arrow.DataType, origin *originField) {
	n.dtype, n.storage = t, t
	if ext, ok := t.(arrow.ExtensionType); ok {
		n.storage = ext.StorageType()
	} else if ext := origin.extension(t); ext != nil {
		n.dtype = ext
	}
}
