package pool_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// TestNodeThatNeverAnswersIsLetGo: it is alive and says so, but the answer to a
// request never comes.
func TestNodeThatNeverAnswersIsLetGo(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		r.pool.Seek(0)
		s := r.invoked()
		e, _ := r.join(s, 1, 0, 0)
		call, res := r.store(0, wire.Chunk{Version: 1}, 100)
		e.want(wire.TypeStore, nil)
		call.Block(wire.Block{}, make([]byte, 100), &owner{})
		e.want(wire.TypeBlock, nil)
		began := time.Now()
		for {
			f := e.next()
			if f.Type != wire.TypePing {
				break // the link is closed
			}
			var p wire.Session
			if err := p.Decode(f.meta); err != nil {
				t.Fatal(err)
			}
			e.send(wire.TypePong, 0, 0, &p)
		}
		if took := time.Since(began); took < 30*time.Second || took > 32*time.Second {
			t.Errorf("let go after %v, want 30 s", took)
		}
		synctest.Wait()
		if res.err == nil || res.times != 1 {
			t.Errorf("the store ended %d times with %v", res.times, res.err)
		}
		r.books(0, cost(100), cost(100), 0)
	})
}
