// Package deploy has what deployments to all platforms share: the pool file, which
// describes a pool to whoever deploys it and to the proxy that uses it, and the plan
// of what a deployment is about to change.
package deploy

import (
	"fmt"
	"os"
	"strconv"

	"github.com/infinicache/infinicache/internal/bytesize"
	"github.com/infinicache/infinicache/internal/placement"
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
	// Shape is auto or the data+parity chunks of every object, as in 10+2; empty
	// leaves it to the proxy's flags.
	Shape string `json:"shape,omitempty"`
}

// CheckShape complains about a shape that is none, and about fewer nodes than one chunk
// each needs: objects would have other chunks than the file says.
func (p *Pool) CheckShape(complain func(field, given, allowed string)) {
	if p.Shape == "" {
		return
	}
	shape, err := placement.ParseShape(p.Shape)
	if err != nil {
		complain("shape", p.Shape, fmt.Sprintf("auto, or data+parity chunks like 10+2, %d at most together,", placement.MaxChunks))
	} else if chunks := shape.Data + shape.Parity; p.Nodes >= 1 && p.Nodes < chunks {
		complain("nodes", strconv.Itoa(p.Nodes), fmt.Sprintf("%d or more with shape %s", chunks, p.Shape))
	}
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
