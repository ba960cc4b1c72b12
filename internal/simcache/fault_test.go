package simcache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache"
	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/wire"
)

func mustPut(t *testing.T, c *infinicache.Client, key string, body []byte) {
	t.Helper()
	if _, err := c.PutBytes(t.Context(), key, body); err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
}

func mustGet(t *testing.T, c *infinicache.Client, key string, want []byte) {
	t.Helper()
	got, err := c.GetBytes(t.Context(), key)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("get %s: %d bytes, equal %v, error %v", key, len(got), bytes.Equal(got, want), err)
	}
}

// An instance that was given up as lost comes back with chunks: it must drop
// them, and the node's books must be right again.
func TestInstanceGivenUpComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{Nodes: 12})
		c := w.Client()
		want := content(1, 10<<20)
		mustPut(t, c, "k", want)
		time.Sleep(time.Minute)
		show := w.Platform.Hide(3)
		for range 6 { // the fresh instance plays session after session
			mustGet(t, c, "k", want)
			time.Sleep(5 * time.Second)
		}
		if w.Proxy.Status().InstancesLost != 1 {
			t.Fatalf("%d instances lost, want 1", w.Proxy.Status().InstancesLost)
		}
		w.Platform.Reclaim(3) // the fresh one
		show()
		for range 6 {
			mustGet(t, c, "k", want)
			time.Sleep(5 * time.Second)
		}
		if i := w.Platform.Instances(3); len(i) != 1 {
			t.Fatalf("node 3 has %d instances, want the old one", len(i))
		}
		for _, n := range w.Proxy.Status().Nodes {
			if n.Held > 1<<20+64<<10 {
				t.Errorf("node %d holds %d bytes, want one chunk of 1 MiB at most", n.Node, n.Held)
			}
		}
		w.NothingUnexplained()
	})
}

// A node that stops in the middle of everything must not hold readers up for
// long: hedged reads go on without it.
func TestOneFrozenNodeDoesNotHoldReadersUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{Nodes: 12, Linger: time.Minute})
		c := w.Client()
		want := content(1, 10<<20)
		mustPut(t, c, "k", want)
		for range 20 {
			mustGet(t, c, "k", want)
		}
		host := w.Platform.Instances(5)[0].Host
		w.Net.Freeze(host)
		var worst time.Duration
		for range 50 {
			began := time.Now()
			mustGet(t, c, "k", want)
			worst = max(worst, time.Since(began))
		}
		if worst > time.Second {
			t.Errorf("the slowest read beside a frozen node took %v", worst)
		}
		w.Net.Thaw(host)
		time.Sleep(5 * time.Second)
		mustGet(t, c, "k", want)
		w.NothingUnexplained()
	})
}

// Writes go on when a node stops in mid-chunk; what it missed is repaired.
func TestPutBesideAFrozenNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{Nodes: 14, Linger: time.Minute})
		c := w.Client()
		mustPut(t, c, "warm", content(9, 10<<20))
		frozen := 0
		for len(w.Platform.Instances(frozen)) == 0 {
			frozen++
		}
		w.Net.Freeze(w.Platform.Instances(frozen)[0].Host)
		began := time.Now()
		for i := range 5 {
			mustPut(t, c, fmt.Sprint("k", i), content(uint64(i), 10<<20))
		}
		if d := time.Since(began); d > 10*time.Second {
			t.Errorf("five puts beside a frozen node took %v", d)
		}
		for i := range 5 {
			mustGet(t, c, fmt.Sprint("k", i), content(uint64(i), 10<<20))
		}
		w.NothingUnexplained()
	})
}

// Links that break at awkward places lose time, never bytes.
func TestLinksBreakAnywhere(t *testing.T) {
	for _, rule := range []string{
		"reset proxy->node/* after 300000 bytes",
		"reset node/*->proxy after 700000 bytes",
		"reset proxy->client/* after 5000000 bytes",
		"truncate node/*->proxy after 1500000 bytes",
		"stall node/*->proxy after 600000 bytes for 3s",
		"stall proxy->node/* after 600000 bytes for 3s",
		"flip node/*->proxy byte 800000",
		"delay node/*->proxy 20ms jitter 30ms",
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := New(t, Config{Nodes: 14, Shape: object.Shape{Data: 10, Parity: 2}})
				c := w.Client()
				mustPut(t, c, "before", content(7, 12<<20))
				faults, err := w.Net.Script(rule)
				if err != nil {
					t.Fatal(err)
				}
				wrong, missing := 0, 0
				for i := range 12 {
					key := fmt.Sprint("k", i%4)
					body := content(uint64(i), 8<<20)
					if _, err := c.PutBytes(t.Context(), key, body); err != nil {
						missing++
						continue
					}
					got, err := c.GetBytes(t.Context(), key)
					switch {
					case err != nil:
						missing++
					case !bytes.Equal(got, body):
						wrong++
					}
					time.Sleep(2 * time.Second)
				}
				fired := 0
				for _, f := range faults {
					fired += f.Fired()
				}
				if fired == 0 {
					t.Errorf("the fault never happened\n%s", w.Net.Report())
				}
				if wrong > 0 || missing > 6 {
					t.Errorf("%d wrong answers and %d failures of 12\n%s", wrong, missing, w.Net.Report())
				}
				w.NothingUnexplained()
			})
		})
	}
}

// Nodes that cannot be woken are not hammered.
func TestThrottledInvocationsBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{})
		c := w.Client()
		w.Platform.Throttle(1 << 30)
		began := time.Now()
		for time.Since(began) < 30*time.Second {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			if _, err := c.PutBytes(ctx, "k", content(1, 10<<20)); err == nil {
				t.Fatal("a put succeeded though no node can be woken")
			}
			cancel()
		}
		if n, _ := w.Platform.Invocations(); n > 14*40 {
			t.Errorf("%d invocations in 30 s that were all throttled", n)
		}
		w.Platform.Throttle(0)
		time.Sleep(5 * time.Second)
		mustPut(t, c, "k", content(1, 10<<20))
		mustGet(t, c, "k", content(1, 10<<20))
	})
}

// Strangers at the doors are refused and change nothing.
func TestStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{})
		c := w.Client()
		want := content(1, 5<<20)
		mustPut(t, c, "k", want)
		node, client := wire.Preface(wire.RoleNode), wire.Preface(wire.RoleClient)
		newer := client
		newer[4]++
		forged := wire.AppendFrame(node[:], wire.TypeHello, 0, 0, &wire.Hello{Node: 0, Epoch: 1, Session: 1, Capacity: 1 << 30})
		for name, try := range map[string]struct {
			addr string
			send []byte
		}{
			"another protocol":     {ClientAddr, []byte("GET / HTTP/1.1\r\n\r\n")},
			"newer version":        {ClientAddr, newer[:]},
			"node at client door":  {ClientAddr, node[:]},
			"client at node door":  {NodeAddr, client[:]},
			"forged hello":         {NodeAddr, forged},
			"data before hello":    {NodeAddr, wire.AppendFrame(node[:], wire.TypeDone, 0, 1, &wire.Done{})},
			"nodes' frame":         {ClientAddr, wire.AppendFrame(client[:], wire.TypePong, 0, 1, &wire.Session{})},
			"huge metadata":        {ClientAddr, append(client[:], byte(wire.TypeOpen), 0, 0, 0, 1, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0)},
			"read of nothing open": {ClientAddr, wire.AppendFrame(client[:], wire.TypeRead, 0, 2, &wire.Read{Open: 1, Wants: []wire.Want{{To: 1}}})},
		} {
			nc, err := w.Net.Dial(t.Context(), "stranger", try.addr)
			if err != nil {
				t.Fatal(err)
			}
			nc.Write(try.send)
			nc.SetReadDeadline(time.Now().Add(20 * time.Second))
			answer, err := io.ReadAll(nc)
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() && name != "read of nothing open" {
				t.Errorf("%s: the link is still open after 20 s (%d bytes of answer)", name, len(answer))
			}
			nc.Close()
			mustGet(t, c, "k", want)
		}
		if n := w.Proxy.Status().Refused; n < 5 {
			t.Errorf("%d connections counted as refused, want 5 at least", n)
		}
	})
}

// Two clients set one key at once; afterwards every read is one of the two.
func TestTwoClientsSetOneKeyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{})
		a, b := w.Client(), w.Client()
		one, two := content(1, 5<<20), content(2, 6<<20)
		for range 10 {
			var wg sync.WaitGroup
			wg.Go(func() { mustPut(t, a, "k", one) })
			wg.Go(func() { mustPut(t, b, "k", two) })
			wg.Wait()
			first, err := a.GetBytes(t.Context(), "k")
			if err != nil || !bytes.Equal(first, one) && !bytes.Equal(first, two) {
				t.Fatalf("get: %d bytes, error %v", len(first), err)
			}
			mustGet(t, b, "k", first)
		}
		time.Sleep(time.Minute)
		s := w.Proxy.Status()
		var held int64
		for _, n := range s.Nodes {
			held += n.Held - n.Dead
		}
		if held > 8<<20 {
			t.Errorf("%d bytes are held for one object of 6 MiB at most", held)
		}
	})
}
