package lambda

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/infinicache/infinicache/internal/deploy"
)

// admitPatience is how long nodes may take to be used again, after a deployment
// that was interrupted too.
const admitPatience = 30 * time.Second

// Apply makes the changes of a plan: what costs the cache nothing several at a
// time, then updates that end instances, a few nodes at a time, then deletions.
// After the first updates it has a function answer, and goes on only if it does. It
// stops at the first failure, or when ctx ends, and leaves no node drained whose
// function remains, unless that function does not answer. A new Plan then has what
// is left.
func (d *Deployer) Apply(ctx context.Context, plan Plan) error {
	if plan.Loses && !d.cfg.LoseObjects {
		mend := mends[Consent]
		if d.cfg.Drainer != nil { // and it does not help
			mend = "allow it with --undrained instead of --admin"
		}
		return &Error{Kind: Consent, Mend: mend, Err: errors.New("the plan loses objects of the cache")}
	}
	a := &application{Deployer: d, plan: plan}
	gentle, rest, admissions := a.split()
	if err := a.together(ctx, gentle, workers); err != nil {
		return err
	}
	for batch := range slices.Chunk(rest, d.cfg.AtOnce) {
		if err := a.retire(ctx, batch); err != nil {
			return err
		}
	}
	return a.readmit(ctx, admissions)
}

// application is one run of Apply.
type application struct {
	*Deployer
	plan Plan

	mu   sync.Mutex
	done []place

	answered bool // a function that was updated, or is to be used again
}

// split parts the steps that cost the cache nothing from those that end instances,
// and from those that have nodes used again.
func (a *application) split() (gentle, rest, admissions []step) {
	for _, s := range a.plan.steps {
		switch {
		case s.Kind == kindNode:
			admissions = append(admissions, s)
		case s.Action == deploy.Delete || s.Action == deploy.Update && s.retires():
			rest = append(rest, s)
		default:
			gentle = append(gentle, s)
		}
	}
	return gentle, rest, admissions
}

// together makes steps, so many at the same time. After the first failure it
// begins no more, and lets those end that are under way.
func (a *application) together(ctx context.Context, steps []step, atOnce int) error {
	group, going := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for _, s := range steps {
		group.Go(func() error {
			if going.Err() != nil {
				return context.Cause(going)
			}
			a.tell("%s %s %s", s.Action, s.Kind, s.Name)
			if err := a.make(ctx, s); err != nil {
				return err
			}
			a.made(s)
			return nil
		})
	}
	return group.Wait()
}

// retire makes steps that end instances, all at the same time, with their nodes
// drained before and used again after.
func (a *application) retire(ctx context.Context, batch []step) error {
	if !a.plan.drains {
		if err := a.together(ctx, batch, len(batch)); err != nil {
			return err
		}
		return a.proven(ctx, batch)
	}
	var nodes []int
	for _, s := range batch {
		nodes = append(nodes, s.node)
	}
	a.tell("draining nodes %v", nodes)
	if err := a.cfg.Drainer.Drain(ctx, nodes); err != nil {
		return a.undrained(ctx, nodes, err)
	}
	err := a.together(ctx, batch, len(batch))
	if err == nil {
		if err = a.proven(ctx, batch); err != nil && ctx.Err() == nil {
			return err // nobody is to use these
		}
	}
	return errors.Join(err, a.admit(ctx, a.remaining(batch)))
}

// proven has one function of a batch answer, if it is the first with an update.
func (a *application) proven(ctx context.Context, batch []step) error {
	i := slices.IndexFunc(batch, func(s step) bool { return s.Action == deploy.Update })
	if a.answered || i < 0 {
		return nil
	}
	if err := a.canary(ctx, batch[i]); err != nil {
		return err
	}
	a.answered = true
	return nil
}

// readmit has nodes used again that were found drained.
func (a *application) readmit(ctx context.Context, admissions []step) error {
	if err := a.proven(ctx, admissions); err != nil {
		return err
	}
	for _, s := range admissions {
		if err := a.admit(ctx, []int{s.node}); err != nil {
			return err
		}
		a.made(s)
	}
	return nil
}

// remaining are the nodes whose functions are still there.
func (a *application) remaining(batch []step) []int {
	a.mu.Lock()
	defer a.mu.Unlock()
	var nodes []int
	for _, s := range batch {
		if s.Action != deploy.Delete || !slices.Contains(a.done, s.place) {
			nodes = append(nodes, s.node)
		}
	}
	return nodes
}

func (a *application) undrained(ctx context.Context, nodes []int, err error) error {
	if ctx.Err() != nil {
		return err
	}
	return &Error{Kind: Undrained, Doing: fmt.Sprintf("drain nodes %v", nodes), Mend: mends[Undrained], Err: err}
}

// admit has nodes used again, even if ctx has ended: whoever interrupts a
// deployment does not want to lose these nodes. It is tried again for a while: the
// proxy may be busy with somebody else's drain, or just being started.
func (a *application) admit(ctx context.Context, nodes []int) error {
	if len(nodes) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), admitPatience)
	defer cancel()
	for {
		err := a.cfg.Drainer.Admit(ctx, nodes)
		if err == nil {
			return nil
		}
		a.tell("nodes %v are not used again yet: %v", nodes, err)
		if sleep(ctx, a.tempo.poll) != nil {
			return &Error{
				Kind: Unavailable, Doing: fmt.Sprintf("use nodes %v again", nodes), Err: err,
				Mend: "see that the proxy runs, then run the same again, or `infinicache pool admit`",
			}
		}
	}
}

// tell reports what is being done.
func (a *application) tell(format string, args ...any) {
	a.mu.Lock()
	done := len(a.done)
	a.mu.Unlock()
	a.cfg.Progress(done, len(a.plan.steps), fmt.Sprintf(format, args...))
}

// made books a step.
func (a *application) made(s step) {
	a.mu.Lock()
	a.done = append(a.done, s.place)
	a.mu.Unlock()
	a.tell("%s %s: %sd", s.Kind, s.Name, s.Action)
}
