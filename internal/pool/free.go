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
// the instances that hold it have confirmed that they let go; one that sleeps
// hears of it when it is next awake, see Flush.
func (p *Pool) Free(at catalog.Place, chunk wire.Chunk, cost int64) {
	n := p.node(at.Node)
	if at.Instance == 0 || n == nil {
		return
	}
	n.mu.Lock()
	var after []func()
	if l := n.lots[at.Instance]; l != nil {
		for _, i := range n.instances {
			if l.heldBy(i) || i.dropCopy(l, chunk) {
				i.bury(dead{chunk, cost})
				after = append(after, n.freeSoon(i)...)
			}
		}
		n.dwindle(l)
		if l.chunks == 0 {
			after = n.tellHeld(after)
		}
	}
	n.mu.Unlock()
	run(after)
}

// freeSoon has an awake instance let go of its dead, now or in a moment.
func (n *node) freeSoon(i *instance) []func() {
	for _, s := range n.seats {
		switch {
		case i != s.current || !s.serving():
		case len(i.dead) >= freeBatch || i.deadBytes >= freeBytes:
			return s.sendFrees()
		case !s.freeing.soon:
			s.freeing.soon = true
			time.AfterFunc(freeDelay, s.freeLate)
		}
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
func (s *seat) freeLate() {
	s.n.mu.Lock()
	s.freeing.soon = false
	var after []func()
	if s.serving() {
		after = s.sendFrees()
	}
	s.n.mu.Unlock()
	run(after)
}

// Dead is how many bytes the node's current instance holds that nobody needs.
func (p *Pool) Dead(node uint32) int64 {
	n := p.node(node)
	if n == nil {
		return 0
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dead()
}

func (n *node) dead() int64 {
	s := n.ordinary()
	sum := s.freeing.bytes
	if s.current != nil {
		sum += s.current.deadBytes
	}
	return sum
}

// Flush wakes a node that holds dead bytes and returns when it has let go of
// those that were dead when Flush was called, or cannot.
func (p *Pool) Flush(ctx context.Context, node uint32) error {
	n := p.node(node)
	if n == nil {
		return wire.ErrLost
	}
	s := n.ordinary()
	for {
		n.mu.Lock()
		if s.current == nil || len(s.current.dead) == 0 && s.freeing.call == nil {
			n.mu.Unlock()
			return nil
		}
		after := s.sendFrees()
		done := s.freeing.done
		n.mu.Unlock()
		run(after)
		select {
		case <-done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		n.mu.Lock()
		err := s.freeing.err
		n.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// freeing is the FREE of a seat, of which there is one at a time.
type freeing struct {
	call  *Call         // under way; nil if there is none
	bytes int64         // costs of the chunks it names
	done  chan struct{} // closed when it ends
	err   error         // how the last one ended
	soon  bool          // freeLate is to come
}

// sendFrees asks the current instance to let go of a batch of dead chunks,
// unless it is being asked already. It wakes the node.
func (s *seat) sendFrees() []func() {
	if s.freeing.call != nil || s.current == nil || len(s.current.dead) == 0 {
		return nil
	}
	c := &Call{kind: callFree}
	if s.machine.Phase() != lifecycle.Asleep {
		c.cause = s.machine.Cause() // nobody waits for it
	}
	s.freeing.call, s.freeing.done = c, make(chan struct{})
	s.gather(c, s.current)
	return s.begin(c)
}

// gather lets a FREE that is not sent yet name the dead of an instance, in place
// of those that it named.
func (s *seat) gather(c *Call, i *instance) {
	s.ungather(c)
	c.holder, c.frees = i, i.collect()
	for _, d := range c.frees {
		s.freeing.bytes += d.cost
	}
}

// ungather takes back what a FREE names.
func (s *seat) ungather(c *Call) {
	for _, d := range c.frees {
		s.freeing.bytes -= d.cost
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
func (s *seat) named(c *Call, speaker *instance) []wire.Chunk {
	if c.holder != speaker {
		s.gather(c, speaker)
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
func (s *seat) freed(l *nodeLink, c *Call, used int64) {
	for _, d := range c.frees {
		s.freeing.bytes -= d.cost
	}
	c.frees = nil
	for stream, o := range l.calls {
		if o.kind == callStore && stream < c.stream {
			used -= o.cost
		}
	}
	c.holder.held = max(0, used)
}

// freesDone ends a FREE. What an instance did not confirm is dead still, and it
// is asked again, when it is awake again.
func (s *seat) freesDone(c *Call, err error) []func() {
	s.ungather(c)
	s.freeing.call, s.freeing.err = nil, err
	close(s.freeing.done)
	if err == nil {
		return s.sendFrees()
	}
	return nil
}
