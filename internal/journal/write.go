package journal

import (
	"context"
	"encoding/binary"
	"fmt"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/infinicache/infinicache/internal/wire"
)

// Run writes what is queued until ctx is done, and then what is queued still, if
// that works at the first attempt. Afterwards every change fails with ErrClosed.
// It is called once.
func (j *Journal) Run(ctx context.Context) error {
	// A file that was cut short under the mapping faults where it is read.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.closed = true
		j.giveUp(ErrClosed)
	}()
	retry := time.NewTimer(0)
	defer retry.Stop()
	for ctx.Err() == nil {
		if !j.take() {
			select {
			case <-j.kick:
			case <-ctx.Done():
			}
			continue
		}
		if err := j.write(); err != nil {
			retry.Reset(retryDelay)
			select {
			case <-retry.C:
			case <-ctx.Done():
			}
		}
	}
	for j.take() {
		if err := j.write(); err != nil {
			return err
		}
	}
	return nil
}

// take makes the first batch of the queue the one being written, unless one is
// left from a failed attempt, and reports whether there is any.
func (j *Journal) take() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.writing == nil && len(j.queue) > 0 {
		j.writing = j.queue[0]
		j.queue[0] = nil
		j.queue = j.queue[1:]
	}
	return j.writing != nil
}

// write tries to write the batch that was taken.
func (j *Journal) write() error {
	b := j.writing // only this goroutine changes it
	err := j.update(func(t *tables) error {
		for i := range b.ops {
			if err := t.apply(&b.ops[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		j.failed(err)
	} else {
		j.written(b)
	}
	return err
}

func (j *Journal) written(b *batch) {
	j.mu.Lock()
	j.writing = nil
	j.failure = nil
	s := &j.status
	since := s.Since
	s.Since = time.Time{}
	s.Ops += uint64(len(b.ops))
	s.Bytes += uint64(b.bytes)
	s.Batches++
	s.Queued -= len(b.ops)
	s.QueuedBytes -= b.bytes
	for i := range b.ops {
		if key := b.ops[i].key; key != "" && j.removals[key] == b {
			delete(j.removals, key)
		}
	}
	if j.cleared == b {
		j.cleared = nil
	}
	b.tell(nil)
	j.mu.Unlock()
	if !since.IsZero() {
		j.log.Info("journal works again", "path", j.path, "failed_for", time.Since(since).Round(time.Millisecond))
	}
}

func (j *Journal) failed(err error) {
	j.mu.Lock()
	s := &j.status
	first := s.Since.IsZero()
	if first {
		s.Since = time.Now()
	}
	s.Failures++
	s.Error = err
	j.giveUp(fmt.Errorf("%w: %w", ErrFailed, err))
	queued := s.Queued
	j.mu.Unlock()
	if first {
		j.log.Error("journal cannot be written: refusing changes until it can", "path", j.path, "queued", queued, "error", err)
	}
}

// update runs change in one transaction, which is on disk when it returns nil.
func (j *Journal) update(change func(*tables) error) (err error) {
	defer recovered(j.path, &err)
	err = j.db.Update(func(tx *bolt.Tx) error {
		var t tables
		if err := t.open(tx); err != nil {
			return err
		}
		if err := change(&t); err != nil {
			return err
		}
		return t.close()
	})
	if err != nil {
		return fmt.Errorf("journal %s: %w", j.path, err)
	}
	return nil
}

// apply makes one change. Making it twice is making it once, because a
// transaction that failed may be on disk nevertheless.
func (t *tables) apply(o *op) error {
	switch o.kind {
	case opPut:
		if o.other != 0 {
			if err := t.removeObject(o.other); err != nil {
				return err
			}
		}
		return t.putObject(o)
	case opRemove:
		return t.removeObject(o.version)
	case opMove:
		return t.move(o)
	case opExpire:
		return t.expire(o)
	case opClear:
		return t.objects.clear(t.tx)
	case opHolder:
		return t.holders.put(holderKey(uint32(o.version)), o.payload)
	case opDropHolder:
		_, err := t.holders.remove(holderKey(uint32(o.version)))
		return err
	}
	panic(fmt.Sprintf("change of kind %d", o.kind))
}

func (t *tables) putObject(o *op) error {
	n := min(len(o.places), segmentPlaces*placeSize)
	head := make([]byte, 0, 4+len(o.payload)+n)
	head = append(put32(head, uint32(len(o.payload))), o.payload...)
	head = append(head, o.places[:n]...)
	if err := t.objects.put(objectKey(o.version, 0), head); err != nil {
		return err
	}
	segment := uint32(1)
	for rest := o.places[n:]; len(rest) > 0; rest = rest[n:] {
		n = min(len(rest), segmentPlaces*placeSize)
		if err := t.objects.put(objectKey(o.version, segment), rest[:n]); err != nil {
			return err
		}
		segment++
	}
	return nil
}

func (t *tables) removeObject(version uint64) error {
	for segment := uint32(0); ; segment++ {
		if had, err := t.objects.remove(objectKey(version, segment)); !had || err != nil {
			return err
		}
	}
}

func (t *tables) move(o *op) error {
	key := objectKey(o.version, uint32(o.other/segmentPlaces))
	old, err := t.objects.get(key)
	if old == nil || err != nil {
		return err
	}
	changed := append([]byte(nil), old...)
	places := changed
	if o.other < segmentPlaces {
		if _, places, err = splitHead(changed); err != nil {
			return err
		}
	}
	at := o.other % segmentPlaces * placeSize
	if at >= uint64(len(places)) {
		return nil
	}
	copy(places[at:], o.payload)
	return t.objects.put(key, changed)
}

func (t *tables) expire(o *op) error {
	key := objectKey(o.version, 0)
	old, err := t.objects.get(key)
	if old == nil || err != nil {
		return err
	}
	record, places, err := splitHead(old)
	if err != nil {
		return err
	}
	var r wire.Record
	if err := r.Decode(record); err != nil {
		return err
	}
	r.Expires = int64(o.other)
	encoded := r.Append(nil)
	changed := binary.LittleEndian.AppendUint32(make([]byte, 0, 4+len(encoded)+len(places)), uint32(len(encoded)))
	return t.objects.put(key, append(append(changed, encoded...), places...))
}
