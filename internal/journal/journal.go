// Package journal keeps on disk what a proxy must know after it was killed:
// which objects existed, where their chunks are, who the instances with those
// chunks were, and the epoch. It is one bbolt file in which every value carries
// its checksum and every table a digest over all its entries, so that a damaged
// file is refused as a whole and never read as an older state.
//
// Changes are queued without blocking, in order, and written by Run, everything
// that is queued at once as one transaction with one sync. What a queueing method
// returns is a wait function: it ends when the change is on disk (nil), when it
// could not be written (an error that matches ErrFailed), or when its context
// does (the context's cause). A nil wait function means that nobody needs to
// wait. Waiting never takes longer than Patience.
//
// Of a change whose wait failed it is not known whether it will be in the
// journal: it stays queued, before everything newer, and Run tries again every
// second. Meanwhile whatever adds to the journal is refused at once, and what
// removes from it is queued for later.
package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

var (
	// ErrCorrupt is a journal that is damaged, or in a format that this program
	// does not read. The error names the file and says what to do.
	ErrCorrupt = errors.New("journal is unusable")
	// ErrLocked is a journal that another process has open.
	ErrLocked = errors.New("journal is in use by another process")
	// ErrFailed is a change that could not be written for now: the disk is full
	// or broken, or does not answer.
	ErrFailed = errors.New("journal cannot be written")
	// ErrClosed is a change after the end of Run. It matches ErrFailed.
	ErrClosed = fmt.Errorf("%w: closed", ErrFailed)
)

const (
	// File is the name of the journal in its directory.
	File = "journal.db"
	// Patience is the longest that a wait function waits.
	Patience = 10 * time.Second

	lockTimeout  = time.Second
	retryDelay   = time.Second
	defaultQueue = 16 << 20
)

// Config says how a journal behaves.
type Config struct {
	// Queue is how many bytes of changes may be queued before every addition has
	// to be waited for, so that whoever makes them slows down to the disk's
	// speed; 0 means 16 MiB. Raise it where bursts of new objects outrun the disk.
	Queue int
	// Every has additions waited for, too: then nothing that was acknowledged is
	// missing after a crash, and each costs the time of a sync, which all that wait
	// share. Otherwise a crash costs those of the last sync or two.
	Every bool
	// Log hears when writing begins to fail and when it works again; nil is
	// silence.
	Log *slog.Logger
}

// Journal is an open journal. It is safe for concurrent use.
type Journal struct {
	path  string
	db    *bolt.DB
	log   *slog.Logger
	limit int // bytes queued
	every bool

	mu       sync.Mutex
	queue    []*batch // in order; the last takes what comes
	writing  *batch   // taken from queue, not yet on disk
	seq      uint64   // of batches
	removals map[string]*batch
	cleared  *batch // the last with a clear, nil if that is on disk
	failure  error  // what tickets are told while writing fails; nil otherwise
	closed   bool
	status   Status

	kick chan struct{} // something is queued
}

// Open opens the journal in a directory, both of which it makes where missing,
// and returns what it says. Nothing is written before Reign, SetInfo or Run. The
// error matches ErrCorrupt, ErrLocked (after a second), or is the file system's.
func Open(dir string, cfg Config) (*Journal, *State, error) {
	if cfg.Queue < 0 {
		return nil, nil, fmt.Errorf("journal: queue is %d bytes, allowed are 0 and more", cfg.Queue)
	}
	if cfg.Queue == 0 {
		cfg.Queue = defaultQueue
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("journal: %w", err)
	}
	path := filepath.Join(dir, File)
	fresh, err := create(path)
	if err != nil {
		return nil, nil, err
	}
	if err := verify(path); err != nil {
		return nil, nil, err
	}
	db, err := openFile(path, false)
	if err != nil {
		return nil, nil, err
	}
	j := &Journal{
		path: path, db: db, log: cfg.Log, limit: cfg.Queue, every: cfg.Every,
		removals: map[string]*batch{},
		kick:     make(chan struct{}, 1),
	}
	state, err := j.read()
	if err != nil {
		_ = db.Close()
		return nil, nil, err
	}
	state.Fresh = fresh
	return j, state, nil
}

// openFile opens a bbolt file; read-only it reads nothing but the meta pages.
func openFile(path string, readOnly bool) (db *bolt.DB, err error) {
	defer recovered(path, &err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	db, err = bolt.Open(path, 0o600, &bolt.Options{
		Timeout: lockTimeout, ReadOnly: readOnly, FreelistType: bolt.FreelistMapType,
		// The list of free pages is made anew at opening, so that a damaged one
		// cannot give away pages that are in use.
		NoFreelistSync: true,
	})
	return db, classify(path, err)
}

// classify puts bbolt's error into the words of this package.
func classify(path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, bolterrors.ErrTimeout):
		return fmt.Errorf("%w: %s", ErrLocked, path)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrVersionMismatch), errors.Is(err, bolterrors.ErrChecksum):
		return corrupt(path, "%v", err)
	}
	return fmt.Errorf("journal %s: %w", path, err)
}

// corrupt is the error for a file that cannot be used.
func corrupt(path, format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s; move the file away to start anew with an empty cache",
		ErrCorrupt, path, fmt.Sprintf(format, args...))
}

// recovered turns a panic of bbolt, which trusts its file, into ErrCorrupt.
func recovered(path string, err *error) {
	if r := recover(); r != nil {
		*err = corrupt(path, "%v", r)
	}
}

// Reign records that a proxy reigns from now on with this epoch. It is on disk
// when Reign returns nil.
func (j *Journal) Reign(epoch uint64) error {
	return j.update(func(t *tables) error { return t.meta.put(keyEpoch, put64(nil, epoch)) })
}

// SetInfo records free-form facts by name, each replacing what its name had; an
// empty value removes it. They are on disk when SetInfo returns nil.
func (j *Journal) SetInfo(info map[string]string) error {
	return j.update(func(t *tables) error {
		for name, value := range info {
			key := append([]byte(infoPrefix), name...)
			var err error
			if value == "" {
				_, err = t.meta.remove(key)
			} else {
				err = t.meta.put(key, []byte(value))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Close closes the file. It comes after the end of Run, if that was called;
// what is still queued is not written.
func (j *Journal) Close() error {
	j.mu.Lock()
	j.closed = true
	j.giveUp(ErrClosed)
	j.mu.Unlock()
	if err := j.db.Close(); err != nil {
		return fmt.Errorf("journal %s: %w", j.path, err)
	}
	return nil
}

// Status is the journal in numbers. Counters count since Open.
type Status struct {
	Ops     uint64 // changes written
	Batches uint64 // transactions that wrote them
	Bytes   uint64 // of those changes, before the file's own overhead

	Queued      int   // changes that wait to be written
	QueuedBytes int   // of those
	FileBytes   int64 // size of the file

	Dropped  uint64    // moves given up because the queue was full
	Failures uint64    // attempts to write that failed
	Since    time.Time // when writing began to fail; zero while it works
	Error    error     // the last failure, also when writing works again
}

// Status reports the journal in numbers.
func (j *Journal) Status() Status {
	j.mu.Lock()
	s := j.status
	j.mu.Unlock()
	if info, err := os.Stat(j.path); err == nil {
		s.FileBytes = info.Size()
	}
	return s
}
