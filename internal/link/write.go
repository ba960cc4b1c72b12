package link

import (
	"net"
	"slices"
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
	var batch []frame // taken from the queue
	var iov net.Buffers
	defer func() {
		c.Close(err) // from here on enqueue refuses
		release(batch)
		c.mu.Lock()
		rest := c.queue
		c.queue = nil
		c.mu.Unlock()
		release(rest)
	}()
	for {
		if batch, err = c.take(batch[:0]); err != nil {
			return err
		}
		iov = iov[:0]
		for i := range batch {
			iov = batch[i].appendTo(iov)
		}
		if err := c.nc.SetWriteDeadline(time.Now().Add(c.cfg.Stall)); err != nil {
			return cut(err)
		}
		out := iov
		if _, err := out.WriteTo(c.nc); err != nil {
			return cut(err)
		}
		release(batch)
	}
}

// take waits for frames and moves a batch of them to the empty slice it is given.
// What it leaves in the queue can still be dropped. Its error is why there will be
// none.
func (c *Conn) take(empty []frame) ([]frame, error) {
	for {
		c.mu.Lock()
		switch {
		case c.closed != nil:
			err := c.closed
			c.mu.Unlock()
			return empty, err
		case len(c.queue) > 0:
			batch := c.takeLocked(empty)
			c.mu.Unlock()
			return batch, nil
		case c.finish != nil:
			err := c.finish
			c.mu.Unlock()
			return empty, err
		}
		c.mu.Unlock()
		<-c.wake
	}
}

// takeLocked moves a batch, which is mostly the whole queue. c.mu is held.
func (c *Conn) takeLocked(empty []frame) []frame {
	end, n, pieces := 0, 0, 0
	// Frames without a body may follow a full batch: they cost next to nothing.
	for end < len(c.queue) && (n < batchBytes || c.queue[end].ctl != nil) && pieces < maxPieces {
		f := &c.queue[end]
		n += f.size()
		pieces += 2 + len(f.more)
		end++
	}
	if end == len(c.queue) {
		batch := c.queue
		c.queue, c.bytes = empty, 0
		return batch
	}
	batch := append(empty, c.queue[:end]...)
	for i := range batch {
		c.bytes -= len(batch[i].ctl)
	}
	c.queue = slices.Delete(c.queue, 0, end)
	return batch
}

// size is how many bytes a frame has.
func (f *frame) size() int {
	if f.ctl != nil {
		return len(f.ctl)
	}
	n := len(f.head) + len(f.body)
	for _, m := range f.more {
		n += len(m)
	}
	return n
}

func (f *frame) appendTo(iov net.Buffers) net.Buffers {
	if f.ctl != nil {
		return append(iov, f.ctl)
	}
	iov = append(iov, f.head[:])
	if len(f.body) > 0 {
		iov = append(iov, f.body)
	}
	return append(iov, f.more...)
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
