package simcache

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/infinicache/infinicache/internal/node"
	"github.com/infinicache/infinicache/internal/platform"
	"github.com/infinicache/infinicache/internal/simnet"
)

// Platform is a function platform by script: it freezes instances between
// sessions, starts a second one when the first is busy, and takes instances away
// when told.
type Platform struct {
	// Start is how long a fresh instance takes before it runs. Default 80 ms.
	Start time.Duration
	// Thaw is how long a frozen one takes. Default 5 ms.
	Thaw time.Duration

	net  *simnet.Net
	log  *slog.Logger
	rng  *rand.Rand
	life context.Context
	stop context.CancelCauseFunc

	mu        sync.Mutex
	instances map[int][]*Instance
	started   int
	invokes   int
	throttle  int // invocations still to refuse
	work      sync.WaitGroup
}

// Instance is one instance of a node.
type Instance struct {
	Node int
	Host string // on the network

	run    *node.Node
	busy   bool
	gone   bool
	cancel context.CancelCauseFunc // of its session
}

func newPlatform(net *simnet.Net, seed uint64, log *slog.Logger) *Platform {
	p := &Platform{
		Start: 80 * time.Millisecond, Thaw: 5 * time.Millisecond,
		net: net, log: log, rng: rand.New(rand.NewPCG(seed, 0x9)), instances: map[int][]*Instance{},
	}
	p.life, p.stop = context.WithCancelCause(context.Background())
	return p
}

// Capabilities implements platform.Driver.
func (p *Platform) Capabilities() platform.Capabilities {
	return platform.Capabilities{
		Name: "simulation", Freezes: true, SecondInstance: true,
		LongestSession: 15 * time.Minute, Memory: 256 << 20,
		Price: platform.Price{Quantum: time.Millisecond},
	}
}

// Invoke implements platform.Driver.
func (p *Platform) Invoke(ctx context.Context, number int, payload []byte) (platform.Outcome, error) {
	p.mu.Lock()
	p.invokes++
	if p.throttle > 0 {
		p.throttle--
		p.mu.Unlock()
		return platform.Outcome{}, &platform.Error{Kind: platform.Throttled, Node: number}
	}
	i, cold, err := p.pick(number)
	if err != nil {
		p.mu.Unlock()
		return platform.Outcome{}, &platform.Error{Kind: platform.Unavailable, Node: number, Err: err}
	}
	session, cancel := context.WithCancelCause(p.life)
	i.busy, i.cancel = true, cancel
	p.work.Add(1)
	p.mu.Unlock()
	defer p.work.Done()
	defer cancel(nil)

	began := time.Now()
	if cold {
		time.Sleep(p.Start)
	} else {
		time.Sleep(p.Thaw)
		p.net.Thaw(i.Host)
	}
	limited, done := context.WithTimeout(session, 15*time.Minute)
	answer, err := i.run.Invoke(limited, payload)
	done()

	p.mu.Lock()
	gone := i.gone
	i.busy = false
	p.mu.Unlock()
	out := platform.Outcome{Payload: answer, Billed: time.Since(began), Duration: time.Since(began), Cold: cold}
	if gone {
		return out, &platform.Error{Kind: platform.Exited, Node: number, Reason: "signal: killed", Outcome: out}
	}
	p.net.Freeze(i.Host)
	if err != nil {
		return out, &platform.Error{Kind: platform.FunctionError, Node: number, Err: err, Outcome: out}
	}
	return out, nil
}

// pick finds an idle instance or starts one. p.mu is held.
func (p *Platform) pick(number int) (i *Instance, cold bool, err error) {
	for _, i := range p.instances[number] {
		if !i.busy {
			return i, false, nil
		}
	}
	p.started++
	i = &Instance{Node: number, Host: fmt.Sprintf("node/%d.%d", number, p.started)}
	i.run, err = node.New(node.Config{
		Memory: 256 << 20, Logger: p.log,
		Dial: func(ctx context.Context, addr string) (net.Conn, error) { return p.net.Dial(ctx, i.Host, addr) },
	})
	if err != nil {
		return nil, false, err
	}
	p.instances[number] = append(p.instances[number], i)
	return i, true, nil
}

// Reclaim takes all instances of a node away and says how many.
func (p *Platform) Reclaim(number int) int {
	p.mu.Lock()
	taken := p.instances[number]
	p.instances[number] = nil
	for _, i := range taken {
		i.gone = true
		if i.cancel != nil {
			i.cancel(errGone)
		}
	}
	p.mu.Unlock()
	for _, i := range taken {
		p.net.Drop(i.Host)
		p.net.Thaw(i.Host)
		i.run.Close()
	}
	return len(taken)
}

// Hide makes the next session of a node start a fresh instance, as if the
// platform had forgotten those it has. Show undoes it.
func (p *Platform) Hide(number int) (show func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	hidden := p.instances[number]
	p.instances[number] = nil
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.instances[number] = append(hidden, p.instances[number]...)
	}
}

// Throttle refuses the next n invocations.
func (p *Platform) Throttle(n int) {
	p.mu.Lock()
	p.throttle = n
	p.mu.Unlock()
}

// Instances are a node's instances.
func (p *Platform) Instances(number int) []*Instance {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]*Instance(nil), p.instances[number]...)
}

// Busy is how many instances are in session.
func (p *Platform) Busy() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, all := range p.instances {
		for _, i := range all {
			if i.busy {
				n++
			}
		}
	}
	return n
}

// Invocations is how many there were, and how many instances were started.
func (p *Platform) Invocations() (invocations, started int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.invokes, p.started
}

// end stops every session and instance.
func (p *Platform) end() {
	p.stop(errGone)
	p.work.Wait()
	p.mu.Lock()
	var all []*Instance
	for _, is := range p.instances {
		all = append(all, is...)
	}
	p.instances = map[int][]*Instance{}
	p.mu.Unlock()
	for _, i := range all {
		p.net.Thaw(i.Host)
		i.run.Close()
	}
}
