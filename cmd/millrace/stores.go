package main

import (
	"maps"

	"github.com/millrace/millrace/io/database"
	"github.com/millrace/millrace/io/dataset"
)

// stores are what opens inputs that are URIs, by scheme. To make them costs nothing: each
// connects when it is asked for something.
func (o *commonOptions) stores() map[string]dataset.Store {
	stores := map[string]dataset.Store{}
	maps.Copy(stores, database.Stores())
	return stores
}
