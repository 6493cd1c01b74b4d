package blobstore

import "github.com/millrace/millrace/io/dataset"

// Watched is closed when it is known how an object is summed up.
func Watched(o dataset.Object) <-chan struct{} { return o.(*object).watched }
