package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// childFlags are of commands that may run a cache of their own.
type childFlags struct {
	up    *bool
	extra *[]string
}

func childFlagsOf(f *flags) childFlags {
	return childFlags{
		f.cmd.Flags().Bool("up", false, "start a cache for this, and end it afterwards"),
		f.cmd.Flags().StringArray("up-flag", nil, "`FLAG` of that cache's `infinicache up`, like --up-flag=--nodes=20"),
	}
}

// start starts the cache, if one is wanted, and makes it the one that proxies and
// adminAddr name. stop ends it.
func (own childFlags) start(ctx context.Context, stderr io.Writer, proxies *[]string, adminAddr *string) (stop func() error, err error) {
	if !*own.up {
		return func() error { return nil }, nil
	}
	c, err := startUp(ctx, stderr, *own.extra)
	if err != nil {
		return nil, err
	}
	*proxies, *adminAddr = []string{c.client}, c.admin
	return c.stop, nil
}

// child is an infinicache up in a process of its own.
type child struct {
	client, redis, admin string // addresses
	cmd                  *exec.Cmd
	hold                 io.Closer // its standard input: when that ends, it ends
	ended                chan error
}

const (
	childStart = 30 * time.Second
	childEnd   = 20 * time.Second
)

// startUp runs infinicache up on free ports of loopback. It ends with stop, and
// with this process whichever way that ends.
func startUp(ctx context.Context, stderr io.Writer, extra []string) (*child, error) {
	own, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := append([]string{"up", "--client", "127.0.0.1:0", "--redis", "127.0.0.1:0", "--admin", "127.0.0.1:0",
		"--log-level", "error", "--until-eof"}, extra...)
	c := &child{cmd: exec.Command(own, args...), ended: make(chan error, 1)}
	c.cmd.Stderr = stderr
	// A Ctrl-C in the terminal is for this process, which then ends the child.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if c.hold, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a cache: %w", err)
	}
	lines := make(chan string, 1)
	go func() {
		r := bufio.NewReader(stdout)
		line, _ := r.ReadString('\n') // none: it ended, which Wait explains
		lines <- line
		io.Copy(io.Discard, r)
		c.ended <- c.cmd.Wait()
	}()
	select {
	case line := <-lines:
		if err = c.parse(line); err == nil {
			return c, nil
		}
	case <-time.After(childStart):
		err = fmt.Errorf("it is not ready after %v", childStart)
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if ended := c.stop(); ended != nil {
		err = ended
	}
	return nil, fmt.Errorf("start a cache: %w", err)
}

// parse reads the line that says where the cache serves.
func (c *child) parse(line string) error {
	fields := strings.Fields(line)
	if len(fields) == 0 || fields[0] != "ready" {
		return errors.New("it does not get ready")
	}
	for _, field := range fields[1:] {
		name, address, _ := strings.Cut(field, "=")
		switch name {
		case "client":
			c.client = address
		case "redis":
			c.redis = address
		case "admin":
			c.admin = address
		}
	}
	if c.client == "" || c.admin == "" {
		return fmt.Errorf("its ready line is %q", line)
	}
	return nil
}

// stop ends the cache and returns when its processes are gone. The error is that
// of the cache.
func (c *child) stop() error {
	c.hold.Close()
	select {
	case err := <-c.ended:
		return err
	case <-time.After(childEnd):
	}
	// Its platform's processes notice that it is gone.
	_ = c.cmd.Process.Kill()
	return fmt.Errorf("it did not end within %v: %w", childEnd, <-c.ended)
}
