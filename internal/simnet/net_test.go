package simnet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// dialled returns both ends of a connection from host a to host b.
func dialled(t *testing.T, n *Net) (near, far net.Conn) {
	t.Helper()
	l, err := n.Listen("b")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err = n.Dial(t.Context(), "a", "b")
	if err != nil {
		t.Fatal(err)
	}
	far, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return near, far
}

// in runs a test in a bubble with a network that it prints on failure.
func in(t *testing.T, test func(t *testing.T, n *Net)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		defer n.Close()
		defer func() {
			if t.Failed() {
				t.Log(n.Report())
			}
		}()
		test(t, n)
	})
}

func pattern(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i * i >> 7)
	}
	return b
}

func mustRead(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Errorf("read %q and error %v, want %q", got[:n], err, want)
	}
}

func mustWrite(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if n, err := io.WriteString(c, text); n != len(text) || err != nil {
		t.Errorf("write of %q = %d, %v", text, n, err)
	}
}

func TestTransfer(t *testing.T) {
	test := func(t *testing.T, n *Net) {
		near, far := dialled(t, n)
		sent := pattern(3_000_001)
		go func() {
			buffers := net.Buffers{sent[:5], sent[5:100_000], sent[100_000:]}
			buffers.WriteTo(near)
			near.(interface{ CloseWrite() error }).CloseWrite()
		}()
		got, err := io.ReadAll(far)
		if err != nil || !bytes.Equal(got, sent) {
			t.Fatalf("read %d bytes and error %v, want %d", len(got), err, len(sent))
		}
		go func() {
			far.Write(sent)
			far.Close()
		}()
		if got, err = io.ReadAll(near); err != nil || !bytes.Equal(got, sent) {
			t.Fatalf("after the half-close read %d bytes and error %v, want %d", len(got), err, len(sent))
		}
		if _, err := near.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("write after CloseWrite: %v, want EPIPE", err)
		}
		near.Close()
		if open := n.Open(); open != 0 {
			t.Errorf("%d connections open, want 0", open)
		}
	}
	t.Run("in a bubble", func(t *testing.T) { in(t, test) })
	t.Run("outside", func(t *testing.T) { test(t, New(1)) })
}

func TestAddresses(t *testing.T) {
	in(t, func(t *testing.T, n *Net) {
		l, err := n.Listen("proxy:0")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.Listen(l.Addr().String()); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("second listener: %v, want EADDRINUSE", err)
		}
		c, err := n.Dialer("node/3")(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		far, _ := l.Accept()
		if c.RemoteAddr() != l.Addr() || far.RemoteAddr() != c.LocalAddr() {
			t.Errorf("near %v to %v, far %v to %v", c.LocalAddr(), c.RemoteAddr(), far.LocalAddr(), far.RemoteAddr())
		}
		for _, addr := range []string{"nobody", "", ":1", "a b", "a:x", "a:70000", "a->b", "*", "a#"} {
			if _, err := n.Dial(t.Context(), "node/3", addr); err == nil {
				t.Errorf("dial of %q gave no error", addr)
			}
		}
		l.Close()
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept after close: %v", err)
		}
		if _, err := n.Dial(t.Context(), "x", l.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial after close: %v, want ECONNREFUSED", err)
		}
	})
}

func TestBufferIsBounded(t *testing.T) {
	in(t, func(t *testing.T, n *Net) {
		near, far := dialled(t, n)
		near.SetWriteDeadline(time.Now().Add(time.Minute))
		start := time.Now()
		k, err := near.Write(make([]byte, 2*Buffer))
		if k != Buffer || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("write = %d, %v after %v; want %d and a timeout after a minute", k, err, time.Since(start), Buffer)
		}
		near.SetWriteDeadline(time.Time{})
		go io.CopyN(io.Discard, far, Buffer+10)
		if k, err := near.Write(make([]byte, 10)); k != 10 || err != nil {
			t.Errorf("write after a read = %d, %v", k, err)
		}
	})
}

func TestDeadlines(t *testing.T) {
	in(t, func(t *testing.T, n *Net) {
		near, far := dialled(t, n)
		near.SetReadDeadline(time.Now().Add(5 * time.Second))
		start := time.Now()
		_, err := near.Read(make([]byte, 1))
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() || time.Since(start) != 5*time.Second {
			t.Errorf("read: %v after %v, want a timeout after 5s", err, time.Since(start))
		}
		near.SetDeadline(time.Time{})
		time.AfterFunc(time.Second, func() { far.Write([]byte("late")) })
		mustRead(t, near, "late")

		time.AfterFunc(time.Second, func() { near.SetReadDeadline(time.Now()) })
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read with a deadline set meanwhile: %v", err)
		}
	})
}

func TestClose(t *testing.T) {
	t.Run("drains, then ends", func(t *testing.T) {
		in(t, func(t *testing.T, n *Net) {
			near, far := dialled(t, n)
			mustWrite(t, near, "last words")
			near.Close()
			mustRead(t, far, "last words")
			if _, err := far.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("read = %v, want EOF", err)
			}
			if _, err := far.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
				t.Errorf("write to a closed peer: %v, want EPIPE", err)
			}
			if _, err := near.Read(nil); !errors.Is(err, net.ErrClosed) {
				t.Errorf("read after close: %v", err)
			}
			if err := near.Close(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("second close: %v", err)
			}
		})
	})
	t.Run("unread bytes reset", func(t *testing.T) {
		in(t, func(t *testing.T, n *Net) {
			near, far := dialled(t, n)
			mustWrite(t, near, "answer")
			mustWrite(t, far, "unread")
			near.Close()
			mustRead(t, far, "answer")
			if _, err := far.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("read = %v, want ECONNRESET", err)
			}
		})
	})
	t.Run("wakes both sides", func(t *testing.T) {
		in(t, func(t *testing.T, n *Net) {
			near, far := dialled(t, n)
			errs := make(chan error, 3)
			go func() { _, err := near.Read(make([]byte, 1)); errs <- err }()
			go func() { _, err := near.Write(make([]byte, 2*Buffer)); errs <- err }()
			synctest.Wait()
			near.Close()
			for range 2 {
				if err := <-errs; !errors.Is(err, net.ErrClosed) {
					t.Errorf("own call: %v, want net.ErrClosed", err)
				}
			}
			go func() { _, err := far.Write(make([]byte, 2*Buffer)); errs <- err }()
			if err := <-errs; !errors.Is(err, syscall.EPIPE) {
				t.Errorf("peer's write: %v, want EPIPE", err)
			}
		})
	})
	t.Run("the writer learns when the close arrives", func(t *testing.T) {
		in(t, func(t *testing.T, n *Net) {
			n.Add(Rule{Op: Delay, A: "a", B: "b", Delay: time.Second})
			near, far := dialled(t, n)
			start := time.Now()
			time.AfterFunc(time.Minute, func() { near.Close() })
			if k, err := far.Write(make([]byte, 2*Buffer)); k != 2*Buffer || err != nil {
				t.Errorf("write to a peer that closes meanwhile = %d, %v", k, err)
			}
			if d := time.Since(start); d != time.Minute {
				t.Errorf("write took %v, want 1m", d)
			}
			time.Sleep(time.Second)
			if _, err := far.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("write after bytes were left unread: %v, want ECONNRESET", err)
			}
		})
	})
}

func TestDialWaitsForRoom(t *testing.T) {
	in(t, func(t *testing.T, n *Net) {
		l, _ := n.Listen("b")
		for range backlog {
			if _, err := n.Dial(t.Context(), "a", "b"); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.Dial(ctx, "a", "b"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dial with a full backlog: %v", err)
		}
		time.AfterFunc(time.Second, func() { l.Accept() })
		if _, err := n.Dial(t.Context(), "a", "b"); err != nil {
			t.Errorf("dial once there is room: %v", err)
		}
		l.Close()
	})
}

func TestConcurrentWritesDoNotMix(t *testing.T) {
	in(t, func(t *testing.T, n *Net) {
		near, far := dialled(t, n)
		const writers, size = 4, Buffer + 1000
		for i := range writers {
			go near.Write(bytes.Repeat([]byte{byte('a' + i)}, size))
		}
		for range writers {
			got := make([]byte, size)
			io.ReadFull(far, got)
			if !bytes.Equal(got, bytes.Repeat(got[:1], size)) {
				t.Fatal("two writes are mixed")
			}
		}
	})
}

func TestNetClose(t *testing.T) {
	in(t, func(t *testing.T, n *Net) {
		near, far := dialled(t, n)
		l, _ := n.Listen("c")
		n.Freeze("b")
		n.Add(Rule{Op: Cut, A: "d", At: time.Hour})
		n.Add(Rule{Op: Partition, A: "a", B: "c"})
		errs := make(chan error)
		for _, call := range []func() error{
			func() error { _, err := near.Read(make([]byte, 1)); return err },
			func() error { _, err := far.Read(make([]byte, 1)); return err },
			func() error { _, err := far.Write(make([]byte, 1)); return err },
			func() error { _, err := l.Accept(); return err },
			func() error { _, err := n.Dial(context.Background(), "a", "c"); return err },
		} {
			go func() { errs <- call() }()
		}
		synctest.Wait()
		n.Close()
		for range 5 {
			if err := <-errs; !errors.Is(err, net.ErrClosed) {
				t.Errorf("call gave %v, want net.ErrClosed", err)
			}
		}
		if _, err := n.Listen("e"); !errors.Is(err, ErrClosed) {
			t.Errorf("listen: %v, want ErrClosed", err)
		}
	})
}

func BenchmarkTransfer(b *testing.B) {
	n := New(1)
	defer n.Close()
	l, err := n.Listen("b")
	if err != nil {
		b.Fatal(err)
	}
	near, err := n.Dial(b.Context(), "a", "b")
	if err != nil {
		b.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	go io.Copy(io.Discard, far)
	block := make([]byte, 256<<10)
	b.SetBytes(int64(len(block)))
	b.ReportAllocs()
	for b.Loop() {
		near.Write(block)
	}
}
