// Package deploy has what deployments to all platforms share: the pool file, which
// describes a pool to whoever deploys it and to the proxy that uses it, and the plan
// of what a deployment is about to change.
package deploy

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"sigs.k8s.io/yaml"

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

// PlatformOf reads no more of a pool file than the platform's name.
func PlatformOf(text []byte) (string, error) {
	var p struct {
		Platform string `json:"platform"`
	}
	if err := yaml.Unmarshal(text, &p); err != nil {
		return "", err
	}
	if p.Platform == "" {
		return "", errors.New("platform: none given")
	}
	return p.Platform, nil
}

// Fields reads YAML as what it says of each field, in JSON, so that each can be
// judged for itself. A field that is given twice is an error.
func Fields(text []byte) (map[string]json.RawMessage, error) {
	inJSON, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(inJSON, &fields); err != nil {
		return nil, errors.New("lines such as nodes: 40 wanted, something else given")
	}
	return fields, nil
}

// Decode reads YAML into a struct with JSON tags. A field that is not known, or
// given twice, is an error.
func Decode(text []byte, into any) error { return yaml.UnmarshalStrict(text, into) }
