package knative

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/infinicache/infinicache/internal/activation"
	"github.com/infinicache/infinicache/internal/platform"
	"github.com/infinicache/infinicache/internal/wire"
)

const (
	// askPatience is how long an instance may take to say which one it is.
	askPatience = time.Second
	// allPatience is how long all of them may take.
	allPatience = 5 * time.Second
	// askedAtOnce bounds how many instances are asked at the same time.
	askedAtOnce = 32
	// foundFor is how long what the instances said is used: a proxy that starts asks
	// for those of many nodes.
	foundFor = 3 * time.Second
)

// errNoWay is why an instance is not found on a platform that does not list them.
var errNoWay = errors.New("the platform has no way to an instance of its own choosing")

// errNotThere is why an instance is not found among those that answer.
var errNotThere = errors.New("the instance is not there any more")

// directory knows where instances answer, by their identities.
type directory struct {
	mu    sync.Mutex // held while they are asked: the others wait for that
	asked time.Time
	where map[string]netip.AddrPort
}

// InvokeInstance implements platform.Overlapping.
func (d *Driver) InvokeInstance(ctx context.Context, node int, instance string, payload []byte, called func(wire.Call)) (platform.Outcome, error) {
	at, err := d.find(ctx, node, instance)
	if err != nil {
		return platform.Outcome{}, &platform.Error{Kind: platform.NotFound, Node: node, Err: err}
	}
	if called == nil {
		called = func(wire.Call) {}
	}
	return d.invoke(ctx, "http://"+at.String(), node, payload, called)
}

// find is where an instance answers.
func (d *Driver) find(ctx context.Context, node int, instance string) (netip.AddrPort, error) {
	if d.cfg.Instances == nil {
		return netip.AddrPort{}, errNoWay
	}
	d.found.mu.Lock()
	defer d.found.mu.Unlock()
	if d.found.where == nil || time.Since(d.found.asked) > foundFor {
		// Whoever comes next makes use of it, too.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), allPatience)
		defer cancel()
		all, err := d.cfg.Instances(ctx)
		if err != nil {
			return netip.AddrPort{}, err
		}
		d.found.where = d.askAll(ctx, node, all)
		d.found.asked = time.Now()
	}
	at, ok := d.found.where[instance]
	if !ok {
		return netip.AddrPort{}, errNotThere
	}
	return at, nil
}

// askAll asks whoever answers at the addresses which instance it is. Who says nothing
// in time is none.
func (d *Driver) askAll(ctx context.Context, node int, all []netip.AddrPort) map[string]netip.AddrPort {
	where := map[string]netip.AddrPort{}
	var mu sync.Mutex
	var asking sync.WaitGroup
	turns := make(chan struct{}, askedAtOnce)
	for _, at := range all {
		turns <- struct{}{}
		asking.Go(func() {
			defer func() { <-turns }()
			ctx, cancel := context.WithTimeout(ctx, askPatience)
			defer cancel()
			if instance, err := d.who(ctx, "http://"+at.String(), node); err == nil && instance != "" {
				mu.Lock()
				where[instance] = at
				mu.Unlock()
			}
		})
	}
	asking.Wait()
	return where
}

// who asks which instance answers for a node; empty if none does.
func (d *Driver) who(ctx context.Context, base string, node int) (string, error) {
	req, err := d.request(ctx, http.MethodGet, base, node, activation.HealthPath, nil)
	if err != nil {
		return "", err
	}
	res, err := d.client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	drain(res)
	if res.StatusCode != http.StatusOK {
		return "", nil // it may be anybody's word
	}
	return res.Header.Get(activation.InstanceHeader), nil
}
