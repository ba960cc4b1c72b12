package stripe

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/object"
)

// A node that was late for one stripe is asked for others only in need.
func TestLateChunkIsNotAskedFirstAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store(t, randomBytes(6*testStripe), object.Shape{Data: 4, Parity: 2}, testStripe)
		src := &fakeSource{stored: s, every: map[uint16]fault{2: {delay: time.Hour}}}
		r := NewReader(src, s.rec, ReaderOptions{Policy: PolicyHedged, Buffers: NewBuffers(32 << 20)})
		checkRange(t, r, s.object, 0, -1)
		if got := src.askedOf(5); got != 0b011011 {
			t.Errorf("the last stripe was asked for %b, want the four that came in time", got)
		}
		src.wg.Wait()
	})
}
