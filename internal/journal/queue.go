package journal

import (
	"context"
	"fmt"
	"time"

	"github.com/infinicache/infinicache/internal/place"
	"github.com/infinicache/infinicache/internal/wire"
)

const (
	batchOps   = 4096
	batchBytes = 4 << 20
	maxExpires = 1<<62 - 1 // that a wire.Record can carry
)

// batch is what one transaction writes.
type batch struct {
	seq   uint64
	ops   []op
	bytes int

	done chan struct{} // closed once what happened to it is known
	err  error         // written before done is closed
	told bool          // done is closed, perhaps for a failure that is over
	wait func(context.Context) error
}

// waitFor is the wait function of the batch.
func (b *batch) waitFor(ctx context.Context) error {
	select {
	case <-b.done:
		return b.err
	default:
	}
	patience := time.NewTimer(Patience)
	defer patience.Stop()
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-patience.C:
		return fmt.Errorf("%w: no answer from the disk in %v", ErrFailed, Patience)
	}
}

// tell ends all waiting for the batch. The journal is locked.
func (b *batch) tell(err error) {
	if b.told {
		return
	}
	b.told, b.err = true, err
	close(b.done)
}

// op is one change.
type op struct {
	kind    kind
	version uint64 // or a holder's number
	other   uint64 // Put: the version replaced, or 0; Expire: when; Move: which place
	key     string // of an object whose version is removed or replaced
	payload []byte // Put: the record; Move: the place; Holder: the entry
	places  []byte // Put
}

type kind uint8

const (
	opPut kind = iota
	opRemove
	opMove
	opExpire
	opClear
	opHolder
	opDropHolder
)

// size is about what an op takes in memory, in bytes.
func (o *op) size() int { return 104 + len(o.key) + len(o.payload) + len(o.places) }

// Put records a new version of an object, whose places are d+p for each stripe,
// stripe by stripe, and copied; replaced is the version whose place it takes, 0
// for none. It needs to be waited for if it replaced something, or if an older
// version of the key is still being removed, or the queue is full, or the journal
// was opened to have every change waited for. An error
// means that nothing was queued: it matches ErrFailed, or wire's for a record
// that is none.
func (j *Journal) Put(r wire.Record, places []place.Place, replaced uint64) (wait func(context.Context) error, err error) {
	o := op{
		kind: opPut, version: r.Version, other: replaced,
		payload: r.Append(make([]byte, 0, len(r.Key)+64)),
		places:  encodePlaces(make([]byte, 0, len(places)*placeSize), places),
	}
	if replaced != 0 {
		o.key = r.Key
	}
	// What could not be read again would make the whole journal unusable.
	var again wire.Record
	if err := again.Decode(o.payload); err != nil {
		return nil, err
	}
	if n := placesOf(&r); int64(len(places)) != n {
		return nil, wire.Errorf(wire.CodeRequest, "version %d has %d places, needs %d", r.Version, len(places), n)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failure != nil {
		return nil, j.failure
	}
	must := j.every || replaced != 0 || j.removing(r.Key) != nil || j.full()
	b := j.add(o)
	if must {
		wait = b.wait
	}
	return wait, nil
}

// Remove records that a version of an object is no more. It is never refused.
func (j *Journal) Remove(key string, version uint64) (wait func(context.Context) error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.add(op{kind: opRemove, version: version, key: key}).wait
}

// Expire records when a version expires, in Unix milliseconds, 0 for never. An
// error matches ErrFailed: nothing was queued.
func (j *Journal) Expire(version uint64, expires int64) (wait func(context.Context) error, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failure != nil {
		return nil, j.failure
	}
	if expires < 0 || expires > maxExpires {
		return nil, wire.Errorf(wire.CodeRequest, "expiry %d, allowed are 0 to %d", expires, int64(maxExpires))
	}
	return j.add(op{kind: opExpire, version: version, other: uint64(expires)}).wait, nil
}

// Move records a new place of a chunk: the index-th, at least 0, of the places
// that Put was given. Moves of versions that are not in the journal do nothing.
// While the queue is full they are dropped, and counted: the journal then names a
// place that the chunk has left.
func (j *Journal) Move(version uint64, index int, p place.Place) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case index < 0:
		return
	case j.full():
		j.status.Dropped++
		return
	}
	j.add(op{kind: opMove, version: version, other: uint64(index), payload: encodePlaces(nil, []place.Place{p})})
}

// Clear records that there are no objects any more. It is never refused.
func (j *Journal) Clear() (wait func(context.Context) error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	b := j.add(op{kind: opClear})
	j.cleared = b
	return b.wait
}

// Settled is to be waited for before a key may be called gone for good: it is nil
// unless a removal of one of its versions is not on disk yet.
func (j *Journal) Settled(key string) (wait func(context.Context) error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if b := j.removing(key); b != nil {
		return b.wait
	}
	return nil
}

// Holder records who has a number in places, which is never another's as long as
// places name it. It replaces what the number had. An error matches ErrFailed:
// nothing was queued.
func (j *Journal) Holder(number, node uint32, instances []wire.Instance) (wait func(context.Context) error, err error) {
	if len(instances) > maxInstances {
		return nil, fmt.Errorf("journal: holder %d has %d instances, limit %d", number, len(instances), maxInstances)
	}
	entry := put32(nil, node)
	for _, i := range instances {
		entry = append(entry, i[:]...)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failure != nil {
		return nil, j.failure
	}
	return j.add(op{kind: opHolder, version: uint64(number), payload: entry}).wait, nil
}

// DropHolder records that what a number held is lost. It is never refused.
func (j *Journal) DropHolder(number uint32) (wait func(context.Context) error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.add(op{kind: opDropHolder, version: uint64(number)}).wait
}

// full tells whether additions have to be waited for. j is locked.
func (j *Journal) full() bool { return j.status.QueuedBytes >= j.limit }

// removing is the last batch that is not on disk and removes a version of a key;
// nil for none. j is locked.
func (j *Journal) removing(key string) *batch {
	b := j.removals[key]
	if j.cleared != nil && (b == nil || b.seq < j.cleared.seq) {
		b = j.cleared
	}
	return b
}

// add queues a change. After the end of Run its batch fails at once. j is locked.
func (j *Journal) add(o op) *batch {
	var b *batch
	if n := len(j.queue); n > 0 {
		b = j.queue[n-1]
	}
	n := o.size()
	if b == nil || len(b.ops) >= batchOps || b.bytes+n > batchBytes || b.told && j.failure == nil {
		j.seq++
		b = &batch{seq: j.seq, done: make(chan struct{})}
		b.wait = b.waitFor
		if j.failure != nil {
			b.tell(j.failure)
		}
		j.queue = append(j.queue, b)
	}
	if j.closed {
		return b
	}
	b.ops = append(b.ops, o)
	b.bytes += n
	j.status.Queued++
	j.status.QueuedBytes += n
	if o.key != "" {
		j.removals[o.key] = b
	}
	select {
	case j.kick <- struct{}{}:
	default:
	}
	return b
}

// giveUp tells everybody who waits, now or later, of a failure. j is locked.
func (j *Journal) giveUp(err error) {
	j.failure = err
	if j.writing != nil {
		j.writing.tell(err)
	}
	for _, b := range j.queue {
		b.tell(err)
	}
}
