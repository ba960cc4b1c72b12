package simnet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// script adds one rule.
func script(t *testing.T, n *Net, rule string) *Fault {
	t.Helper()
	faults, err := n.Script(rule)
	if err != nil || len(faults) != 1 {
		t.Fatalf("Script(%q) = %d rules, %v", rule, len(faults), err)
	}
	return faults[0]
}

func mustFire(t *testing.T, f *Fault, want int) {
	t.Helper()
	if got := f.Fired(); got != want {
		t.Errorf("rule %q fired %d times, want %d", f.Rule(), got, want)
	}
}

func TestResetAtWrite(t *testing.T) {
	in(t, func(t *testing.T, n *Net) {
		f := script(t, n, "reset a->b write 3")
		near, far := dialled(t, n)
		mustWrite(t, near, "one")
		mustWrite(t, near, "two")
		mustFire(t, f, 0)
		if k, err := near.Write([]byte("three")); k != 0 || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("third write = %d, %v; want ECONNRESET", k, err)
		}
		mustFire(t, f, 1)
		mustRead(t, far, "onetwo")
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("peer's read: %v, want ECONNRESET", err)
		}
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("own read: %v, want ECONNRESET", err)
		}
	})
}

func TestResetAfterBytes(t *testing.T) {
	in(t, func(t *testing.T, n *Net) {
		f := script(t, n, "reset a->b after 5 bytes")
		near, far := dialled(t, n)
		if k, err := near.Write([]byte("hello, world")); k != 5 || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("write = %d, %v; want 5 and ECONNRESET", k, err)
		}
		mustRead(t, far, "hello")
		if _, err := far.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("peer's write: %v, want ECONNRESET", err)
		}
		mustFire(t, f, 1)
	})
}

func TestTruncate(t *testing.T) {
	in(t, func(t *testing.T, n *Net) {
		f := script(t, n, "truncate a->b after 5 bytes")
		near, far := dialled(t, n)
		mustWrite(t, near, "hello, world")
		mustWrite(t, near, string(make([]byte, 2*Buffer)))
		if got, err := io.ReadAll(far); string(got) != "hello" || err != nil {
			t.Errorf("read %q and error %v, want \"hello\"", got, err)
		}
		mustWrite(t, far, "back")
		mustRead(t, near, "back")
		mustFire(t, f, 1)
	})
}

func TestStall(t *testing.T) {
	in(t, func(t *testing.T, n *Net) {
		script(t, n, "delay a->b 10ms")
		f := script(t, n, "stall a->b after 5 bytes for 1m")
		near, far := dialled(t, n)
		start := time.Now()
		mustWrite(t, near, "hello, world")
		n.Freeze("elsewhere") // a change must not let go or hold anything else
		mustRead(t, far, "hello")
		if d := time.Since(start); d != 10*time.Millisecond {
			t.Errorf("the first bytes took %v, want 10ms", d)
		}
		mustFire(t, f, 1)
		mustRead(t, far, ", world")
		if d := time.Since(start); d != time.Minute {
			t.Errorf("the others took %v, want 1m", d)
		}

		f = script(t, n, "stall a->b after 0 bytes")
		if k, err := near.Write(make([]byte, Buffer)); k != Buffer || err != nil {
			t.Errorf("write into a stall = %d, %v", k, err)
		}
		near.SetWriteDeadline(time.Now().Add(time.Second))
		if _, err := near.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write beyond the buffer: %v, want a timeout", err)
		}
		f.Remove()
		if _, err := io.ReadFull(far, make([]byte, Buffer)); err != nil {
			t.Errorf("read after the stall: %v", err)
		}
	})
}

func TestFlip(t *testing.T) {
	in(t, func(t *testing.T, n *Net) {
		f := script(t, n, "flip b->a byte 200001")
		near, far := dialled(t, n)
		sent := pattern(300_000)
		kept := bytes.Clone(sent)
		go far.Write(sent)
		got := make([]byte, len(sent))
		io.ReadFull(near, got)
		for i := range got {
			if (got[i] != sent[i]) != (i == 200_000) {
				t.Fatalf("byte %d is %d, sent %d", i, got[i], sent[i])
			}
		}
		if !bytes.Equal(sent, kept) {
			t.Error("the writer's own bytes changed")
		}
		mustFire(t, f, 1)
	})
}

func TestDelay(t *testing.T) {
	in(t, func(t *testing.T, n *Net) {
		there := script(t, n, "delay a->b 20ms")
		back := script(t, n, "delay b->a 30ms jitter 5ms")
		start := time.Now()
		near, far := dialled(t, n)
		if d := time.Since(start); d < 50*time.Millisecond || d > 55*time.Millisecond {
			t.Errorf("dial took %v, want 50 to 55ms", d)
		}
		start = time.Now()
		mustWrite(t, near, "ping")
		mustRead(t, far, "ping")
		if d := time.Since(start); d != 20*time.Millisecond {
			t.Errorf("one way took %v, want 20ms", d)
		}
		for range 100 {
			mustWrite(t, far, "a")
			mustWrite(t, far, "b")
		}
		for range 100 {
			mustRead(t, near, "ab")
		}
		mustFire(t, there, 2)
		mustFire(t, back, 201)
		start = time.Now()
		near.Close()
		far.Read(make([]byte, 1))
		if d := time.Since(start); d != 20*time.Millisecond {
			t.Errorf("close took %v, want 20ms", d)
		}
	})
}

func TestRate(t *testing.T) {
	in(t, func(t *testing.T, n *Net) {
		script(t, n, "rate a->b 1000000 bytes/s")
		near, far := dialled(t, n)
		start := time.Now()
		go near.Write(make([]byte, 3_000_000))
		io.ReadFull(far, make([]byte, 3_000_000))
		if d := time.Since(start).Round(time.Millisecond); d != 3*time.Second {
			t.Errorf("3 MB took %v, want 3s", d)
		}
	})
}

func TestRefuse(t *testing.T) {
	in(t, func(t *testing.T, n *Net) {
		f := script(t, n, "refuse a->* dial 2")
		n.Listen("b")
		for i, want := range []error{nil, syscall.ECONNREFUSED, nil} {
			if _, err := n.Dial(t.Context(), "a", "b"); !errors.Is(err, want) {
				t.Errorf("dial %d: %v, want %v", i+1, err, want)
			}
		}
		mustFire(t, f, 1)
	})
}

func TestPartition(t *testing.T) {
	in(t, func(t *testing.T, n *Net) {
		script(t, n, "delay a->b 1s")
		near, far := dialled(t, n)
		l, _ := n.Listen("b")
		f := script(t, n, "partition b a at 500ms for 1m")
		start := time.Now()
		mustWrite(t, near, "in flight")
		time.Sleep(600 * time.Millisecond)
		mustWrite(t, near, ", held")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.Dial(ctx, "a", "b"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dial across a partition: %v", err)
		}
		near.Close()
		go func() {
			n.Dial(context.Background(), "a", "b")
		}()
		mustRead(t, far, "in flight, held")
		if d := time.Since(start); d != time.Minute+500*time.Millisecond {
			t.Errorf("the partition lasted %v", d)
		}
		if _, err := far.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("read = %v, want EOF", err)
		}
		if _, err := l.Accept(); err != nil {
			t.Errorf("accept after the partition: %v", err)
		}
		mustFire(t, f, 3+4) // three segments; two dials, each both ways
	})
}

func TestCutAndRemove(t *testing.T) {
	in(t, func(t *testing.T, n *Net) {
		near, far := dialled(t, n)
		f := script(t, n, "cut b")
		mustWrite(t, near, "x")
		far.SetReadDeadline(time.Now().Add(time.Hour))
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read from a cut host: %v, want a timeout", err)
		}
		far.Close()
		if _, err := near.Write(make([]byte, 10)); err != nil {
			t.Errorf("write before the close can be known: %v", err)
		}
		mustFire(t, f, 3)
		f.Remove()
		if _, err := near.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("write once the close is known: %v, want EPIPE", err)
		}
	})
}

func TestFreeze(t *testing.T) {
	in(t, func(t *testing.T, n *Net) {
		script(t, n, "delay b->a 1s")
		near, far := dialled(t, n)
		l, _ := n.Listen("b")
		mustWrite(t, far, "sent before")
		n.Freeze("b")
		mustRead(t, near, "sent before")

		if k, err := near.Write(make([]byte, Buffer)); k != Buffer || err != nil {
			t.Errorf("write to a frozen host = %d, %v", k, err)
		}
		near.SetWriteDeadline(time.Now().Add(time.Second))
		if _, err := near.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write beyond its buffer: %v, want a timeout", err)
		}
		if _, err := n.Dial(t.Context(), "a", "b"); err != nil {
			t.Errorf("dial of a frozen host: %v", err)
		}

		var done [4]time.Time
		start := time.Now()
		go func() { far.Write([]byte("y")); done[0] = time.Now() }()
		go func() { io.ReadFull(far, make([]byte, Buffer)); done[1] = time.Now() }()
		go func() { l.Accept(); done[2] = time.Now() }()
		go func() { n.Dial(context.Background(), "b", "b"); done[3] = time.Now() }()
		near.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read from a frozen host: %v, want a timeout", err)
		}
		near.SetReadDeadline(time.Time{})
		n.Thaw("b")
		mustRead(t, near, "y")
		synctest.Wait()
		for i, at := range done {
			if at.Sub(start) != time.Minute {
				t.Errorf("call %d of the frozen host ended after %v, want 1m", i, at.Sub(start))
			}
		}
	})
}

func TestFrozenHostSendsNoClose(t *testing.T) {
	in(t, func(t *testing.T, n *Net) {
		near, far := dialled(t, n)
		f := script(t, n, "freeze b for 1m")
		start := time.Now()
		far.Close()
		if _, err := near.Read(make([]byte, 1)); err != io.EOF || time.Since(start) != time.Minute {
			t.Errorf("read: %v after %v, want EOF after 1m", err, time.Since(start))
		}
		mustFire(t, f, 1)
	})
}

func TestDrop(t *testing.T) {
	in(t, func(t *testing.T, n *Net) {
		near, far := dialled(t, n)
		mustWrite(t, far, "sent")
		n.Freeze("b")
		errs := make(chan error, 1)
		go func() { _, err := far.Read(make([]byte, 1)); errs <- err }()
		if dropped := n.Drop("b"); dropped != 1 {
			t.Errorf("dropped %d connections, want 1", dropped)
		}
		synctest.Wait()
		select {
		case err := <-errs:
			t.Errorf("the frozen host noticed: %v", err)
		default:
		}
		n.Thaw("b")
		if err := <-errs; !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the host's read: %v, want ECONNRESET", err)
		}
		mustRead(t, near, "sent")
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the peer's read: %v, want ECONNRESET", err)
		}
		near.Close()
		far.Close()
		if open := n.Open(); open != 0 {
			t.Errorf("%d connections open, want 0", open)
		}
	})
}

func TestDropByRule(t *testing.T) {
	in(t, func(t *testing.T, n *Net) {
		near, _ := dialled(t, n)
		start := time.Now()
		f := script(t, n, "drop b at 5s")
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) || time.Since(start) != 5*time.Second {
			t.Errorf("read: %v after %v, want ECONNRESET after 5s", err, time.Since(start))
		}
		mustFire(t, f, 1)
	})
}
