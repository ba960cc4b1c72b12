package redis

import (
	"bytes"
	"errors"
)

// errHTTP ends a connection that speaks HTTP, unanswered.
var errHTTP = errors.New("the client speaks HTTP")

// speaksHTTP tells whether what stands where a command's name belongs begins a
// line of an HTTP request. Every web page can have a browser send such requests
// to this address, and lines of their bodies would be taken for commands. Redis
// gives up such connections by the same two words: every request that a browser
// sends without asking is a POST, or has a Host before its body.
func speaksHTTP(name []byte) bool {
	return bytes.EqualFold(name, []byte("post")) || bytes.EqualFold(name, []byte("host:"))
}
