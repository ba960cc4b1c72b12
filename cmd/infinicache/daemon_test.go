package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/infinicache/infinicache/internal/admin"
)

// daemon is a command that serves, started by a test. It ends with this process,
// whichever way that ends.
type daemon struct {
	cmd   *exec.Cmd
	hold  io.Closer         // its standard input: when that ends, it ends
	at    map[string]string // of the line that says that it is ready
	log   string            // file
	ended chan error        // closed after it
	over  bool              // killed on purpose
}

// startDaemon runs a command until it is ready, and sets the script's variables
// to where it serves.
func startDaemon(ts *testscript.TestScript, name string, args []string) {
	d, err := newDaemon(ts.MkAbs(name+"daemon.log"), args)
	ts.Check(err)
	if name != "" {
		name += "_"
	}
	for place, at := range d.at {
		ts.Setenv(strings.ToUpper(name+place), at)
	}
	daemons.put(ts, name, d)
	ts.Defer(func() {
		if daemons.take(ts, name) != nil {
			d.cmd.Process.Kill()
			<-d.ended
			ts.Logf("log of %s:\n%s", args[0], d.logged())
		}
	})
}

// stopDaemon ends what startDaemon started.
func stopDaemon(ts *testscript.TestScript, name string, neg bool, args []string) {
	if name != "" {
		name += "_"
	}
	d := daemons.take(ts, name)
	if neg || d == nil {
		ts.Fatalf("nothing to stop")
	}
	signal := syscall.SIGTERM
	if len(args) == 1 {
		known := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL}
		signal = known[args[0]]
	}
	ts.Check(d.stop(signal))
}

func newDaemon(logFile string, args []string) (*daemon, error) {
	d := &daemon{at: map[string]string{}, log: logFile, ended: make(chan error, 1)}
	log, err := os.Create(d.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	d.cmd = exec.Command(filepath.Join(bin, "infinicache"), slices.Concat(args, []string{"--until-eof"})...)
	d.cmd.Dir, d.cmd.Stderr = filepath.Dir(logFile), log
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if d.hold, err = d.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	lines := make(chan string, 1)
	go func() {
		r := bufio.NewReader(out)
		first, _ := r.ReadString('\n')
		lines <- first
		rest, _ := io.ReadAll(r)
		err := d.cmd.Wait()
		if err == nil && len(rest) > 0 {
			err = fmt.Errorf("more than one line on standard output: %.200q", rest)
		}
		d.ended <- err
		close(d.ended)
	}()
	select {
	case line := <-lines:
		err = d.parse(line)
	case <-time.After(time.Minute):
		err = errors.New("not ready after a minute")
	}
	if err != nil {
		d.cmd.Process.Kill()
		return nil, fmt.Errorf("%w\n%s", err, d.logged())
	}
	return d, nil
}

func (d *daemon) parse(line string) error {
	fields := strings.Fields(line)
	if len(fields) < 2 || fields[0] != "ready" {
		return fmt.Errorf("first line %q", line)
	}
	for _, field := range fields[1:] {
		place, at, ok := strings.Cut(field, "=")
		if !ok {
			return fmt.Errorf("first line %q", line)
		}
		d.at[place] = at
	}
	return nil
}

func (d *daemon) logged() string {
	text, _ := os.ReadFile(d.log)
	return string(text)
}

// status asks the admin door.
func (d *daemon) status() (admin.Status, error) {
	client := admin.NewClient(d.at["admin"])
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return client.Status(ctx)
}

// stop ends the command and returns an error if it fails, unless it is killed,
// or hangs, or leaves a process.
func (d *daemon) stop(signal os.Signal) error {
	s, err := d.status()
	if err != nil {
		return err
	}
	if err := d.cmd.Process.Signal(signal); err != nil {
		return err
	}
	select {
	case err = <-d.ended:
		if signal == syscall.SIGKILL {
			return nil
		}
	case <-time.After(time.Minute):
		d.cmd.Process.Kill()
		err = errors.New("no end after a minute")
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, d.logged())
	}
	instances := 0
	for _, n := range s.Nodes {
		for _, i := range n.Instances {
			instances++
			if i.PID != 0 && syscall.Kill(i.PID, 0) == nil {
				return fmt.Errorf("process %d of node %d is left", i.PID, n.Node)
			}
		}
	}
	if s.InstancesListed && s.Traffic.Puts > 0 && instances == 0 {
		return errors.New("objects were stored, but the status named no instance")
	}
	if n := s.Traffic.UnexplainedMisses; n > 0 {
		return fmt.Errorf("%d misses without a cause", n)
	}
	return nil
}

// daemons are those that scripts have started, by name.
var daemons registry

type registry struct {
	mu  sync.Mutex
	all map[started]*daemon
}

type started struct {
	by   *testscript.TestScript
	name string
}

func (r *registry) put(ts *testscript.TestScript, name string, d *daemon) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil {
		r.all = map[started]*daemon{}
	}
	r.all[started{ts, name}] = d
}

// take returns a script's daemon, once; nil if there is none.
func (r *registry) take(ts *testscript.TestScript, name string) *daemon {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.all[started{ts, name}]
	delete(r.all, started{ts, name})
	return d
}
