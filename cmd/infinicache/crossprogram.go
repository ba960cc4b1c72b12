package main

import (
	"fmt"
	"os"
	"path/filepath"

	lambdadeploy "github.com/infinicache/infinicache/internal/deploy/lambda"
)

// goNames are what Go calls the architectures of functions.
var goNames = map[string]string{lambdadeploy.ARM64: "arm64", lambdadeploy.X8664: "amd64"}

// programFor finds the node's program for an architecture beside this one, unless
// one is given.
func programFor(given, architecture string) (string, error) {
	if given != "" {
		return given, nil
	}
	own, err := os.Executable()
	if err != nil {
		return "", err
	}
	cross := filepath.Join(filepath.Dir(own), "infinicache-node-linux-"+goNames[architecture])
	native := filepath.Join(filepath.Dir(own), "infinicache-node")
	if _, err := os.Stat(cross); err == nil {
		return cross, nil
	}
	if lambdadeploy.Fits(native, architecture) == nil {
		return native, nil
	}
	return "", fmt.Errorf("no program of the node for %s: neither %s nor one at %s; build it with `make nodes`, or name it with --node-binary",
		architecture, cross, native)
}
