package simcache

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache"
	"github.com/infinicache/infinicache/internal/pricing"
	"github.com/infinicache/infinicache/internal/proxy"
)

func TestProxyDialsNodes(t *testing.T) {
	for _, secured := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls %v", secured), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := New(t, Config{Pods: true, TLS: secured})
				c := w.Client()
				want := content(1, 10<<20)
				if _, err := c.PutBytes(t.Context(), "k", want); err != nil {
					t.Fatal(err)
				}
				for range 3 {
					time.Sleep(20 * time.Second)
					if got, err := c.GetBytes(t.Context(), "k"); err != nil || !bytes.Equal(got, want) {
						t.Fatalf("get: %v, equal %v", err, bytes.Equal(got, want))
					}
				}
				if _, started := w.Platform.Invocations(); started != 12 {
					t.Errorf("%d instances were started for 12 chunks, want 12", started)
				}
				w.NothingUnexplained()
			})
		})
	}
}

func TestNodesDialOverTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{TLS: true})
		c := w.Client()
		want := content(2, 25<<20)
		if _, err := c.PutBytes(t.Context(), "k", want); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if got, err := c.GetBytes(t.Context(), "k"); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("get: %v, equal %v", err, bytes.Equal(got, want))
		}
		w.NothingUnexplained()
	})
}

// Held nodes are in session nearly always: a session that has to end is followed by
// another, and no instance is idle for long.
func TestHeldNodesAreAlwaysInSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{Pods: true, Warm: 2 * time.Second, Proxy: func(c *proxy.Config) {
			c.Pool.Hold = true
			c.Pool.Linger = pricing.Fixed(time.Hour)
		}})
		c := w.Client()
		want := content(3, 10<<20)
		if _, err := c.PutBytes(t.Context(), "k", want); err != nil {
			t.Fatal(err)
		}
		var idle int
		for range 50 { // minutes
			time.Sleep(time.Minute)
			if w.Platform.Busy() < 12 {
				time.Sleep(4 * time.Second)
				if n := w.Platform.Busy(); n < 12 {
					idle++
					t.Logf("%d of 12 are in session 4 s after one ended", n)
				}
			}
		}
		if idle > 0 {
			t.Errorf("nodes were idle for more than 4 s in %d of 50 minutes", idle)
		}
		before, _ := w.Platform.Invocations()
		if before > 12*6 {
			t.Errorf("%d sessions of 15 min in 50 min, want about 4 for each of 12 nodes", before)
		}
		if got, err := c.GetBytes(t.Context(), "k"); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("get: %v, equal %v", err, bytes.Equal(got, want))
		}
		time.Sleep(2 * time.Hour) // nobody reads it: not kept any longer
		if n := w.Platform.Busy(); n != 0 {
			t.Errorf("%d nodes are held for what nobody has asked for in two hours", n)
		}
		w.NothingUnexplained()
	})
}

// keeping is how a pool of eight pods is kept.
type keeping struct {
	name   string
	warm   time.Duration
	linger time.Duration
	hold   bool
}

var (
	keptHeld   = keeping{"of nodes that are held", 2 * time.Second, time.Hour, true}
	keptWarm   = keeping{"of nodes that are kept warm", 10 * time.Second, 500 * time.Millisecond, false}
	keptAsleep = keeping{"of nodes that sleep", -1, 500 * time.Millisecond, false}
)

func (k keeping) config() Config {
	return Config{Nodes: 8, Pods: true, Warm: k.warm, Proxy: func(c *proxy.Config) {
		c.Pool.Hold, c.Pool.Linger = k.hold, pricing.Fixed(k.linger)
	}}
}

// outliveAll changes what is deployed for all nodes.
func outliveAll(w *Cache) {
	for node := range 8 {
		w.Platform.Outlive(node)
	}
}

// rounds reads all objects again and again, with pauses. None may be missing or
// changed, nor may a read fail, except that in the first rounds some may that are
// patient.
func rounds(t *testing.T, c *infinicache.Client, objects map[string][]byte, count int, pause time.Duration, patient int) {
	t.Helper()
	for round := range count {
		time.Sleep(pause)
		for key, want := range objects {
			got, err := c.GetBytes(t.Context(), key)
			if err != nil && !errors.Is(err, infinicache.ErrNotFound) && round < patient {
				continue
			}
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("round %d, %s: %v, equal %v", round, key, err, bytes.Equal(got, want))
			}
		}
	}
}

// putTen stores ten objects of 3 MiB and gives them by key.
func putTen(t *testing.T, c *infinicache.Client) map[string][]byte {
	t.Helper()
	objects := map[string][]byte{}
	for i := range 10 {
		key := fmt.Sprint("k", i)
		objects[key] = content(uint64(i), 3<<20+i)
		if _, err := c.PutBytes(t.Context(), key, objects[key]); err != nil {
			t.Fatal(err)
		}
	}
	return objects
}

// What is deployed changes for all nodes at once, and nobody drains them before: the
// old instances stay for as long as their sessions, and hand over one by one.
func TestRolloutHandsOver(t *testing.T) {
	for _, tt := range []struct {
		keeping
		also    string
		noWay   bool
		patient int // rounds in which sleeping nodes may wait for their turn to give way
	}{
		{keptHeld, "", false, 0},
		{keptWarm, "", false, 0},
		{keptWarm, ", without a way to old instances", true, 6},
	} {
		t.Run(tt.name+tt.also, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := New(t, tt.config())
				if tt.noWay {
					w.Platform.NoWay()
				}
				c := w.Client()
				objects := putTen(t, c)
				time.Sleep(time.Minute)
				old := map[*Instance]bool{}
				for node := range 8 {
					for _, i := range w.Platform.Instances(node) {
						old[i] = true
					}
					w.Platform.Outlive(node)
				}
				rounds(t, c, objects, 30, 10*time.Second, tt.patient)
				for node := range 8 {
					for _, i := range w.Platform.Instances(node) {
						if old[i] {
							t.Errorf("node %d is still played by an instance from before the rollout", node)
						}
					}
				}
				if st := w.Proxy.Status(); st.ObjectsLost > 0 || st.Notices < 8 {
					t.Errorf("%d objects lost, %d notices", st.ObjectsLost, st.Notices)
				}
				w.NothingUnexplained()
			})
		})
	}
}

// What the platform says of the next instance may be wrong, always or now and then.
// That moves chunks, and costs neither a node nor an object.
func TestPlatformThatLiesAboutTheNextInstance(t *testing.T) {
	for _, tt := range []struct {
		keeping
		also  string
		every int // of so many answers one is wrong
	}{
		{keptHeld, "", 1},
		{keptHeld, ", at times", 3},
		{keptWarm, "", 1},
	} {
		t.Run(tt.name+tt.also, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := New(t, tt.config())
				c := w.Client()
				objects := putTen(t, c)
				time.Sleep(time.Minute)
				asked := 0
				w.Platform.Mislead(func(int) string {
					if asked++; asked%tt.every == 0 {
						return "somebody else"
					}
					return ""
				})
				rounds(t, c, objects, 1, 10*time.Second, 0)
				if n := w.Proxy.Status().Notices; n != 1 {
					t.Errorf("%d of 8 instances give way at once, want 1", n)
				}
				rounds(t, c, objects, 29, 10*time.Second, 0)
				st := w.Proxy.Status()
				if st.ObjectsLost > 0 || st.Notices == 0 || st.Notices > 8 {
					t.Errorf("%d objects lost, %d notices in 5 min, want one for each of 8 nodes at most", st.ObjectsLost, st.Notices)
				}
				if _, started := w.Platform.Invocations(); started != 8 {
					t.Errorf("%d instances played 8 nodes that had one each", started)
				}
				// Every node is of use: an object that needs them all has a place.
				want := content(99, 20<<20)
				if _, err := c.PutBytes(t.Context(), "wide", want); err != nil {
					t.Fatal(err)
				}
				if got, err := c.GetBytes(t.Context(), "wide"); err != nil || !bytes.Equal(got, want) {
					t.Fatalf("get: %v, equal %v", err, bytes.Equal(got, want))
				}
				w.NothingUnexplained()
			})
		})
	}
}

// Sleeping nodes that are all outlived are woken together by one reader. They give way
// a few at a time: all at once they would have nobody to hand over to.
func TestSleepersDoNotGiveWayAllAtOnce(t *testing.T) {
	for seed := range uint64(4) {
		synctest.Test(t, func(t *testing.T) {
			w := New(t, Config{Seed: seed, Nodes: 8, Pods: true, Warm: time.Minute})
			c := w.Client()
			objects := putTen(t, c)
			time.Sleep(10 * time.Second)
			outliveAll(w)
			rounds(t, c, objects, 1, 0, 0) // at once
			rounds(t, c, objects, 19, 2*time.Second, 0)
			if st := w.Proxy.Status(); st.ObjectsLost > 0 || st.Notices < 4 {
				t.Errorf("%d objects lost, %d notices", st.ObjectsLost, st.Notices)
			}
		})
	}
}

// What is deployed changes while the proxy is away, or the proxy is restarted in the
// middle of it: it finds the old instances, which nobody else gives a session any more.
func TestRolloutWithoutTheProxy(t *testing.T) {
	for _, tt := range []struct {
		keeping
		also  string
		after time.Duration // from the change to the proxy's end; below 0 it comes after that
	}{
		{keptHeld, "", -time.Second},
		{keptHeld, ", in the middle", 15 * time.Second},
		{keptWarm, "", -time.Second},
		{keptWarm, ", in the middle", 5 * time.Second},
	} {
		t.Run(tt.name+tt.also, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := journalled(t, tt.config())
				c := w.Client()
				objects := putTen(t, c)
				time.Sleep(time.Minute)
				if tt.after >= 0 {
					outliveAll(w)
					time.Sleep(tt.after)
				}
				w.Kill()
				if tt.after < 0 {
					time.Sleep(-tt.after)
					outliveAll(w)
				}
				time.Sleep(5 * time.Second)
				w.Restart()
				rounds(t, c, objects, 30, 10*time.Second, 0)
				if st := w.Proxy.Status(); st.ObjectsLost > 0 {
					t.Errorf("%d objects lost", st.ObjectsLost)
				}
				w.NothingUnexplained()
			})
		})
	}
}

// All instances have their notice at once, as when the autoscaler takes pods that
// nobody asks for: those that come in their places take over what they hold.
func TestAllInstancesLeaveAtOnce(t *testing.T) {
	for _, tt := range []struct {
		keeping
		also   string
		refuse int // so many invocations, before the next instances can be had
	}{
		{keptHeld, "", 0},
		{keptAsleep, "", 0},
		{keptHeld, ", while the next ones are not to be had", 72},
	} {
		t.Run(tt.name+tt.also, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := New(t, tt.config())
				c := w.Client()
				objects := putTen(t, c)
				time.Sleep(time.Minute)
				w.Platform.Throttle(tt.refuse)
				for node := range 8 {
					w.Platform.NoticeOne(node, 0, 25*time.Second)
				}
				rounds(t, c, objects, 12, 5*time.Second, 0)
				if st := w.Proxy.Status(); st.ObjectsLost > 0 || st.Notices != 8 {
					t.Errorf("%d objects lost, %d notices", st.ObjectsLost, st.Notices)
				}
				w.NothingUnexplained()
			})
		})
	}
}

// The platform takes all instances and the proxy together, as when everything is
// deleted and made again. The next proxy is there while the instances have time: they
// wait for it, and hand over.
func TestAllInstancesLeaveWithTheProxy(t *testing.T) {
	for _, tt := range []struct {
		keeping
		also  string
		kill  bool
		first time.Duration // from the end of the proxy to the notices; below 0 they come before
	}{
		{keptHeld, "", false, -20 * time.Millisecond},
		{keptHeld, ", killed", true, -20 * time.Millisecond},
		{keptHeld, ", afterwards", false, time.Second},
		{keptWarm, "", false, -20 * time.Millisecond},
		{keptWarm, ", killed", true, time.Second},
		{keptAsleep, "", false, 0},
	} {
		t.Run(tt.name+tt.also, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := journalled(t, tt.config())
				c := w.Client()
				objects := putTen(t, c)
				time.Sleep(time.Minute)
				take := func() {
					for node := range 8 {
						w.Platform.NoticeOne(node, 0, 25*time.Second)
					}
				}
				if tt.first < 0 {
					take()
					time.Sleep(-tt.first)
				}
				if tt.kill {
					w.Kill()
				} else {
					w.End()
				}
				if tt.first >= 0 {
					time.Sleep(tt.first)
					take()
				}
				time.Sleep(5 * time.Second)
				w.Restart()
				rounds(t, c, objects, 12, 5*time.Second, 0)
				if st := w.Proxy.Status(); st.ObjectsLost > 0 {
					t.Errorf("%d objects lost", st.ObjectsLost)
				}
				w.NothingUnexplained()
			})
		})
	}
}
