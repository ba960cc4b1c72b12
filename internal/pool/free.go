package pool

import (
	"context"
	"time"

	"github.com/infinicache/infinicache/internal/catalog"
	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/wire"
)

// dead is a chunk that nobody needs any more and that the instance holds, or
// may hold: it was sent, and what became of it is not known.
type dead struct {
	chunk wire.Chunk
	cost  int64
}

// bury notes a dead chunk.
func (i *instance) bury(d dead) {
	if i.dead == nil {
		i.dead = map[wire.Chunk]int64{}
	}
	i.deadBytes += d.cost - i.dead[d.chunk]
	i.dead[d.chunk] = d.cost
}

// exhume takes a chunk out of the dead, because it is about to be stored again,
// and tells whether it was among them.
func (i *instance) exhume(c wire.Chunk) bool {
	cost, ok := i.dead[c]
	i.deadBytes -= cost
	delete(i.dead, c)
	return ok
}

// collect takes as many of the dead as one FREE can name.
func (i *instance) collect() []dead {
	batch := make([]dead, 0, min(len(i.dead), wire.MaxFrees))
	for c, cost := range i.dead {
		if len(batch) == wire.MaxFrees {
			break
		}
		batch = append(batch, dead{c, cost})
		i.exhume(c)
	}
	return batch
}

// Free says that a chunk is not needed any more. Its bytes count as held until
// the instance has confirmed that it let go; an instance that sleeps hears of it
// when it is next awake, see Flush.
func (p *Pool) Free(at catalog.Place, chunk wire.Chunk, cost int64) {
	if at.Instance == 0 || int(at.Node) >= len(p.nodes) {
		return
	}
	n := p.nodes[at.Node]
	n.mu.Lock()
	var after []func()
	if i := n.known(at.Instance); i != nil {
		i.bury(dead{chunk, cost})
		after = n.freeSoon(i)
	}
	n.mu.Unlock()
	run(after)
}

// freeSoon has an awake instance let go of its dead, now or in a moment.
func (n *node) freeSoon(i *instance) []func() {
	switch {
	case i != n.current || n.machine.Phase() != lifecycle.Awake:
	case len(i.dead) >= freeBatch || i.deadBytes >= freeBytes:
		return n.sendFrees()
	case !n.freeing.soon:
		n.freeing.soon = true
		time.AfterFunc(freeDelay, n.freeLate)
	}
	return nil
}

// A FREE costs a request like any other, so dead chunks are gathered: until they
// are many, or large, or a moment has passed.
const (
	freeBatch = 64
	freeBytes = 512 << 10
	freeDelay = 25 * time.Millisecond
)

// freeLate sends what was gathered, if the node is still awake. Otherwise its
// next welcome does.
func (n *node) freeLate() {
	n.mu.Lock()
	n.freeing.soon = false
	var after []func()
	if n.machine.Phase() == lifecycle.Awake {
		after = n.sendFrees()
	}
	n.mu.Unlock()
	run(after)
}

// Dead is how many bytes the node's current instance holds that nobody needs.
func (p *Pool) Dead(node uint32) int64 {
	n := p.nodes[node]
	n.mu.Lock()
	defer n.mu.Unlock()
	sum := n.freeing.bytes
	if n.current != nil {
		sum += n.current.deadBytes
	}
	return sum
}

// Flush wakes a node that holds dead bytes and returns when it has let go of
// those that were dead when Flush was called, or cannot.
func (p *Pool) Flush(ctx context.Context, node uint32) error {
	n := p.nodes[node]
	for {
		n.mu.Lock()
		if n.current == nil || len(n.current.dead) == 0 && n.freeing.call == nil {
			n.mu.Unlock()
			return nil
		}
		after := n.sendFrees()
		done := n.freeing.done
		n.mu.Unlock()
		run(after)
		select {
		case <-done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		n.mu.Lock()
		err := n.freeing.err
		n.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// freeing is the FREE of a node, of which there is one at a time.
type freeing struct {
	call  *Call         // under way; nil if there is none
	bytes int64         // costs of the chunks it names
	done  chan struct{} // closed when it ends
	err   error         // how the last one ended
	soon  bool          // freeLate is to come
}

// sendFrees asks the current instance to let go of a batch of dead chunks,
// unless it is being asked already. It wakes the node.
func (n *node) sendFrees() []func() {
	if n.freeing.call != nil || n.current == nil || len(n.current.dead) == 0 {
		return nil
	}
	c := &Call{kind: callFree, n: n}
	n.freeing.call, n.freeing.done = c, make(chan struct{})
	n.gather(c, n.current)
	return n.begin(c)
}

// gather lets a FREE that is not sent yet name the dead of an instance, in place
// of those that it named.
func (n *node) gather(c *Call, i *instance) {
	n.ungather(c)
	c.holder, c.frees = i, i.collect()
	for _, d := range c.frees {
		n.freeing.bytes += d.cost
	}
}

// ungather takes back what a FREE names.
func (n *node) ungather(c *Call) {
	for _, d := range c.frees {
		n.freeing.bytes -= d.cost
		c.holder.bury(d)
	}
	c.frees = nil
}

// nothing is a chunk that never is.
var nothing = wire.Chunk{Version: 1<<64 - 1}

// named are the chunks that a FREE names to the instance that is about to get it.
// Another one may speak by now than when the FREE began to wait: that one is
// told of its own dead. A request that was counted must be sent, so with none it
// names nothing.
func (n *node) named(c *Call, speaker *instance) []wire.Chunk {
	if c.holder != speaker {
		n.gather(c, speaker)
	}
	chunks := make([]wire.Chunk, 0, len(c.frees)+1)
	for _, d := range c.frees {
		chunks = append(chunks, d.chunk)
	}
	if len(chunks) == 0 {
		chunks = append(chunks, nothing)
	}
	return chunks
}

// freed takes the answer to a FREE. It says what the instance uses, and comes in
// order: of the stores under way, it counts those that were sent before.
func (n *node) freed(l *nodeLink, c *Call, used int64) {
	for _, d := range c.frees {
		n.freeing.bytes -= d.cost
	}
	c.frees = nil
	for stream, s := range l.calls {
		if s.kind == callStore && stream < c.stream {
			used -= s.cost
		}
	}
	c.holder.held = max(0, used)
}

// freesDone ends a FREE. What an instance did not confirm is dead still, and it
// is asked again, when it is awake again.
func (n *node) freesDone(c *Call, err error) []func() {
	n.ungather(c)
	n.freeing.call, n.freeing.err = nil, err
	close(n.freeing.done)
	if err == nil {
		return n.sendFrees()
	}
	return nil
}
