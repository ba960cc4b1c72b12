package link

import (
	"net"
	"time"
)

// batchBytes is about how much one write call is given: enough to make the call
// cheap per byte, little enough that memory is released soon.
const batchBytes = 1 << 20

// maxPieces bounds the slices of one write call, as systems do (IOV_MAX).
const maxPieces = 1000

// write writes what is queued until the link is closed. Every block that was
// queued is released when it returns.
func (c *Conn) write() (err error) {
	var queue []frame // taken from c.queue, written from the front
	var done int      // of queue
	var iov net.Buffers
	defer func() {
		c.Close(err) // from here on enqueue refuses
		release(queue[done:])
		c.mu.Lock()
		rest := c.queue
		c.queue = nil
		c.mu.Unlock()
		release(rest)
	}()
	for {
		if done == len(queue) {
			done = 0
			if queue, err = c.take(queue[:0]); err != nil {
				return err
			}
		}
		iov = iov[:0]
		end, n := done, 0
		// Frames without a body may follow a full batch: they cost next to nothing.
		for end < len(queue) && (n < batchBytes || queue[end].ctl != nil) && len(iov) < maxPieces {
			f := &queue[end]
			iov, n = f.appendTo(iov, n)
			end++
		}
		if err := c.nc.SetWriteDeadline(time.Now().Add(c.cfg.Stall)); err != nil {
			return cut(err)
		}
		out := iov
		if _, err := out.WriteTo(c.nc); err != nil {
			return cut(err)
		}
		release(queue[done:end])
		done = end
	}
}

// take waits for frames and swaps them for the empty slice it is given. Its
// error is why there will be none.
func (c *Conn) take(empty []frame) ([]frame, error) {
	for {
		c.mu.Lock()
		switch {
		case c.closed != nil:
			err := c.closed
			c.mu.Unlock()
			return empty, err
		case len(c.queue) > 0:
			q := c.queue
			c.queue, c.bytes = empty, 0
			c.mu.Unlock()
			return q, nil
		case c.finish != nil:
			err := c.finish
			c.mu.Unlock()
			return empty, err
		}
		c.mu.Unlock()
		<-c.wake
	}
}

func (f *frame) appendTo(iov net.Buffers, n int) (net.Buffers, int) {
	if f.ctl != nil {
		return append(iov, f.ctl), n + len(f.ctl)
	}
	iov = append(iov, f.head[:])
	n += len(f.head)
	if len(f.body) > 0 {
		iov = append(iov, f.body)
		n += len(f.body)
	}
	for _, m := range f.more {
		iov = append(iov, m)
		n += len(m)
	}
	return iov, n
}

// release lets go of frames that were written or dropped.
func release(frames []frame) {
	for i := range frames {
		if o := frames[i].owner; o != nil {
			o.Release()
		}
		frames[i] = frame{}
	}
}
