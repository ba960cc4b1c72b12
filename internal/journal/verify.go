package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// bbolt maps its file and trusts the offsets it finds there: a damaged page can
// end the process. So every page that can be reached is checked first, in the
// format of bbolt's file version 2, with integers in the machine's order:
//
//	page          id (8), flags (2), count (2), overflow (4), elements
//	meta          magic (4), version (4), page size (4), flags (4), root (8),
//	              sequence (8), freelist (8), pages (8), transaction (8), FNV-1a (8)
//	branch        of each element: offset (4), key size (4), page (8)
//	leaf          of each element: flags (4), offset (4), key size (4), value size (4)
//	bucket        a value: root (8), sequence (8), and if root is 0 a leaf page
//
// The offset of an element counts from that element.
const (
	pageHeader  = 16
	elementSize = 16
	metaSize    = 64
	bucketSize  = 16

	flagBranch = 1
	flagLeaf   = 2
	flagBucket = 1 // of a leaf's element

	boltMagic   = 0xED0CDAED
	boltVersion = 2
	noFreelist  = ^uint64(0)
	maxPageSize = 64 << 10
)

var order = binary.NativeEndian

// verify checks the pages of the file at path, while no other process writes it.
func verify(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if info.Size() < int64(2*os.Getpagesize()) {
		return corrupt(path, "%d bytes are no journal", info.Size())
	}
	lock, err := openFile(path, true)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	if info, err = f.Stat(); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	p := pages{file: f, size: info.Size()}
	err = p.check()
	if io := new(os.PathError); errors.As(err, &io) {
		return fmt.Errorf("journal: %w", err)
	}
	if err != nil {
		return corrupt(path, "%v", err)
	}
	return nil
}

// pages are the pages of one file.
type pages struct {
	file     io.ReaderAt
	size     int64  // of the file
	pageSize int64  // bytes
	count    uint64 // pages below the high-water mark
	seen     []bool // by page
}

// check follows the newest meta page to every page that it leads to. Both meta
// pages have to be right: to fall back on the older one would be to forget the
// last transaction. A crash cannot leave one half written, because it lies in
// one sector.
func (p *pages) check() error {
	var newest, latest []byte
	for at := int64(0); at < 2; at++ {
		b := make([]byte, pageHeader+metaSize)
		if _, err := p.file.ReadAt(b, at*p.pageSize); err != nil {
			return fmt.Errorf("meta page %d: %w", at, err)
		}
		m := b[pageHeader:]
		h := fnv.New64a()
		_, _ = h.Write(m[:metaSize-8])
		size := int64(order.Uint32(m[8:]))
		switch {
		case order.Uint32(m) != boltMagic:
			return fmt.Errorf("meta page %d is none", at)
		case order.Uint32(m[4:]) != boltVersion:
			return fmt.Errorf("bbolt's format is %d, readable is %d", order.Uint32(m[4:]), boltVersion)
		case order.Uint64(m[metaSize-8:]) != h.Sum64():
			return fmt.Errorf("the checksum of meta page %d is wrong", at)
		case size < 1024 || size > maxPageSize || size&(size-1) != 0 || p.pageSize != 0 && p.pageSize != size:
			return fmt.Errorf("meta page %d tells of pages of %d bytes", at, size)
		}
		p.pageSize = size
		if latest = m; newest == nil || order.Uint64(m[48:]) > order.Uint64(newest[48:]) {
			newest = latest
		}
	}
	if order.Uint64(newest[32:]) != noFreelist {
		return errors.New("another program wrote it")
	}
	p.count = order.Uint64(newest[40:])
	if p.count > uint64(p.size/p.pageSize) {
		return fmt.Errorf("%d pages of %d bytes are in use, the file has %d bytes", p.count, p.pageSize, p.size)
	}
	p.seen = make([]bool, p.count)
	return p.tree(order.Uint64(newest[16:]), nil, nil)
}

// tree checks a page and those below it, whose keys are from low up to, and
// without, high; nil is no bound.
func (p *pages) tree(id uint64, low, high []byte) error {
	page, err := p.read(id)
	if err != nil {
		return err
	}
	branch := order.Uint16(page[8:]) == flagBranch
	if !branch {
		return p.leaf(id, page, low, high)
	}
	count := int(order.Uint16(page[10:]))
	if count == 0 {
		return fmt.Errorf("page %d is an empty branch", id)
	}
	key := func(i int) ([]byte, error) {
		e := pageHeader + i*elementSize
		return cut(page, e, order.Uint32(page[e:]), order.Uint32(page[e+4:]))
	}
	from, err := key(0)
	if err != nil || low != nil && bytes.Compare(from, low) < 0 {
		return fmt.Errorf("page %d: key 0 is out of place", id)
	}
	for i := range count {
		to := high
		if i+1 < count {
			if to, err = key(i + 1); err != nil || bytes.Compare(from, to) >= 0 || high != nil && bytes.Compare(to, high) >= 0 {
				return fmt.Errorf("page %d: key %d is out of place", id, i+1)
			}
		}
		if err := p.tree(order.Uint64(page[pageHeader+i*elementSize+8:]), from, to); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// leaf checks a leaf page, and the buckets among its values.
func (p *pages) leaf(id uint64, page, low, high []byte) error {
	if flags := order.Uint16(page[8:]); flags != flagLeaf {
		return fmt.Errorf("page %d has flags %#x", id, flags)
	}
	count := int(order.Uint16(page[10:]))
	if pageHeader+count*elementSize > len(page) {
		return fmt.Errorf("page %d declares %d entries", id, count)
	}
	var last []byte
	for i := range count {
		e := pageHeader + i*elementSize
		flags, at, keySize, valueSize := order.Uint32(page[e:]), order.Uint32(page[e+4:]), order.Uint32(page[e+8:]), order.Uint32(page[e+12:])
		key, err := cut(page, e, at, keySize)
		var value []byte
		if err == nil {
			value, err = cut(page, e+int(keySize), at, valueSize)
		}
		switch {
		case err != nil || flags > flagBucket:
			return fmt.Errorf("page %d: entry %d is impossible", id, i)
		case last != nil && bytes.Compare(last, key) >= 0, low != nil && bytes.Compare(key, low) < 0, high != nil && bytes.Compare(key, high) >= 0:
			return fmt.Errorf("page %d: entry %d is out of place", id, i)
		case flags == flagBucket && len(value) < bucketSize:
			return fmt.Errorf("page %d: table %d has %d bytes", id, i, len(value))
		case flags == flagBucket && order.Uint64(value) != 0:
			err = p.tree(order.Uint64(value), nil, nil)
		case flags == flagBucket:
			err = p.inline(id, value[bucketSize:])
		}
		if err != nil {
			return err
		}
		last = key
	}
	return nil
}

// inline checks a small bucket that lies within a value of page id.
func (p *pages) inline(id uint64, page []byte) error {
	if len(page) < pageHeader {
		return fmt.Errorf("page %d: a table has %d bytes", id, len(page))
	}
	for i := range min(int(order.Uint16(page[10:])), (len(page)-pageHeader)/elementSize) {
		if order.Uint32(page[pageHeader+i*elementSize:])&flagBucket != 0 {
			return fmt.Errorf("page %d: a table within a table", id)
		}
	}
	return p.leaf(id, page, nil, nil)
}

// read reads a page with its overflow, once.
func (p *pages) read(id uint64) ([]byte, error) {
	if id < 2 || id >= p.count {
		return nil, fmt.Errorf("page %d is none of 2 to %d", id, p.count-1)
	}
	page := make([]byte, p.pageSize)
	if _, err := p.file.ReadAt(page, int64(id)*p.pageSize); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	overflow := uint64(order.Uint32(page[12:]))
	if order.Uint64(page) != id || overflow >= p.count-id {
		return nil, fmt.Errorf("page %d calls itself %d with %d more", id, order.Uint64(page), overflow)
	}
	for i := range overflow + 1 {
		if p.seen[id+i] {
			return nil, fmt.Errorf("page %d is used twice", id+i)
		}
		p.seen[id+i] = true
	}
	if overflow > 0 {
		rest := make([]byte, int64(overflow)*p.pageSize)
		if _, err := p.file.ReadAt(rest, int64(id+1)*p.pageSize); err != nil {
			return nil, fmt.Errorf("page %d: %w", id, err)
		}
		page = append(page, rest...)
	}
	if count := int(order.Uint16(page[10:])); pageHeader+count*elementSize > len(page) {
		return nil, fmt.Errorf("page %d declares %d entries", id, count)
	}
	return page, nil
}

// cut is the n bytes of a page that lie offset after base.
func cut(page []byte, base int, offset, n uint32) ([]byte, error) {
	from := int64(base) + int64(offset)
	if from+int64(n) > int64(len(page)) {
		return nil, errors.New("beyond the page")
	}
	return page[from : from+int64(n)], nil
}
