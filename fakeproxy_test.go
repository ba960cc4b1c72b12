package infinicache_test

import (
	"context"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/infinicache/infinicache/internal/erasure"
	"github.com/infinicache/infinicache/internal/link"
	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/placement"
	"github.com/infinicache/infinicache/internal/wire"
)

// fakeProxy speaks a proxy's side of the protocol over a map of objects. It is as
// strict as a proxy about what clients may send, and misbehaves where its faults
// say so.
type fakeProxy struct {
	nodes int // of the pool, for shapes

	mu        sync.Mutex
	objects   map[string]*fakeObject
	version   uint64
	links     map[*fakeLink]struct{}
	total     int // links ever
	counts    map[wire.Type]int
	closes    map[wire.Code]int // of CLOSE, by code
	complaint error             // what a client did that it must not
	forgiving bool              // no complaint
	faults    fakeFaults
	changed   chan struct{} // closed when a frame was counted
}

// fakeFaults are the ways in which a fakeProxy misbehaves. Its functions are
// called with the proxy's mutex held, except frame.
type fakeFaults struct {
	// frame sees every frame first, and tells whether that was all.
	frame func(l *fakeLink, h wire.Header, meta []byte) (handled bool, err error)
	// end ends a wanted chunk with an error in place of its blocks.
	end func(stripe uint32, chunk uint16) error
	// block changes a block that is sent; false keeps it from being sent.
	block func(l *fakeLink, b *wire.Block, body *[]byte) bool
	// resend asks for a chunk again, once, when its stripe is complete.
	resend func(stripe uint32, chunk uint16) bool
	// window is what PLACED says; 0: wire.PutWindow.
	window uint32
}

type fakeObject struct {
	rec     wire.Record
	expires time.Time
	blocks  map[blockID]fakeBlock
}

type blockID struct {
	stripe uint32
	chunk  uint16
	index  uint32
}

type fakeBlock struct {
	sum  uint32
	body []byte
}

func newFakeProxy() *fakeProxy {
	return &fakeProxy{nodes: 20, objects: map[string]*fakeObject{}, links: map[*fakeLink]struct{}{},
		counts: map[wire.Type]int{}, closes: map[wire.Code]int{}, changed: make(chan struct{})}
}

// serve accepts links until the listener is closed, and returns when all have
// ended.
func (p *fakeProxy) serve(l net.Listener) {
	var wg sync.WaitGroup
	for {
		nc, err := l.Accept()
		if err != nil {
			break
		}
		wg.Go(func() {
			role, err := link.Greet(nc, wire.RoleProxy, time.Minute)
			if err != nil || role != wire.RoleClient {
				nc.Close()
				return
			}
			fl := &fakeLink{p: p, conn: link.New(nc, link.Config{}), pins: map[uint32]*fakeObject{}, puts: map[uint32]*fakePut{}}
			p.mu.Lock()
			p.links[fl] = struct{}{}
			p.total++
			p.mu.Unlock()
			err = fl.conn.Run(context.Background(), fl)
			p.mu.Lock()
			delete(p.links, fl)
			if code := wire.CodeOf(err); code == wire.CodeProtocol && p.complaint == nil && !p.forgiving {
				p.complaint = err
			}
			p.mu.Unlock()
		})
	}
	p.cut()
	wg.Wait()
}

// cut ends all links.
func (p *fakeProxy) cut() {
	p.mu.Lock()
	links := slices.Collect(maps.Keys(p.links))
	p.mu.Unlock()
	for _, l := range links {
		l.conn.Close(nil)
	}
}

func (p *fakeProxy) set(f fakeFaults) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = f
}

// wait returns when ok is true of the proxy's counts.
func (p *fakeProxy) wait(ok func() bool) {
	for {
		p.mu.Lock()
		done, changed := ok(), p.changed
		p.mu.Unlock()
		if done {
			return
		}
		<-changed
	}
}

// counted is how many frames of a type came.
func (p *fakeProxy) counted(t wire.Type) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts[t]
}

// closed is how many CLOSE came with a code.
func (p *fakeProxy) closed(code wire.Code) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closes[code]
}

// linked is how many links there ever were.
func (p *fakeProxy) linked() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.total
}

// stored is how many objects there are.
func (p *fakeProxy) stored() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.objects)
}

// forgive keeps the proxy from complaining of what clients do.
func (p *fakeProxy) forgive() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forgiving = true
}

func (p *fakeProxy) count(h wire.Header) fakeFaults {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts[h.Type]++
	if h.Type == wire.TypeClose {
		p.closes[h.Code]++
	}
	close(p.changed)
	p.changed = make(chan struct{})
	return p.faults
}

// bump replaces an object by a copy of it with a new version and other bytes in
// every block, with right checksums.
func (p *fakeProxy) bump(key string, change func([]byte)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.objects[key]
	p.version++
	o := &fakeObject{rec: old.rec, blocks: map[blockID]fakeBlock{}}
	o.rec.Version = p.version
	for id, b := range old.blocks {
		body := slices.Clone(b.body)
		change(body)
		o.blocks[id] = fakeBlock{wire.Checksum(p.version, id.stripe, id.chunk, id.index, body), body}
	}
	p.objects[key] = o
}

// fakeLink is one client's link.
type fakeLink struct {
	p    *fakeProxy
	conn *link.Conn
	last uint32
	pins map[uint32]*fakeObject
	puts map[uint32]*fakePut
	body []byte // of the block that is arriving
}

// fakePut is a version being stored.
type fakePut struct {
	o         *fakeObject
	msg       wire.Put
	layouts   []erasure.Layout
	missing   []int // blocks, by stripe
	used      int64 // of the window
	window    uint32
	resent    map[[2]uint32]bool
	committed bool
}

func (l *fakeLink) done(stream uint32, err error, value uint64) {
	code, d := wire.DoneOf(err)
	d.Value = value
	l.conn.Send(wire.TypeDone, code, stream, d)
}

func broken(format string, args ...any) error {
	return wire.Errorf(wire.CodeProtocol, format, args...)
}

func (l *fakeLink) Frame(h wire.Header, meta []byte) error {
	faults := l.p.count(h)
	if faults.frame != nil {
		if handled, err := faults.frame(l, h, meta); handled || err != nil {
			if h.Stream > l.last {
				l.last = h.Stream
			}
			return err
		}
	}
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	switch h.Type {
	case wire.TypeOpen, wire.TypeStat, wire.TypeDelete, wire.TypeRead, wire.TypePut:
		if h.Stream <= l.last {
			return broken("stream %d after %d", h.Stream, l.last)
		}
		l.last = h.Stream
	}
	switch h.Type {
	case wire.TypeOpen, wire.TypeStat, wire.TypeDelete:
		return l.question(h, meta)
	case wire.TypeRead:
		return l.read(h, meta)
	case wire.TypeClose:
		delete(l.pins, h.Stream)
		return nil
	case wire.TypePut:
		return l.put(h, meta)
	case wire.TypeStripe:
		return l.stripe(h, meta)
	case wire.TypeCommit:
		return l.commit(h, meta)
	case wire.TypeCancel:
		delete(l.puts, h.Stream)
		return nil
	}
	return broken("%v is no frame of a client", h.Type)
}

func (l *fakeLink) question(h wire.Header, meta []byte) error {
	var m wire.Open
	if err := m.Decode(meta); err != nil {
		return err
	}
	o := l.p.objects[m.Key]
	if o != nil && !o.expires.IsZero() && time.Now().After(o.expires) {
		o = nil
	}
	switch {
	case h.Type == wire.TypeDelete:
		delete(l.p.objects, m.Key)
		value := uint64(0)
		if o != nil {
			value = 1
		}
		l.done(h.Stream, nil, value)
	case o == nil:
		l.done(h.Stream, wire.Miss(wire.CauseNeverStored), 0)
	default:
		opened := &wire.Opened{Record: o.rec}
		if !o.expires.IsZero() {
			opened.ExpiresIn = time.Until(o.expires).Milliseconds()
		}
		if h.Type == wire.TypeOpen {
			l.pins[h.Stream] = o
		}
		l.conn.Send(wire.TypeOpened, wire.CodeOK, h.Stream, opened)
	}
	return nil
}

func (l *fakeLink) read(h wire.Header, meta []byte) error {
	var m wire.Read
	if err := m.Decode(meta); err != nil {
		return err
	}
	o := l.pins[m.Open]
	if o == nil {
		return broken("READ of stream %d, which pins nothing", m.Open)
	}
	for _, w := range m.Wants {
		err := error(nil)
		if f := l.p.faults.end; f != nil {
			err = f(m.Stripe, w.Chunk)
		}
		for i := w.From; i < w.To && err == nil; i++ {
			k, ok := o.blocks[blockID{m.Stripe, w.Chunk, i}]
			if !ok {
				return broken("READ of block %d of chunk %d of stripe %d, which there is not", i, w.Chunk, m.Stripe)
			}
			b, body := wire.Block{Stripe: m.Stripe, Chunk: w.Chunk, Index: i, Sum: k.sum}, k.body
			if f := l.p.faults.block; f != nil && !f(l, &b, &body) {
				continue
			}
			l.conn.SendBlock(h.Stream, b, body, nil, nil)
		}
		if err != nil {
			code, d := wire.DoneOf(err)
			d.Chunk = w.Chunk
			l.conn.Send(wire.TypeEnd, code, h.Stream, d)
		}
	}
	return nil
}

func (l *fakeLink) put(h wire.Header, meta []byte) error {
	var m wire.Put
	if err := m.Decode(meta); err != nil {
		return err
	}
	old := l.p.objects[m.Key]
	if (m.Condition == uint8(object.IfAbsent) && old != nil) || (m.Condition == uint8(object.IfPresent) && old == nil) {
		l.done(h.Stream, wire.ErrCondition, 0)
		return nil
	}
	l.p.version++
	shape := placement.ShapeFor(m.Size, l.p.nodes, object.Shape{Data: int(m.Data), Parity: int(m.Parity)})
	u := &fakePut{msg: m, window: wire.PutWindow, resent: map[[2]uint32]bool{}}
	if w := l.p.faults.window; w > 0 {
		u.window = w
	}
	u.o = &fakeObject{blocks: map[blockID]fakeBlock{}, rec: wire.Record{
		Key: m.Key, Version: l.p.version, Data: uint8(shape.Data), Parity: uint8(shape.Parity),
		Stripe: placement.StripeLen(m.Size), Stored: time.Now().UnixMilli(), Seal: m.Seal,
	}}
	switch {
	case m.KeepExpiry && old != nil:
		u.o.expires = old.expires
	case m.ExpiresIn != 0:
		u.o.expires = time.Now().Add(time.Duration(m.ExpiresIn) * time.Millisecond)
	}
	l.puts[h.Stream] = u
	l.conn.Send(wire.TypePlaced, wire.CodeOK, h.Stream, &wire.Placed{
		Version: u.o.rec.Version, Data: u.o.rec.Data, Parity: u.o.rec.Parity, Stripe: u.o.rec.Stripe, Window: u.window,
	})
	return nil
}

func (l *fakeLink) stripe(h wire.Header, meta []byte) error {
	var m wire.Stripe
	if err := m.Decode(meta); err != nil {
		return err
	}
	u := l.puts[h.Stream]
	if u == nil {
		return nil
	}
	if int(m.Stripe) != len(u.layouts) || m.Length > u.o.rec.Stripe {
		return broken("stripe %d of %d bytes after %d others", m.Stripe, m.Length, len(u.layouts))
	}
	layout := erasure.NewLayout(m.Length, int(u.o.rec.Data), int(u.o.rec.Parity))
	missing := 0
	for i := range layout.Chunks() {
		missing += layout.Blocks(i, wire.BlockSize)
	}
	u.layouts, u.missing = append(u.layouts, layout), append(u.missing, missing)
	u.o.rec.Size += m.Length
	return nil
}

func (l *fakeLink) Buffer(_ uint32, _ wire.Block, n int, vec [][]byte) [][]byte {
	l.body = make([]byte, n)
	return append(vec, l.body)
}

func (l *fakeLink) Block(stream uint32, b wire.Block, n int, err error) {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	u := l.puts[stream]
	if err != nil || u == nil {
		return
	}
	if int(b.Stripe) >= len(u.layouts) || wire.Checksum(u.o.rec.Version, b.Stripe, b.Chunk, b.Index, l.body) != b.Sum {
		l.conn.Close(broken("block %+v does not belong here", b))
		return
	}
	if u.used += int64(n); u.used > int64(u.window) {
		l.conn.Close(broken("%d bytes under way, window %d", u.used, u.window))
		return
	}
	id := blockID{b.Stripe, b.Chunk, b.Index}
	if _, ok := u.o.blocks[id]; !ok {
		u.missing[b.Stripe]--
	}
	u.o.blocks[id] = fakeBlock{b.Sum, l.body}
	u.used -= int64(n)
	l.conn.Send(wire.TypeCredit, wire.CodeOK, stream, &wire.Credit{Bytes: uint32(n)})
	if u.missing[b.Stripe] > 0 {
		return
	}
	if l.resend(u, stream, b.Stripe) {
		return
	}
	u.missing[b.Stripe] = -1 // stored
	l.conn.Send(wire.TypeStored, wire.CodeOK, stream, &wire.Place{Stripe: b.Stripe})
	l.settle(stream, u)
}

// resend forgets chunks and asks for them again.
func (l *fakeLink) resend(u *fakePut, stream, stripe uint32) (any bool) {
	layout := u.layouts[stripe]
	for c := range uint16(layout.Chunks()) {
		key := [2]uint32{stripe, uint32(c)}
		if l.p.faults.resend == nil || u.resent[key] || layout.Len(int(c)) == 0 || !l.p.faults.resend(stripe, c) {
			continue
		}
		any = true
		u.resent[key] = true
		for i := range uint32(layout.Blocks(int(c), wire.BlockSize)) {
			delete(u.o.blocks, blockID{stripe, c, i})
			u.missing[stripe]++
		}
		l.conn.Send(wire.TypeResend, wire.CodeOK, stream, &wire.Place{Stripe: stripe, Chunk: c})
	}
	return any
}

func (l *fakeLink) commit(h wire.Header, meta []byte) error {
	var m wire.Commit
	if err := m.Decode(meta); err != nil {
		return err
	}
	u := l.puts[h.Stream]
	if u == nil {
		return nil
	}
	if m.Size != u.o.rec.Size || int(m.Stripes) != len(u.layouts) {
		return broken("COMMIT %+v of %d bytes in %d stripes", m, u.o.rec.Size, len(u.layouts))
	}
	u.committed = true
	l.settle(h.Stream, u)
	return nil
}

// settle commits once every stripe is stored.
func (l *fakeLink) settle(stream uint32, u *fakePut) {
	for _, n := range u.missing {
		if n >= 0 {
			return
		}
	}
	if !u.committed {
		return
	}
	l.p.objects[u.msg.Key] = u.o
	delete(l.puts, stream)
	l.done(stream, nil, 1)
}
