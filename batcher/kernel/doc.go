// Package kernel holds the inner loops of batch assembly: casts, null fills
// and the transpose of columns into rows. They work on plain slices, allocate
// nothing and keep no state, so any number may run at once.
//
// Every loop here is written for a tile that lies in the first level of cache;
// the caller cuts the tiles.
package kernel
