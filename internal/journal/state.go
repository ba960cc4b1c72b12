package journal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime/debug"
	"strings"

	bolt "go.etcd.io/bbolt"

	"github.com/infinicache/infinicache/internal/place"
	"github.com/infinicache/infinicache/internal/wire"
)

// State is what a journal said when it was opened.
type State struct {
	// Fresh tells that there was no journal: nothing is known of earlier reigns.
	Fresh bool
	// Epoch is the last one that Reign recorded, 0 for none.
	Epoch uint64
	// Info is what SetInfo recorded.
	Info map[string]string
	// Holders are the instances that places name, by number.
	Holders map[uint32]Holder
	// Objects is how many objects Each visits.
	Objects int

	j *Journal
}

// Holder is who has a number as the holder of chunks.
type Holder struct {
	Node uint32
	// Instances are the identities under which it was heard.
	Instances []wire.Instance
}

// maxInstances bounds the identities of one holder.
const maxInstances = 1 << 16

// Each visits the objects, in the order of their versions, until visit returns
// false. places has d+p entries for each stripe, stripe by stripe, and is valid
// during the call only. It is of use until Run begins to change the journal.
// visit must not use the journal.
func (s *State) Each(visit func(r wire.Record, places []place.Place) bool) error {
	return s.j.view(func(t *tables) error {
		return eachObject(&t.objects, visit)
	})
}

// view runs look on a snapshot of the tables.
func (j *Journal) view(look func(*tables) error) (err error) {
	defer recovered(j.path, &err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	return j.db.View(func(tx *bolt.Tx) error {
		var t tables
		if err := t.open(tx); err != nil {
			return corrupt(j.path, "%v", err)
		}
		if err := look(&t); err != nil {
			return corrupt(j.path, "%v", err)
		}
		return nil
	})
}

// read checks every entry and returns what they say.
func (j *Journal) read() (*State, error) {
	s := &State{Info: map[string]string{}, Holders: map[uint32]Holder{}, j: j}
	err := j.view(func(t *tables) error {
		// The format first: another one may have other tables.
		format, err := t.meta.get(keyFormat)
		if err != nil {
			return err
		}
		if len(format) != 4 || binary.LittleEndian.Uint32(format) != formatVersion {
			return fmt.Errorf("its format is %x, this program reads %d", format, formatVersion)
		}
		for _, table := range t.all() {
			if err := table.check(); err != nil {
				return err
			}
		}
		if err := s.readMeta(&t.meta); err != nil {
			return err
		}
		if err := s.readHolders(&t.holders); err != nil {
			return err
		}
		return eachObject(&t.objects, func(wire.Record, []place.Place) bool { s.Objects++; return true })
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// check compares all entries with the table's digest.
func (t *table) check() error {
	var n, sum uint64
	err := t.ForEach(func(key, value []byte) error {
		if t.number == 0 && bytes.Equal(key, keyDigest) {
			return nil
		}
		_, one, err := t.unseal(key, value)
		n++
		sum += one
		return err
	})
	if err == nil && (n != t.n || sum != t.sum) {
		err = fmt.Errorf("table %s: its %d entries are not the %d that were written", tableNames[t.number], n, t.n)
	}
	return err
}

func (s *State) readMeta(t *table) error {
	return t.ForEach(func(key, value []byte) error {
		payload := value[sumSize:]
		name, isInfo := strings.CutPrefix(string(key), infoPrefix)
		switch {
		case isInfo:
			s.Info[name] = string(payload)
		case bytes.Equal(key, keyEpoch):
			if len(payload) != 8 {
				return fmt.Errorf("the epoch has %d bytes", len(payload))
			}
			s.Epoch = binary.LittleEndian.Uint64(payload)
		}
		return nil
	})
}

func (s *State) readHolders(t *table) error {
	return t.ForEach(func(key, value []byte) error {
		b := value[sumSize:]
		const identity = len(wire.Instance{})
		if len(key) != 4 || len(b) < 4 || (len(b)-4)%identity != 0 {
			return fmt.Errorf("holder %x has %d bytes", key, len(b))
		}
		h := Holder{Node: binary.LittleEndian.Uint32(b)}
		for b = b[4:]; len(b) > 0; b = b[identity:] {
			h.Instances = append(h.Instances, wire.Instance(b[:identity]))
		}
		s.Holders[binary.BigEndian.Uint32(key)] = h
		return nil
	})
}

// eachObject puts the segments of objects together.
func eachObject(t *table, visit func(wire.Record, []place.Place) bool) error {
	var (
		r      wire.Record
		places []place.Place
		at     []byte // key of the object that is being put together
		next   uint32 // its next segment
	)
	whole := func() error {
		if at != nil && int64(len(places)) != placesOf(&r) {
			return fmt.Errorf("version %d has %d places, needs %d", r.Version, len(places), placesOf(&r))
		}
		return nil
	}
	c := t.Cursor()
	for key, value := c.First(); key != nil; key, value = c.Next() {
		if len(key) != 12 || len(value) < sumSize {
			return fmt.Errorf("object %x is none", key)
		}
		segment, rest := binary.BigEndian.Uint32(key[8:]), value[sumSize:]
		if segment == 0 {
			if err := whole(); err != nil {
				return err
			}
			if at != nil && !visit(r, places) {
				return nil
			}
			record, first, err := splitHead(rest)
			if err == nil {
				err = r.Decode(record)
			}
			if err == nil && r.Version != binary.BigEndian.Uint64(key) {
				err = fmt.Errorf("version %d is filed as %x", r.Version, key)
			}
			if err != nil {
				return err
			}
			at, places, next, rest = key[:8], places[:0], 0, first
		}
		if segment != next || at == nil || !bytes.Equal(at, key[:8]) {
			return fmt.Errorf("segment %x is not after segment %d of %x", key, int64(next)-1, at)
		}
		var err error
		if places, err = decodePlaces(places, rest); err != nil {
			return err
		}
		next++
	}
	if err := whole(); err != nil || at == nil {
		return err
	}
	visit(r, places)
	return nil
}
