package node

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

func (p *peer) beginList(after uint64) uint32 {
	return p.begin(wire.TypeList, &wire.List{Fence: p.fence(), After: after})
}

func (p *peer) creditFor(stream uint32, bytes int) {
	p.conn.Send(wire.TypeCredit, 0, stream, &wire.Credit{Bytes: uint32(bytes)})
}

// holding takes frames of a list until its end, giving credit for each, and gives
// what they name and the end's value.
func (p *peer) holding(stream uint32, want wire.Code) (all []wire.Held, position uint64) {
	p.t.Helper()
	for {
		h := p.next()
		if h.Type == wire.TypeDone && h.Stream == stream {
			var d wire.Done
			if err := d.Decode(h.meta); err != nil {
				p.t.Fatal(err)
			}
			if h.Code != want {
				p.t.Errorf("the list ended with %v, want %v", d.Err(h.Code), want)
			}
			return all, d.Value
		}
		var m wire.Holding
		if h.Type != wire.TypeHolding || h.Stream != stream {
			p.t.Fatalf("received %v on stream %d in a list", h.Type, h.Stream)
		}
		if err := m.Decode(h.meta); err != nil {
			p.t.Fatal(err)
		}
		all = append(all, m.Items...)
		p.creditFor(stream, len(h.meta))
	}
}

func (p *peer) list(after uint64) ([]wire.Held, uint64) {
	p.t.Helper()
	return p.holding(p.beginList(after), wire.CodeOK)
}

func versionsOf(all []wire.Held) (v []uint64) {
	for _, h := range all {
		v = append(v, h.Chunk.Version)
	}
	return v
}

// fill stores so many chunks of one byte with records of so many bytes.
func (p *peer) fill(chunks, record int) {
	p.t.Helper()
	for i := range chunks {
		v := uint64(i + 1)
		s := p.begin(wire.TypeStore, &wire.Store{Fence: p.fence(), Chunk: chunkOf(v), Size: 1, Record: []byte(strings.Repeat("r", record))})
		p.sendBlock(s, v, content(v, 1), 0)
		p.done(s, wire.CodeOK)
	}
}

func TestListNamesChunksNewestFirst(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p, returned := w.join(invocation(1))
		if all, position := p.list(0); len(all) != 0 || position != 0 {
			t.Errorf("an empty node lists %v at position %d", all, position)
		}
		for v := range uint64(4) {
			p.put(v+1, 1000*int(v+1))
		}
		s := p.beginStore(9, 1000) // staged only
		p.freeChunks(chunkOf(2))   // position 5
		p.put(1, 777)              // again: freed and stored, positions 6 and 7
		all, position := p.list(0)
		if got, want := versionsOf(all), []uint64{1, 4, 3}; !slices.Equal(got, want) || position != 7 {
			t.Errorf("listed %v at position %d, want %v at 7", got, position, want)
		}
		if h := all[1]; h.Chunk != chunkOf(4) || h.Size != 4000 || string(h.Record) != "record" {
			t.Errorf("listed %+v", h)
		}
		if h := all[0]; h.Size != 777 {
			t.Errorf("listed %+v, want the chunk that was stored last", h)
		}
		p.sendBlock(s, 9, content(9, 1000), 0)
		p.done(s, wire.CodeOK)
		for after, want := range map[uint64][]uint64{3: {9, 1, 4}, 4: {9, 1}, 7: {9}, 8: nil, 1 << 40: nil} {
			all, position := p.list(after)
			if got := versionsOf(all); !slices.Equal(got, want) || position != 8 {
				t.Errorf("after %d listed %v at position %d, want %v at 8", after, got, position, want)
			}
		}
		p.sleep(uint64(14), returned)
	})
}

// Frames keep to their limits by items and by bytes, whatever the records.
func TestListIsCutIntoFrames(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		for i, c := range []struct{ chunks, record, frames int }{
			{wire.MaxHoldings + 1, 0, 2},
			{150, 1000, 3},
			{3, wire.MaxMeta - 38, 3},
		} {
			inv := invocation(uint64(i + 1))
			p, returned := w.join(inv)
			p.fill(c.chunks, c.record)
			s := p.beginList(0)
			frames, items := 0, 0
			for h := p.next(); h.Type == wire.TypeHolding; h = p.next() {
				var m wire.Holding
				if err := m.Decode(h.meta); err != nil {
					t.Fatal(err)
				}
				frames, items = frames+1, items+len(m.Items)
			}
			if frames != c.frames || items != c.chunks {
				t.Errorf("%d chunks in %d frames, want %d in %d", items, frames, c.chunks, c.frames)
			}
			for v := range c.chunks {
				p.freeChunks(chunkOf(uint64(v + 1)))
			}
			p.sleep(uint64(s)+uint64(c.chunks), returned)
			p.conn.Close(nil)
			synctest.Wait()
		}
	})
}

// A list of more than the window waits for credit, and others are served while it
// does; so are those who ask for another list, with a refusal.
func TestListWaitsForCredit(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p, returned := w.join(invocation(1))
		const chunks, record = 80, 70_000
		p.fill(chunks, record)
		s := p.beginList(0)
		window, taken := wire.StreamCredit, 0
		take := func() int {
			var m wire.Holding
			h := p.expect(wire.TypeHolding, s, &m)
			if len(m.Items) != 1 || m.Items[0].Chunk != chunkOf(uint64(chunks-taken)) {
				t.Fatalf("frame %d names %v", taken, versionsOf(m.Items))
			}
			taken++
			return len(h.meta)
		}
		size := take()
		for range window/size - 1 {
			take()
		}
		p.silent(time.Second)
		p.get(1, 1)
		p.done(p.beginList(0), wire.CodeBusy)
		p.creditFor(s, size)
		take()
		p.creditFor(s, 10*size)
		for range 10 {
			take()
		}
		p.silent(time.Second)
		p.creditFor(s, 1<<30)
		for taken < chunks {
			take()
		}
		if position := p.done(s, wire.CodeOK); position != chunks {
			t.Errorf("at position %d, want %d", position, chunks)
		}
		p.sleep(uint64(p.stream), returned)
	})
}

func TestListWithoutCreditIsGivenUp(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p, returned := w.join(invocation(1))
		p.fill(80, 70_000)
		start := time.Now()
		s := p.beginList(0)
		h := p.next()
		for ; h.Type == wire.TypeHolding; h = p.next() {
		}
		if h.Type != wire.TypeDone || h.Stream != s || h.Code != wire.CodeTimeout {
			t.Errorf("received %v with code %v", h.Type, h.Code)
		}
		if d := time.Since(start); d < listPatience || d > listPatience+time.Second {
			t.Errorf("given up after %v", d)
		}
		p.sleep(uint64(p.stream), returned)
	})
}

func TestListIsCanceled(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p, returned := w.join(invocation(1))
		p.fill(80, 70_000)
		s := p.beginList(0)
		for range wire.StreamCredit / 70_100 {
			p.expect(wire.TypeHolding, s, nil)
		}
		p.conn.Send(wire.TypeCancel, 0, s, nil)
		p.done(s, wire.CodeCanceled)
		p.creditFor(s, 1<<30) // too late, and no harm
		if all, _ := p.list(79); len(all) != 1 {
			t.Errorf("the next list has %d chunks, want 1", len(all))
		}
		p.sleep(uint64(p.stream), returned)
	})
}

// A list ends with its link, and keeps the session no longer.
func TestListOnALostLink(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		inv := invocation(1)
		p, returned := w.join(inv)
		p.fill(80, 70_000)
		p.beginList(0)
		synctest.Wait()
		w.net.Drop("node")
		p.ended()
		requests := uint64(p.stream)
		p = <-w.links
		p.welcome(inv)
		if all, _ := p.list(79); len(all) != 1 {
			t.Errorf("the next list has %d chunks, want 1", len(all))
		}
		p.sleepAfter(1, requests+1, returned)
	})
}

// A list of chunks that are dropped meanwhile ends with an error.
func TestListOfDroppedChunks(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p, returned := w.join(invocation(1))
		p.fill(80, 70_000)
		s := p.beginList(0)
		for range wire.StreamCredit / 70_100 {
			p.expect(wire.TypeHolding, s, nil)
		}
		w.node.mu.Lock()
		err := w.node.drop()
		w.node.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		p.creditFor(s, 1<<30)
		p.holding(s, wire.CodeClosed)
		if all, position := p.list(0); len(all) != 0 || position != 81 {
			t.Errorf("listed %d chunks at position %d after the drop, want none at 81", len(all), position)
		}
		p.sleep(uint64(p.stream), returned)
	})
}

// A list of another session is thrown away.
func TestListOfAnEarlierSession(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p, returned := w.join(invocation(2))
		p.begin(wire.TypeList, &wire.List{Fence: wire.Fence{Epoch: 7, Session: 1}})
		p.begin(wire.TypeList, &wire.List{Fence: wire.Fence{Epoch: 6, Session: 2}})
		p.sleep(0, returned)
	})
}
