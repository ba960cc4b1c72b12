package lambda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/infinicache/infinicache/internal/platform"
	driver "github.com/infinicache/infinicache/internal/platform/lambda"
	"github.com/infinicache/infinicache/internal/wire"
)

// probePatience is how long a function may take to tell.
const probePatience = time.Minute

// proxy has a function try to reach the proxy. The first function that exists
// speaks for all: they share subnets, security groups and program.
func (c *checkup) proxy(ctx context.Context) bool {
	const subject = "proxy"
	p := &c.cfg.Pool
	if p.Proxy == "" {
		c.add(subject, Skipped, "name the address at which functions reach the proxy as proxy: in the pool file", "nobody said where it is")
		return true
	}
	node := slices.IndexFunc(p.functions(), func(at place) bool {
		return slices.ContainsFunc(c.have.functions, func(f function) bool { return f.function == at.function })
	})
	if node < 0 {
		c.add(subject, Skipped, "deploy, then check again", "there is no function that could try")
		return true
	}
	function, _ := driver.Address(p.Prefix, node, p.Tenants)
	answer, err := c.ask(ctx, node, p.Proxy)
	if err != nil {
		c.failProbe(subject, function, err)
		return true
	}
	c.judge(subject, function, answer)
	return true
}

// ask has a node's function try to reach an address. The error matches errMute if
// the function answers something else.
func (d *Deployer) ask(ctx context.Context, node int, address string) (wire.ProbeResult, error) {
	p := &d.cfg.Pool
	caller, err := driver.New(driver.Config{AWS: d.cfg.AWS, Prefix: p.Prefix, Tenants: p.Tenants, Timeout: p.Timeout})
	if err != nil {
		return wire.ProbeResult{}, err
	}
	defer caller.Close()
	payload, err := json.Marshal(wire.Probe{Protocol: wire.Version, Probe: address})
	if err != nil {
		return wire.ProbeResult{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, probePatience, fmt.Errorf("no answer within %v", probePatience))
	defer cancel()
	out, err := caller.Invoke(ctx, node, payload)
	if err != nil {
		return wire.ProbeResult{}, err
	}
	var r wire.ProbeResult
	if err := json.Unmarshal(out.Payload, &r); err != nil || r.Instance == (wire.Instance{}) {
		return wire.ProbeResult{}, fmt.Errorf("%w; it says %.80q", errMute, out.Payload)
	}
	return r, nil
}

// errMute is that a function runs another program than this version's.
var errMute = errors.New("does not answer to a probe")

// failProbe adds what an invocation that failed tells.
func (c *checkup) failProbe(subject, function string, err error) {
	mend := "see the function's logs in " + c.cfg.Pool.logGroup()
	var e *platform.Error
	switch {
	case errors.Is(err, errMute):
		mend = "deploy this version's program"
	case errors.As(err, &e):
		switch e.Kind {
		case platform.Denied:
			mend = "allow lambda:InvokeFunction; --policy proxy prints the policy that proxies need"
		case platform.Throttled:
			mend = "check again when the node is not in use, or raise the pool's or the account's concurrency"
		case platform.NotReady:
			mend = "wait until the platform has made or updated it"
		}
	}
	c.add(subject, Failure, mend, "%s could not be asked: %v", function, err)
}

// judge adds what a function's answer tells.
func (c *checkup) judge(subject, function string, r wire.ProbeResult) {
	p := &c.cfg.Pool
	switch {
	case r.Reached:
		c.add(subject, OK, "", "%s (%s) reaches %s in %.1f ms", function, or(r.Version, "no version"), p.Proxy, r.Milliseconds)
	case p.VPC.attached():
		c.add(subject, Failure,
			"run the proxy; let its security group take TCP from those of the functions, and theirs send it; see that routes and network ACLs lead both ways",
			"%s does not reach %s from its VPC: %s", function, p.Proxy, or(r.Error, "no reason given"))
	default:
		c.add(subject, Failure,
			"run the proxy; functions outside a VPC reach public IPv4 addresses only: give the proxy one and let its security group take TCP from anywhere, or give the pool file a vpc",
			"%s does not reach %s: %s", function, p.Proxy, or(r.Error, "no reason given"))
	}
}
