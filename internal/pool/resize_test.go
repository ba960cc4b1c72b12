package pool_test

import (
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/pool"
)

// TestInstanceGivenUpDropsWhatItHolds in a reign that takes holdings over, too: what
// it has of this reign is in nobody's books any more.
func TestInstanceGivenUpDropsWhatItHolds(t *testing.T) {
	bubbleWith(t, pool.Config{Nodes: 1, Adopt: true}, func(t *testing.T, r *rig) {
		play := func(id byte, chunks uint64) (welcome uint64) {
			time.Sleep(time.Second)
			r.pool.Seek(0)
			s := r.invoked()
			e, welcome := r.join(s, id, chunks*uint64(cost(100)), chunks)
			r.sleep(s, e, 0)
			return welcome
		}
		if play(1, 1) != 0 {
			t.Error("an instance of an earlier reign was told to drop what it holds")
		}
		for _, fresh := range []byte{2, 3} {
			play(fresh, 0)
		}
		if play(1, 1) != 1 {
			t.Error("an instance that was given up may keep what it holds")
		}
	})
}

// TestNodeThatComesBackGoesOnCounting: the instances of a node that was removed and
// added again remember the sessions that it had.
func TestNodeThatComesBackGoesOnCounting(t *testing.T) {
	bubbleWith(t, pool.Config{Nodes: 2, Adopt: true}, func(t *testing.T, r *rig) {
		time.Sleep(time.Second)
		r.pool.Seek(1)
		s := r.invoked()
		e, _ := r.join(s, 1, 0, 0)
		r.sleep(s, e, 0)
		for _, nodes := range []int{1, 2} {
			if err := r.pool.Resize(nodes); err != nil {
				t.Fatal(err)
			}
		}
		r.pool.Seek(1)
		again := r.invoked()
		if again.Session <= s.Session {
			t.Errorf("session %d after session %d", again.Session, s.Session)
		}
		if _, welcome := r.join(again, 1, 100, 1); welcome != 1 {
			t.Error("an instance may keep what was stored before its node was removed")
		}
	})
}
