// Package deploy has what deployments to all platforms share: the pool file, which
// describes a pool to whoever deploys it and to the proxy that uses it, and the plan
// of what a deployment is about to change.
package deploy

import (
	"fmt"
	"os"

	"github.com/infinicache/infinicache/internal/bytesize"
)

// Pool is what every pool file has.
type Pool struct {
	// Platform is where the pool runs: a platform's name, such as lambda.
	Platform string `json:"platform"`
	// Prefix begins the names of what is deployed for nodes; a node's number
	// follows.
	Prefix string `json:"prefix"`
	// Nodes is how many nodes the pool has.
	Nodes int `json:"nodes"`
	// Memory is what an instance has, in bytes, the program itself included.
	Memory bytesize.Bytes `json:"memory"`
}

// maxFile bounds a pool file, in bytes.
const maxFile = 1 << 20

// ReadFile reads a pool file.
func ReadFile(path string) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if st.Size() > maxFile {
		return nil, fmt.Errorf("%s has %d bytes, at most %d allowed", path, st.Size(), maxFile)
	}
	return os.ReadFile(path)
}
