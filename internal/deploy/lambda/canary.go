package lambda

import (
	"context"
	"errors"
	"fmt"

	"github.com/infinicache/infinicache/internal/platform"
	driver "github.com/infinicache/infinicache/internal/platform/lambda"
	"github.com/infinicache/infinicache/internal/wire"
)

// nowhere is an address that refuses connections, for a function that is only to
// show that it starts.
const nowhere = "127.0.0.1:9"

// canary has the first function that was updated answer before others are: a
// program that does not start, or a network in which functions do not find the
// proxy, must not get to all nodes. The proxy counts if the pool file names it and
// it runs, as one does that drains.
func (a *application) canary(ctx context.Context, s step) error {
	p := &a.cfg.Pool
	node := max(s.node, 0)
	function, _ := driver.Address(p.Prefix, node, p.Tenants)
	a.tell("probing function %s", function)
	r, err := a.patiently(ctx, node, or(p.Proxy, nowhere))
	doing := "probe function " + function
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", doing, context.Cause(ctx))
	case errors.Is(err, platform.Denied):
		return &Error{Kind: Denied, Doing: doing, Action: "lambda:InvokeFunction", Mend: mends[Denied], Err: err}
	case err != nil:
		return &Error{Kind: Silent, Doing: doing, Mend: a.silentMend(), Err: err}
	case p.Proxy != "" && a.plan.drains && !r.Reached:
		return &Error{
			Kind: Network, Doing: doing, Mend: "see with --check what keeps functions from " + p.Proxy + "; " + a.silentMend(),
			Err: fmt.Errorf("it does not reach %s: %s", p.Proxy, or(r.Error, "no reason given")),
		}
	}
	a.tell("function %s answers (%s)", function, or(r.Version, "no version"))
	return nil
}

// patiently asks again while the platform says that the function is not to be had
// yet.
func (a *application) patiently(ctx context.Context, node int, address string) (wire.ProbeResult, error) {
	within, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	for {
		r, err := a.ask(ctx, node, address)
		passes := errors.Is(err, platform.Throttled) || errors.Is(err, platform.NotReady)
		if !passes || sleep(within, a.tempo.poll) != nil {
			return r, err
		}
	}
}

func (a *application) silentMend() string {
	text := "see its logs in " + a.cfg.Pool.logGroup() + "; no further node was updated; deploy a program and settings that work"
	if a.plan.drains {
		text += ", until then the nodes that were updated stay drained"
	}
	return text
}
