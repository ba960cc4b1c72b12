package simcache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/infinicache/infinicache/internal/node"
	"github.com/infinicache/infinicache/internal/platform"
	"github.com/infinicache/infinicache/internal/simnet"
	"github.com/infinicache/infinicache/internal/wire"
)

// Platform is a function platform by script: it freezes instances between
// sessions, starts a second one when the first is busy, and does them harm when
// told (see Misfortune).
type Platform struct {
	// Start is how long a fresh instance takes before it runs. Default 80 ms.
	Start time.Duration
	// Thaw is how long a frozen one takes. Default 5 ms.
	Thaw  time.Duration
	pods  bool // see Config.Pods
	liars bool // see Config.Liars
	net   *simnet.Net
	log   *slog.Logger
	life  context.Context
	stop  context.CancelCauseFunc
	work  sync.WaitGroup

	mu        sync.Mutex
	instances map[int][]*Instance // those that a session may be given
	told      map[int][]*Instance // those that had their notice and have not ended
	started   int
	invokes   int
	mislead   func(node int) string
	noWay     bool
	script
}

// Instance is one instance of a node.
type Instance struct {
	Node int
	Host string // on the network

	run *node.Node
	// listener is where the proxy dials the instance; nil where it does not.
	listener net.Listener
	// outlived: sessions that begin go to another one.
	outlived bool

	busy bool
	gone bool
	// leaving: it had its notice, gets no session any more unless by itself, and is
	// not frozen.
	leaving bool
	cancel  context.CancelCauseFunc // of its session
	// broken is closed when the caller of its session will not hear its end.
	broken     chan struct{}
	unanswered bool
}

// shut ends what the instance runs.
func (i *Instance) shut() {
	if i.listener != nil {
		i.listener.Close()
	}
	i.run.Close()
}

func newPlatform(net *simnet.Net, log *slog.Logger) *Platform {
	p := &Platform{
		Start: 80 * time.Millisecond, Thaw: 5 * time.Millisecond,
		net: net, log: log, instances: map[int][]*Instance{}, told: map[int][]*Instance{},
		script: script{hidden: map[int]int{}, lying: map[int]int{}, happened: map[Misfortune]int{}},
	}
	p.life, p.stop = context.WithCancelCause(context.Background())
	return p
}

// Capabilities implements platform.Driver.
func (p *Platform) Capabilities() platform.Capabilities {
	return platform.Capabilities{
		Name: "simulation", Freezes: !p.pods, SecondInstance: !p.pods, Inbound: p.pods, TellsExit: true,
		LongestSession: longestSession, Memory: 256 << 20,
		Price: platform.Price{Quantum: time.Millisecond},
	}
}

const longestSession = 15 * time.Minute

// errUnanswered is what an invocation ends with whose answer is lost.
var errUnanswered = errors.New("connection to the platform broke")

// Invoke implements platform.Driver.
func (p *Platform) Invoke(ctx context.Context, number int, payload []byte) (platform.Outcome, error) {
	return p.InvokeInbound(ctx, number, payload, nil)
}

// InvokeInbound implements platform.Inbound.
func (p *Platform) InvokeInbound(_ context.Context, number int, payload []byte, called func(wire.Call)) (platform.Outcome, error) {
	return p.invoke(number, payload, called, func() (*Instance, bool, error) { return p.pick(number) })
}

// InvokeInstance implements platform.Overlapping.
func (p *Platform) InvokeInstance(_ context.Context, number int, instance string, payload []byte, called func(wire.Call)) (platform.Outcome, error) {
	return p.invoke(number, payload, called, func() (*Instance, bool, error) { return p.find(number, instance) })
}

// invoke runs a session of the instance that choose gives, with p.mu held.
func (p *Platform) invoke(number int, payload []byte, called func(wire.Call), choose func() (i *Instance, cold bool, err error)) (platform.Outcome, error) {
	p.mu.Lock()
	p.invokes++
	if p.throttle > 0 {
		p.throttle--
		p.happened[Throttled]++
		p.mu.Unlock()
		return platform.Outcome{}, &platform.Error{Kind: platform.Throttled, Node: number}
	}
	i, cold, err := choose()
	var kind platform.Kind
	if errors.As(err, &kind) {
		p.mu.Unlock()
		return platform.Outcome{}, &platform.Error{Kind: kind, Node: number}
	}
	if err != nil {
		p.mu.Unlock()
		return platform.Outcome{}, &platform.Error{Kind: platform.Unavailable, Node: number, Err: err}
	}
	session, cancel := context.WithCancelCause(p.life)
	i.busy, i.unanswered, i.cancel = true, false, cancel
	i.broken = make(chan struct{})
	broken, lag := i.broken, p.lag
	p.mu.Unlock()

	ended := make(chan answer, 1)
	p.work.Go(func() {
		defer cancel(nil)
		ended <- p.play(session, i, payload, called, cold, lag)
	})
	select {
	case a := <-ended:
		return a.out, a.err
	case <-broken:
		return platform.Outcome{}, &platform.Error{Kind: platform.Unavailable, Node: number, Err: errUnanswered}
	}
}

// answer is how a session ended.
type answer struct {
	out platform.Outcome
	err error
}

// play lets an instance live through one session.
func (p *Platform) play(ctx context.Context, i *Instance, payload []byte, called func(wire.Call), cold bool, lag time.Duration) answer {
	began := time.Now()
	if cold {
		time.Sleep(p.Start + lag)
		if lag > 0 {
			p.count(SlowStart)
		}
	} else {
		time.Sleep(p.Thaw)
		p.net.Thaw(i.Host)
	}
	ctx, done := context.WithTimeout(ctx, longestSession)
	defer done()
	said, err := i.run.InvokeCalling(ctx, payload, called)

	p.mu.Lock()
	gone := i.gone
	i.busy = false
	if !gone && !i.leaving && !p.pods {
		p.net.Freeze(i.Host)
	}
	p.mu.Unlock()
	out := platform.Outcome{Payload: said, Billed: time.Since(began), Duration: time.Since(began), Cold: cold}
	switch {
	case gone:
		err = &platform.Error{Kind: platform.Exited, Node: i.Node, Reason: "signal: killed", Outcome: out}
	case err != nil:
		err = &platform.Error{Kind: platform.FunctionError, Node: i.Node, Err: err, Outcome: out}
	}
	return answer{out, err}
}

// pick finds an idle instance or starts one. p.mu is held.
func (p *Platform) pick(number int) (i *Instance, cold bool, err error) {
	for _, i := range p.instances[number] {
		if i.outlived {
			continue
		}
		if !i.busy {
			return i, false, nil
		}
		if p.pods && !i.leaving {
			return nil, false, platform.Busy
		}
	}
	i, err = p.start(number)
	return i, true, err
}

// find finds one instance, if it is idle. p.mu is held.
func (p *Platform) find(number int, id string) (i *Instance, cold bool, err error) {
	for _, i := range slices.Concat(p.instances[number], p.told[number]) {
		switch {
		case !p.pods || p.noWay || i.run.Instance().String() != id:
		case i.busy:
			return nil, false, platform.Busy
		default:
			return i, false, nil
		}
	}
	return nil, false, platform.NotFound
}

// start starts an instance. p.mu is held.
func (p *Platform) start(number int) (*Instance, error) {
	p.started++
	i := &Instance{Node: number, Host: fmt.Sprintf("node/%d.%d", number, p.started)}
	cfg := node.Config{
		Memory: 256 << 20, Logger: p.log,
		Dial: func(ctx context.Context, addr string) (net.Conn, error) {
			nc, err := p.net.Dial(ctx, i.Host, addr)
			if err != nil || !p.liars {
				return nc, err
			}
			return &liar{Conn: nc, p: p, number: number}, nil
		},
	}
	if p.pods {
		cfg.Address = i.Host + ":8076"
	}
	var err error
	if i.run, err = node.New(cfg); err != nil {
		return nil, err
	}
	if p.pods {
		l, err := p.net.Listen(cfg.Address)
		if err != nil {
			return nil, err
		}
		i.listener = l
		p.work.Go(func() { i.run.Serve(p.life, l) })
	}
	p.instances[number] = append(p.instances[number], i)
	if p.hidden[number] > 0 {
		p.happened[Duplicated]++
	}
	return i, nil
}

// Next implements platform.Overlapping.
func (p *Platform) Next(_ context.Context, number int) (string, error) {
	time.Sleep(p.Thaw) // a request on its way to the instance
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.pods {
		return "", nil
	}
	if p.mislead != nil {
		if id := p.mislead(number); id != "" {
			return id, nil
		}
	}
	for _, i := range p.instances[number] {
		if !i.outlived {
			return i.run.Instance().String(), nil
		}
	}
	if len(p.instances[number])+len(p.told[number]) == 0 {
		return "", nil
	}
	i, err := p.start(number)
	if err != nil {
		return "", err
	}
	return i.run.Instance().String(), nil
}

// NoWay has no instance be found that is not next, as where they have no addresses.
func (p *Platform) NoWay() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.noWay = true
}

// Mislead has answer speak in the platform's place when it is asked which instance is
// next, unless what it says is empty. It is for pods.
func (p *Platform) Mislead(answer func(node int) string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mislead = answer
}

// Outlive has the node's instances get no session any more: the platform starts
// another one, as after a change of what is deployed, and takes the old ones when
// they are in no session. It is for pods.
func (p *Platform) Outlive(number int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, i := range p.instances[number] {
		if !i.outlived {
			i.outlived = true
			p.happened[Outmoded]++
			p.work.Go(func() { p.scaleDown(i) })
		}
	}
}

// stableWindow is how long an instance that is outlived is idle before it is taken.
const stableWindow = 30 * time.Second

// scaleDown takes an instance that is outlived when it has been idle for long, with
// notice.
func (p *Platform) scaleDown(i *Instance) {
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for idle := time.Duration(0); idle < stableWindow; idle += time.Second {
		select {
		case <-look.C:
		case <-p.life.Done():
			return
		}
		p.mu.Lock()
		if i.busy {
			idle = 0
		}
		p.mu.Unlock()
	}
	p.mu.Lock()
	n := slices.Index(p.instances[i.Node], i)
	p.mu.Unlock()
	if n >= 0 { // it was not taken otherwise
		p.NoticeOne(i.Node, n, 25*time.Second)
	}
}

// Instances are a node's instances, without those that are hidden.
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

// InSession are the nodes with an instance in session, in order.
func (p *Platform) InSession() (nodes []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n, all := range p.instances {
		if slices.ContainsFunc(all, func(i *Instance) bool { return i.busy }) {
			nodes = append(nodes, n)
		}
	}
	slices.Sort(nodes)
	return nodes
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
	p.mu.Lock()
	var all []*Instance
	for _, is := range p.instances {
		all = append(all, is...)
	}
	p.instances = map[int][]*Instance{}
	p.mu.Unlock()
	for _, i := range all {
		p.net.Thaw(i.Host)
	}
	p.work.Wait()
	for _, i := range all {
		p.net.Thaw(i.Host)
		i.shut()
	}
}
