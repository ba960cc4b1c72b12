package journal

import (
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"
	bolt "go.etcd.io/bbolt"

	"github.com/infinicache/infinicache/internal/place"
	"github.com/infinicache/infinicache/internal/wire"
)

// The file has three tables (bbolt's buckets). Integers are little-endian in
// values, and big-endian in keys, so that versions lie in their order.
//
//	meta     "format" → 4 bytes, formatVersion
//	         "epoch"  → 8 bytes
//	         "info/" name → free-form
//	         "digest" → for each table its number of entries and the sum of
//	                    their checksums, 8 bytes each; itself not counted
//	objects  version (8), segment (4) → segment 0: length of the record (4), the
//	                    record as on the wire, the first places; others: places
//	holders  number (4) → node (4), identities of 16 bytes
//
// A place is node (4) and instance (4); a segment has 512 of them, so that moving
// a chunk of a large object rewrites little. Every value begins with its
// checksum: XXH64 over the table's number, the key and the rest of the value.
const (
	formatVersion = 1

	placeSize     = 8
	segmentPlaces = 512
	sumSize       = 8
)

var (
	tableNames = [...]string{"meta", "objects", "holders"}

	keyFormat  = []byte("format")
	keyEpoch   = []byte("epoch")
	keyDigest  = []byte("digest")
	infoPrefix = "info/"
)

func put32(b []byte, v uint32) []byte { return binary.LittleEndian.AppendUint32(b, v) }
func put64(b []byte, v uint64) []byte { return binary.LittleEndian.AppendUint64(b, v) }

func objectKey(version uint64, segment uint32) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 12), version)
	return binary.BigEndian.AppendUint32(b, segment)
}

func holderKey(number uint32) []byte { return binary.BigEndian.AppendUint32(nil, number) }

func encodePlaces(b []byte, places []place.Place) []byte {
	for _, p := range places {
		b = put32(put32(b, p.Node), p.Instance)
	}
	return b
}

func decodePlaces(dst []place.Place, b []byte) ([]place.Place, error) {
	if len(b)%placeSize != 0 || len(b) > segmentPlaces*placeSize {
		return dst, fmt.Errorf("%d bytes of places, allowed are up to %d of %d", len(b), segmentPlaces, placeSize)
	}
	for ; len(b) > 0; b = b[placeSize:] {
		dst = append(dst, place.Place{
			Node: binary.LittleEndian.Uint32(b), Instance: binary.LittleEndian.Uint32(b[4:]),
		})
	}
	return dst, nil
}

// splitHead takes the payload of segment 0 apart.
func splitHead(payload []byte) (record, places []byte, err error) {
	if len(payload) < 4 {
		return nil, nil, fmt.Errorf("%d bytes where an object begins", len(payload))
	}
	n := binary.LittleEndian.Uint32(payload)
	if int64(n) > int64(len(payload)-4) {
		return nil, nil, fmt.Errorf("a record declares %d of %d bytes", n, len(payload)-4)
	}
	return payload[4 : 4+n], payload[4+n:], nil
}

// placesOf is how many places an object has.
func placesOf(r *wire.Record) int64 {
	return (r.Size + r.Stripe - 1) / r.Stripe * int64(r.Data+r.Parity)
}

// table is one bucket with the digest over its entries.
type table struct {
	*bolt.Bucket
	number byte
	n, sum uint64
}

// tables are all of them, in one transaction.
type tables struct {
	tx                     *bolt.Tx
	meta, objects, holders table
}

func (t *tables) all() [len(tableNames)]*table {
	return [...]*table{&t.meta, &t.objects, &t.holders}
}

// open finds the tables and reads the digest; check is left to the reader.
func (t *tables) open(tx *bolt.Tx) error {
	t.tx = tx
	for i, table := range t.all() {
		table.number = byte(i)
		if table.Bucket = tx.Bucket([]byte(tableNames[i])); table.Bucket == nil {
			return fmt.Errorf("there is no table %s", tableNames[i])
		}
	}
	// Versions grow, so that nearly all that is new goes to the end.
	t.objects.FillPercent = 0.95
	digest, err := t.meta.get(keyDigest)
	if err != nil || len(digest) != 16*len(tableNames) {
		return fmt.Errorf("the digest is wrong: %w", err)
	}
	for i, table := range t.all() {
		table.n = binary.LittleEndian.Uint64(digest[16*i:])
		table.sum = binary.LittleEndian.Uint64(digest[16*i+8:])
	}
	return nil
}

// close writes the digest.
func (t *tables) close() error {
	var b []byte
	for _, table := range t.all() {
		b = put64(put64(b, table.n), table.sum)
	}
	return t.meta.Put(keyDigest, t.meta.seal(keyDigest, b))
}

// checksum is that of an entry.
func (t *table) checksum(key, payload []byte) uint64 {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.Write([]byte{t.number})
	_, _ = d.Write(key)
	_, _ = d.Write(payload)
	return d.Sum64()
}

func (t *table) seal(key, payload []byte) []byte {
	b := put64(make([]byte, 0, sumSize+len(payload)), t.checksum(key, payload))
	return append(b, payload...)
}

// unseal checks a value and returns its payload, which is part of it, and its
// checksum.
func (t *table) unseal(key, value []byte) (payload []byte, sum uint64, err error) {
	if len(value) < sumSize {
		return nil, 0, fmt.Errorf("table %s: entry %x has %d bytes", tableNames[t.number], key, len(value))
	}
	payload, sum = value[sumSize:], binary.LittleEndian.Uint64(value)
	if sum != t.checksum(key, payload) {
		return nil, 0, fmt.Errorf("table %s: the checksum of entry %x is wrong", tableNames[t.number], key)
	}
	return payload, sum, nil
}

// get returns a payload, valid in this transaction until the next change; nil if
// there is none.
func (t *table) get(key []byte) ([]byte, error) {
	value := t.Get(key)
	if value == nil {
		return nil, nil
	}
	payload, _, err := t.unseal(key, value)
	return payload, err
}

func (t *table) put(key, payload []byte) error {
	if _, err := t.forget(key); err != nil {
		return err
	}
	value := t.seal(key, payload)
	t.n++
	t.sum += binary.LittleEndian.Uint64(value)
	return t.Put(key, value)
}

// remove reports whether there was such an entry.
func (t *table) remove(key []byte) (bool, error) {
	had, err := t.forget(key)
	if !had || err != nil {
		return had, err
	}
	return true, t.Delete(key)
}

// forget takes an entry out of the digest.
func (t *table) forget(key []byte) (bool, error) {
	value := t.Get(key)
	if value == nil {
		return false, nil
	}
	_, sum, err := t.unseal(key, value)
	t.n--
	t.sum -= sum
	return true, err
}

// clear removes all entries.
func (t *table) clear(tx *bolt.Tx) (err error) {
	name := []byte(tableNames[t.number])
	if err := tx.DeleteBucket(name); err != nil {
		return err
	}
	fill := t.FillPercent
	t.n, t.sum = 0, 0
	if t.Bucket, err = tx.CreateBucket(name); err == nil {
		t.FillPercent = fill
	}
	return err
}
