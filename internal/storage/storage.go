// Package storage looks through Arrow's extension types, which say what values mean, at
// the storage that holds them.
package storage

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// Type is a type's storage; one that is no extension is its own.
func Type(t arrow.DataType) arrow.DataType {
	for {
		ext, ok := t.(arrow.ExtensionType)
		if !ok {
			return t
		}
		t = ext.StorageType()
	}
}

// AllNull says of a type that it has no value but null, which is of every type: a CSV's column
// without a value has it.
func AllNull(t arrow.DataType) bool { return Type(t).ID() == arrow.NULL }

// Array is an array's storage, borrowed from it; one of no extension type is its own.
func Array(a arrow.Array) arrow.Array {
	for {
		ext, ok := a.(array.ExtensionArray)
		if !ok {
			return a
		}
		a = ext.Storage()
	}
}
