package main

import (
	"maps"

	"github.com/spf13/pflag"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/io/blobstore"
	"github.com/millrace/millrace/io/database"
	"github.com/millrace/millrace/io/dataset"
)

// storeOptions say how object stores are reached.
type storeOptions struct {
	blobstore.Options

	blobs *blobstore.Store
}

func (o *storeOptions) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.Endpoint, "endpoint", "", "`URL` of a server that speaks as an object store does, for all s3://, gs:// and az:// URIs (default: the store's own, or what its variables say, such as AWS_ENDPOINT_URL)")
	fs.IntVar(&o.Attempts, "store-attempts", 8, "how often a request to an object store is made at most, the first time included: `COUNT` in a row that came to nothing")
	fs.StringVar((*string)(&o.Checks), "store-checks", "auto", "`WHEN` all bytes of an object are fetched and compared with the store's checksum of it before anything is published: auto (where the store does not speak TLS, which checks them itself), always or never")
}

// stores are what opens inputs and models that are URIs, by scheme. To make them costs
// nothing: each connects when it is asked for something.
func (o *commonOptions) stores() map[string]dataset.Store {
	if o.store.blobs == nil {
		o.store.blobs = blobstore.New(o.store.Options)
	}
	all := maps.Clone(database.Stores())
	for _, scheme := range blobstore.Schemes() {
		all[scheme] = o.store.blobs
	}
	return all
}

// places say how outputs are reached.
func (o *commonOptions) places() engine.Places { return engine.Places{Buckets: o.store.Options} }
