package node

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// notice tells the node that it ends in so much time. The channel gets how long it
// took until the process might end.
func (w *world) notice(left time.Duration) <-chan time.Duration {
	took := make(chan time.Duration, 1)
	w.wg.Go(func() {
		start := time.Now()
		w.node.Notice(left)
		took <- time.Since(start)
	})
	return took
}

// noticed takes the node's NOTICE.
func (p *peer) noticed(session uint64, left time.Duration) {
	p.t.Helper()
	var s wire.Session
	p.expect(wire.TypeNotice, 0, &s)
	if told := time.Duration(s.Number) * time.Millisecond; s.Session != session || s.Epoch != p.epoch || told > left || told < left-10*time.Millisecond {
		p.t.Errorf("NOTICE %+v, want %v left in session %d", s, left, session)
	}
}

func TestNoticeInASession(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		inv := invocation(1)
		inv.Linger.Stay = time.Hour
		p, returned := w.join(inv)
		p.put(1, 1<<20)
		took := w.notice(400 * time.Millisecond)
		p.noticed(1, 400*time.Millisecond)
		p.get(1, 1<<20) // taken elsewhere
		if all, _ := p.list(0); len(all) != 1 {
			t.Errorf("listed %d chunks, want 1", len(all))
		}
		var s wire.Session
		p.expect(wire.TypeSleep, 0, &s)
		if s.Number != 3 {
			t.Errorf("SLEEP after %d requests, want 3", s.Number)
		}
		p.say(wire.TypeAsleep, 0)
		r := <-returned
		if r.Reason != "notice" || r.Requests != 3 || r.Chunks != 1 {
			t.Errorf("returned %+v", r)
		}
		p.ended()
		if d := <-took; d >= 400*time.Millisecond {
			t.Errorf("the process may end after %v, though nothing was left to do", d)
		}
		if r := <-w.invoke(invocation(2)); r.Reason != "notice" {
			t.Errorf("an invocation after the notice returned %+v", r)
		}
	})
}

// A node that was asleep with its link kept tells its proxy too, and serves without
// an invocation.
func TestNoticeWhileAsleep(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p, returned := w.join(invocation(1))
		p.put(1, 1<<20)
		p.sleep(1, returned)
		time.Sleep(time.Hour)
		took := w.notice(400 * time.Millisecond)
		p.noticed(1, 400*time.Millisecond)
		p.get(1, 1<<20)
		var s wire.Session
		p.expect(wire.TypeSleep, 0, &s)
		if s.Number != 1 {
			t.Errorf("SLEEP after %d requests, want 1 since the notice", s.Number)
		}
		p.say(wire.TypeAsleep, 0)
		p.ended()
		if d := <-took; d >= 400*time.Millisecond {
			t.Errorf("the process may end after %v, though nothing was left to do", d)
		}
	})
}

// What the proxy still asks for when the time is over stays unanswered, and a bye
// is said.
func TestNoticeThatIsTooShort(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p, returned := w.join(invocation(1))
		p.put(1, 1<<20)
		took := w.notice(100 * time.Millisecond)
		p.noticed(1, 100*time.Millisecond)
		s := p.beginFetch(1, 0, 4, wire.BlockSize) // and no further credit
		p.block(s, 1, content(1, 1<<20), 0)
		p.expect(wire.TypeBye, 0, nil)
		if r := <-returned; r.Reason != "notice" {
			t.Errorf("returned %+v", r)
		}
		p.ended()
		if d := <-took; d > 100*time.Millisecond {
			t.Errorf("the process may end after %v of 100ms", d)
		}
	})
}

// A proxy that says nothing and reads nothing delays nobody.
func TestNoticeToADeafProxy(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p, returned := w.join(invocation(1))
		p.put(1, 4<<20)
		w.net.Freeze("proxy")
		if d := <-w.notice(300 * time.Millisecond); d > 300*time.Millisecond {
			t.Errorf("the process may end after %v of 300ms", d)
		}
		if r := <-returned; r.Reason != "notice" {
			t.Errorf("returned %+v", r)
		}
		w.net.Thaw("proxy")
	})
}

func TestNoticeWithNobodyToTell(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		if d := <-w.notice(time.Hour); d != 0 {
			t.Errorf("an instance that was never invoked may end after %v", d)
		}
	})
	inWorld(t, Config{}, func(w *world) {
		p, returned := w.join(invocation(1))
		p.sleep(0, returned)
		w.net.Drop("node")
		p.ended()
		synctest.Wait()
		if d := <-w.notice(time.Hour); d != 0 {
			t.Errorf("an instance without a link may end after %v", d)
		}
	})
	inWorld(t, Config{}, func(w *world) {
		w.node.Close()
		if d := <-w.notice(time.Minute); d > time.Minute {
			t.Errorf("a closed instance may end after %v", d)
		}
	})
}

// The platform ends an instance and its proxy together: what it holds is there for the
// next proxy, as long as there is time.
func TestNoticeOutlivesItsProxy(t *testing.T) {
	for _, tt := range []struct {
		name string
		cut  func(p *peer, cancel func()) // what the instance sees of its proxy's end
		want string                       // why the session ended
	}{
		{"the link breaks", func(p *peer, _ func()) { p.conn.Close(nil) }, "link-lost"},
		{"the request is cut", func(_ *peer, cancel func()) { cancel() }, "deadline"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Config{}, func(w *world) {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				inv := invocation(1)
				returned := w.invokeFor(ctx, inv)
				p := <-w.links
				p.welcome(inv)
				p.put(1, 1000)
				took := w.notice(25 * time.Second)
				p.expect(wire.TypeNotice, 0, nil)
				tt.cut(p, cancel)
				if r := <-returned; r.Reason != tt.want {
					t.Errorf("returned %+v", r)
				}
				time.Sleep(9 * time.Second)

				inv.Epoch, inv.Adopt = 8, true
				p, returned = w.join(inv)
				p.noticed(1, 16*time.Second)
				p.get(1, 1000)
				p.expect(wire.TypeSleep, 0, nil)
				p.say(wire.TypeAsleep, 0)
				if r := <-returned; r.Reason != "notice" || r.Chunks != 1 {
					t.Errorf("returned %+v", r)
				}
				if d := <-took; d < 9*time.Second || d > 10*time.Second {
					t.Errorf("the process may end after %v, want it when the proxy agrees", d)
				}
				inv.Session = 2
				if r := <-w.invoke(inv); r.Reason != "notice" {
					t.Errorf("after that: %+v", r)
				}
			})
		})
	}
}

// An instance that nobody comes for ends by itself, and at once if it holds nothing.
func TestNoticeThatNobodyComesFor(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p, returned := w.join(invocation(1))
		p.put(1, 1000)
		p.sleep(1, returned)
		p.conn.Close(nil)
		synctest.Wait()
		if d := <-w.notice(25 * time.Second); d < 24*time.Second || d >= 25*time.Second {
			t.Errorf("the process may end after %v, want a little less than 25s", d)
		}
		if r := <-w.invoke(invocation(2)); r.Reason != "notice" {
			t.Errorf("after that: %+v", r)
		}
	})
	inWorld(t, Config{}, func(w *world) {
		p, returned := w.join(invocation(1))
		p.put(1, 1000)
		took := w.notice(25 * time.Second)
		p.expect(wire.TypeNotice, 0, nil)
		p.freeChunks(chunkOf(1))
		p.conn.Close(nil)
		<-returned
		if d := <-took; d > time.Second {
			t.Errorf("an instance that gave everything away may end after %v", d)
		}
	})
}

func TestStayIsAsLongAsTheProxySays(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p, returned := w.join(invocation(1))
		p.expect(wire.TypeSleep, 0, nil)
		start := time.Now()
		p.say(wire.TypeStay, 5000)
		p.expect(wire.TypeSleep, 0, nil)
		if d := time.Since(start); d < 5*time.Second || d > 5010*time.Millisecond {
			t.Errorf("asked to sleep again after %v, want 5s", d)
		}
		p.say(wire.TypeStay, 0)
		p.sleep(0, returned)
	})
}

// What only the proxy wants is not for good: it may be wrong, or end in the middle.
func TestReleasedInstanceTakesFurtherSessions(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p, returned := w.join(invocation(1))
		p.put(1, 1000)
		p.say(wire.TypeNotice, 25_000)
		p.expect(wire.TypeNotice, 0, nil)
		p.get(1, 1000) // it serves on
		p.expect(wire.TypeSleep, 0, nil)
		p.say(wire.TypeAsleep, 0)
		if r := <-returned; r.Reason != "notice" {
			t.Errorf("returned %+v", r)
		}
		p.ended()

		// Its proxy ends in the middle of another release; the next one adopts.
		p, returned = w.join(invocation(2))
		p.get(1, 1000)
		p.say(wire.TypeNotice, 25_000)
		p.expect(wire.TypeNotice, 0, nil)
		p.conn.Close(nil)
		if r := <-returned; r.Reason != "link-lost" {
			t.Errorf("returned %+v", r)
		}
		inv := invocation(1)
		inv.Epoch, inv.Adopt = 8, true
		p, returned = w.join(inv)
		p.get(1, 1000)
		p.sleep(1, returned)

		// The platform's own is final.
		took := w.notice(10 * time.Second)
		p.expect(wire.TypeNotice, 0, nil)
		p.expect(wire.TypeSleep, 0, nil)
		p.say(wire.TypeAsleep, 0)
		if d := <-took; d > time.Second {
			t.Errorf("an idle instance left after %v", d)
		}
		inv.Session = 2
		if r := <-w.invoke(inv); r.Reason != "notice" {
			t.Errorf("after the notice: %+v", r)
		}
	})
}
