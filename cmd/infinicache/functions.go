package main

import (
	"time"

	"github.com/infinicache/infinicache/internal/emulator"
	"github.com/infinicache/infinicache/internal/pool"
)

const (
	minNodeMemory = 128 << 20
	maxNodeMemory = 10240 << 20

	// sessionLimit is the functions' timeout.
	sessionLimit = 15 * time.Minute
	// functionPrefix begins the names of functions, unless told otherwise.
	functionPrefix = "node-"
)

// functions are what is deployed. A proxy and its platform must agree on them.
type functions struct {
	nodes  int
	memory int64 // of an instance, bytes
	prefix string
	notice time.Duration
}

func defaultFunctions() functions {
	return functions{nodes: 14, memory: 256 << 20, prefix: functionPrefix, notice: emulator.DefaultNotice}
}

// declare takes as few nodes as least.
func (c *functions) declare(f *flags, least int) {
	add(f, &c.nodes, "nodes", number(least, pool.MaxNodes), "nodes of the pool")
	add(f, &c.memory, "memory", size(minNodeMemory, maxNodeMemory), "memory of each node, the program itself included")
	add(f, &c.notice, "notice", duration(time.Millisecond, emulator.MaxNotice), "how long before its end an instance that is taken hears of it")
}

// declarePrefix is for a platform and a proxy that find each other by it.
func (c *functions) declarePrefix(f *flags) {
	add(f, &c.prefix, "prefix", prefix(), "what names of functions begin with; the node's number follows")
}

// prefix is the beginning of a function's name, which may have 64 characters.
func prefix() kind[string] {
	return kind[string]{
		"TEXT", "1 to 54 letters, digits, - and _",
		func(s string) (string, bool) {
			for _, r := range s {
				letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
				if !letter && (r < '0' || r > '9') && r != '-' && r != '_' {
					return "", false
				}
			}
			return s, s != "" && len(s) <= 54
		},
		func(s string) string { return s },
	}
}
