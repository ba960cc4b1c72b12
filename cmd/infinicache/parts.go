package main

import (
	"context"
	"errors"
	"fmt"
)

// part is a long-lived piece of the process: run returns when ctx ends and all
// that it started has ended.
type part struct {
	name string
	run  func(ctx context.Context) error
}

// runParts runs parts until ctx ends or one of them does. Then it ends them in
// reverse order, each when the one after it is over, and returns their errors
// and a complaint about the part that ended by itself. started is called when
// all run.
func runParts(ctx context.Context, parts []part, started func()) error {
	type running struct {
		stop  context.CancelFunc
		ended chan struct{}
		err   error
	}
	all := make([]*running, len(parts))
	early := make(chan string, len(parts))
	for i, p := range parts {
		own, stop := context.WithCancel(context.WithoutCancel(ctx))
		r := &running{stop: stop, ended: make(chan struct{})}
		all[i] = r
		go func() {
			defer close(r.ended)
			if r.err = p.run(own); r.err != nil {
				r.err = fmt.Errorf("%s: %w", p.name, r.err)
			}
			early <- p.name
		}()
	}
	started()

	var errs []error
	select {
	case <-ctx.Done():
	case name := <-early:
		errs = append(errs, fmt.Errorf("%s ended unexpectedly", name))
	}
	for i := len(all) - 1; i >= 0; i-- {
		all[i].stop()
		<-all[i].ended
		errs = append(errs, all[i].err)
	}
	return errors.Join(errs...)
}
