package conformance

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// Command is what the suite asks of the function that it invokes.
type Command struct {
	Op   string          `json:"op"`
	Data json.RawMessage `json:"data,omitempty"` // for echo
	N    int             `json:"n,omitempty"`    // milliseconds, bytes, or an exit code
}

// Reply is what the function answers.
type Reply struct {
	Instance string          `json:"instance"` // random, from the process's start
	Count    int64           `json:"count"`    // sessions of this process, this one included
	Data     json.RawMessage `json:"data,omitempty"`
	Fill     string          `json:"fill,omitempty"`
}

var (
	instance = rand.Text()
	sessions atomic.Int64
	hoard    [][]byte
)

// Function is the function that a Harness has deployed for each of its nodes, as
// a handler for any runtime that passes JSON.
func Function(ctx context.Context, cmd Command) (Reply, error) {
	r := Reply{Instance: instance, Count: sessions.Add(1)}
	switch cmd.Op {
	case "echo":
		r.Data = cmd.Data
	case "error":
		return Reply{}, errors.New("asked to fail")
	case "panic":
		panic("asked to panic")
	case "exit":
		fmt.Fprintln(os.Stderr, "asked to exit")
		os.Exit(cmd.N)
	case "sleep":
		timer := time.NewTimer(time.Duration(cmd.N) * time.Millisecond)
		defer timer.Stop()
		<-timer.C // on purpose deaf to ctx, to overrun the session
	case "hoard":
		for taken := 0; taken < cmd.N; taken += 1 << 20 {
			b := make([]byte, 1<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			hoard = append(hoard, b)
		}
		timer := time.NewTimer(time.Second) // for the platform to notice
		defer timer.Stop()
		<-timer.C
	case "fill":
		r.Fill = strings.Repeat("x", cmd.N)
	default:
		return Reply{}, fmt.Errorf("op %q is not known", cmd.Op)
	}
	return r, nil
}
