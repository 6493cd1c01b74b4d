package main

import "github.com/millrace/millrace/engine"

// places say how the places of outputs are reached.
func (o *commonOptions) places() engine.Places { return engine.Places{Buckets: o.store.Options} }
