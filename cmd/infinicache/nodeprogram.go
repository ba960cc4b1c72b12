package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// versionPatience is how long the function's program may take to tell its
// version.
const versionPatience = 10 * time.Second

// nodeProgram finds the function's program, beside this one if none is given,
// and makes sure that it is what it should be: a platform that starts another
// one would fail each session and say little.
func nodeProgram(ctx context.Context, path string) (string, error) {
	if path == "" {
		own, err := os.Executable()
		if err != nil {
			return "", err
		}
		path = filepath.Join(filepath.Dir(own), "infinicache-node")
	}
	if f, err := os.Stat(path); err != nil || f.IsDir() {
		return "", fmt.Errorf("%s is missing or no program: build it with `make build`, or name it with --node-binary", path)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, versionPatience)
	defer cancel()
	said, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s does not tell its version: %w", path, err)
	}
	if !strings.HasPrefix(string(said), "infinicache-node ") {
		return "", fmt.Errorf("%s is not infinicache-node: asked for its version it says %.60q", path, said)
	}
	return path, nil
}
