// Package place says where chunks are, in the words that the catalog and its
// journal share.
package place

// Place is where a chunk is.
type Place struct {
	Node uint32
	// Instance is the pool's number of the instance that holds the chunk; 0 means
	// that nobody is known to, and Node is then only where it should be.
	Instance uint32
}
