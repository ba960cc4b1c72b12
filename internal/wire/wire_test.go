package wire

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// messages are one good example of each metadata, with a maker of an empty one.
var messages = []struct {
	name string
	m    Message
	make func() Message
}{
	{"open", &Open{Key: "k"}, func() Message { return new(Open) }},
	{"record", &Record{Key: "k", Version: 7, Size: 3, Data: 1, Parity: 2, Stripe: 3, Stored: 5}, func() Message { return new(Record) }},
	{"sealed record", &Record{Key: "k", Version: 7, Size: 19, Data: 64, Stripe: 19, Stored: 5, Seal: Seal{Key: [8]byte{1}, Salt: [16]byte{2}}}, func() Message { return new(Record) }},
	{"sealed opened", &Opened{Record: Record{Key: "k", Version: 7, Size: 30 << 20, Data: 10, Parity: 2, Stripe: 10 << 20, Seal: Seal{Salt: [16]byte{2}}}, ExpiresIn: 9, Ready: 3, Gone: 4}, func() Message { return new(Opened) }},
	{"sealed put", &Put{Key: "k", Size: -1, Seal: Seal{Key: [8]byte{1}, Salt: [16]byte{2}}}, func() Message { return new(Put) }},
	{"opened", &Opened{Record: Record{Key: "k", Version: 7, Size: 30 << 20, Data: 10, Parity: 2, Stripe: 10 << 20}, ExpiresIn: 9, Ready: 3, Gone: 4}, func() Message { return new(Opened) }},
	{"read", &Read{Open: 1, Stripe: 2, Wants: []Want{{0, 0, 4}, {11, 1, 2}}}, func() Message { return new(Read) }},
	{"put", &Put{Key: "k", Size: -1, ExpiresIn: 1000, KeepExpiry: true, Condition: 2, Data: 4, Parity: 2}, func() Message { return new(Put) }},
	{"placed", &Placed{Version: 8, Data: 10, Parity: 2, Stripe: 10 << 20, Window: PutWindow}, func() Message { return new(Placed) }},
	{"stripe", &Stripe{Stripe: 5, Length: 10}, func() Message { return new(Stripe) }},
	{"place", &Place{Stripe: 5, Chunk: 6}, func() Message { return new(Place) }},
	{"commit", &Commit{Size: 12, Stripes: 1}, func() Message { return new(Commit) }},
	{"credit", &Credit{Bytes: 1 << 20}, func() Message { return new(Credit) }},
	{"done", &Done{Chunk: 3, Cause: CauseLost, Value: 8, Detail: "why"}, func() Message { return new(Done) }},
	{"hello", &Hello{Node: 3, Instance: Instance{1, 2}, Epoch: 4, Session: 5, Capacity: 6, Used: 7, Chunks: 1, Position: 8, Digest: 9}, func() Message { return new(Hello) }},
	{"session", &Session{Epoch: 1, Session: 2, Number: 3}, func() Message { return new(Session) }},
	{"fetch", &Fetch{Fence: Fence{1, 2}, Chunk: Chunk{3, 4, 5}, From: 0, To: 4, Credit: StreamCredit}, func() Message { return new(Fetch) }},
	{"store", &Store{Fence: Fence{1, 2}, Chunk: Chunk{3, 4, 5}, Size: 1 << 20, Record: []byte("r")}, func() Message { return new(Store) }},
	{"free", &Free{Fence: Fence{1, 2}, Chunks: []Chunk{{3, WholeVersion, 0}, {4, 5, 6}}}, func() Message { return new(Free) }},
	{"list", &List{Fence: Fence{1, 2}, After: 3}, func() Message { return new(List) }},
	{"holding", &Holding{Items: []Held{
		{Chunk{3, 4, 5}, 1 << 20, []byte("r")}, {Chunk{3, 5, 5}, 9, []byte("r")}, {Chunk{2, 0, 1}, 1, []byte{}}, {Chunk{3, 6, 5}, 9, []byte("r")},
	}}, func() Message { return new(Holding) }},
}

func TestMessagesComeBackAsTheyWere(t *testing.T) {
	for _, c := range messages {
		b := c.m.Append(nil)
		got := c.make()
		if err := got.Decode(b); err != nil {
			t.Errorf("%s: decode: %v", c.name, err)
			continue
		}
		if d := cmp.Diff(c.m, got); d != "" {
			t.Errorf("%s: (-sent +received)\n%s", c.name, d)
		}
		for i := range b {
			if err := c.make().Decode(b[:i]); !errors.Is(err, ErrProtocol) && !errors.Is(err, ErrKey) {
				t.Errorf("%s: first %d of %d bytes: error %v, want a protocol error", c.name, i, len(b), err)
			}
		}
		if err := c.make().Decode(append(b, 0)); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: a byte too many: error %v, want a protocol error", c.name, err)
		}
	}
}

func TestMessagesRefuse(t *testing.T) {
	long := string(make([]byte, MaxKey+1))
	rec := Record{Key: "k", Version: 1, Size: 10, Data: 1, Stripe: 10}
	with := func(f func(*Record)) *Record { r := rec; f(&r); return &r }
	for _, c := range []struct {
		name string
		m    Message
		want error
	}{
		{"empty key", &Open{}, ErrKey},
		{"long key", &Open{Key: long}, ErrProtocol},
		{"version 0", with(func(r *Record) { r.Version = 0 }), ErrProtocol},
		{"no data chunk", with(func(r *Record) { r.Data = 0 }), ErrProtocol},
		{"too many chunks", with(func(r *Record) { r.Data, r.Parity = 60, 5 }), ErrProtocol},
		{"stripe 0", with(func(r *Record) { r.Stripe = 0 }), ErrProtocol},
		{"huge", with(func(r *Record) { r.Size = MaxObject + 1 }), ErrProtocol},
		{"chunk too large", with(func(r *Record) { r.Size, r.Stripe = 1<<30, 1<<30 }), ErrProtocol},
		{"too many stripes", with(func(r *Record) { r.Size, r.Stripe = MaxObject, 1 }), ErrProtocol},
		{"no wants", &Read{}, ErrProtocol},
		{"chunk twice", &Read{Wants: []Want{{1, 0, 1}, {1, 1, 2}}}, ErrProtocol},
		{"empty range", &Read{Wants: []Want{{1, 1, 1}}}, ErrProtocol},
		{"chunk 64", &Read{Wants: []Want{{64, 0, 1}}}, ErrProtocol},
		{"condition 3", &Put{Key: "k", Condition: 3}, ErrProtocol},
		{"size -2", &Put{Key: "k", Size: -2}, ErrProtocol},
		{"parity alone", &Put{Key: "k", Parity: 1}, ErrProtocol},
		{"no window", &Placed{Version: 1, Data: 1, Stripe: 1, Window: 1}, ErrProtocol},
		{"empty chunk", &Store{}, ErrProtocol},
		{"huge chunk", &Store{Size: MaxChunkSize + 1}, ErrProtocol},
		{"no frees", &Free{}, ErrProtocol},
		{"too many frees", &Free{Chunks: make([]Chunk, MaxFrees+1)}, ErrProtocol},
		{"no holdings", &Holding{}, ErrProtocol},
		{"too many holdings", &Holding{Items: slices.Repeat([]Held{{Size: 1}}, MaxHoldings+1)}, ErrProtocol},
		{"empty chunk held", &Holding{Items: []Held{{}}}, ErrProtocol},
		{"huge chunk held", &Holding{Items: []Held{{Size: MaxChunkSize + 1}}}, ErrProtocol},
		{"unknown cause", &Done{Cause: causeEnd}, ErrProtocol},
	} {
		b := c.m.Append(nil)
		if err := c.m.Decode(b); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", c.name, err, c.want)
		}
	}
}

func TestHeader(t *testing.T) {
	h := Header{Type: TypeBlock, Stream: 9, Meta: BlockMetaSize, Body: BlockSize}
	var b [HeaderSize]byte
	h.Put(b[:])
	if got, err := ParseHeader(b[:]); err != nil || got != h {
		t.Errorf("ParseHeader = %+v, %v; want %+v", got, err, h)
	}
	for _, h := range []Header{
		{},
		{Type: typeEnd},
		{Type: TypeOpen, Code: codeEnd},
		{Type: TypeOpen, Meta: MaxMeta + 1},
		{Type: TypeOpen, Body: 1},
		{Type: TypeBlock, Meta: BlockMetaSize},
		{Type: TypeBlock, Meta: BlockMetaSize, Body: BlockSize + 1},
		{Type: TypeBlock, Meta: BlockMetaSize - 1, Body: 1},
	} {
		h.Put(b[:])
		if _, err := ParseHeader(b[:]); !errors.Is(err, ErrProtocol) {
			t.Errorf("ParseHeader(%+v): error %v, want a protocol error", h, err)
		}
	}
	Header{Type: TypeOpen}.Put(b[:])
	b[1] = 1
	if _, err := ParseHeader(b[:]); !errors.Is(err, ErrProtocol) {
		t.Errorf("flags 1: error %v, want a protocol error", err)
	}
}

func TestPreface(t *testing.T) {
	p := Preface(RoleNode)
	if r, err := ParsePreface(p); r != RoleNode || err != nil {
		t.Errorf("ParsePreface = %v, %v", r, err)
	}
	p[4]++
	if _, err := ParsePreface(p); !errors.Is(err, ErrVersion) {
		t.Errorf("newer version: %v, want ErrVersion", err)
	}
	if _, err := ParsePreface([8]byte{'G', 'E', 'T', ' '}); !errors.Is(err, ErrProtocol) {
		t.Errorf("another protocol: %v, want ErrProtocol", err)
	}
}

func TestChecksumCoversIdentity(t *testing.T) {
	data := []byte("some bytes")
	want := Checksum(1, 2, 3, 4, data)
	for _, got := range []uint32{
		Checksum(9, 2, 3, 4, data), Checksum(1, 9, 3, 4, data), Checksum(1, 2, 9, 4, data),
		Checksum(1, 2, 3, 9, data), Checksum(1, 2, 3, 4, []byte("same bytes")),
	} {
		if got == want {
			t.Errorf("checksum %#x of another block is the same", got)
		}
	}
}

func TestChecksumIsCRC32C(t *testing.T) {
	data := []byte("123456789")
	id := []byte{8, 7, 6, 5, 4, 3, 2, 1, 0xd, 0xc, 0xb, 0xa, 0x22, 0x11, 0x88, 0x77, 0x66, 0x55}
	want := crc32.Checksum(append(id, data...), crc32.MakeTable(crc32.Castagnoli))
	if got := Checksum(0x0102030405060708, 0x0a0b0c0d, 0x1122, 0x55667788, data); got != want {
		t.Errorf("Checksum = %#x, want %#x", got, want)
	}
	if n := testing.AllocsPerRun(100, func() { Checksum(1, 2, 3, 4, data) }); n != 0 {
		t.Errorf("Checksum allocates %v times", n)
	}
}

func TestErrorsCrossTheWire(t *testing.T) {
	for _, err := range []error{
		Miss(CauseEvicted), ErrFull, fmt.Errorf("store: %w", Errorf(CodeNotHeld, "chunk 3")), errors.New("odd"),
	} {
		code, d := DoneOf(err)
		var got Done
		if e := got.Decode(d.Append(nil)); e != nil {
			t.Fatal(e)
		}
		back := got.Err(code)
		if CodeOf(back) != CodeOf(err) || CauseOf(back) != CauseOf(err) {
			t.Errorf("%v came back as %v", err, back)
		}
	}
	for c := range codeEnd {
		if c.Error() == "" {
			t.Errorf("code %d has no text", c)
		}
	}
	for ty := range typeEnd {
		if ty.String() == "" {
			t.Errorf("type %d has no name", ty)
		}
	}
}

// A person who reads code and detail of a foreign error reads the code once.
func TestDetailDoesNotRepeatTheCode(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{ErrLost, ErrLost.Error()},
		{fmt.Errorf("%w: 3 MiB", ErrTooLarge), ErrTooLarge.Error() + ": 3 MiB"},
		{fmt.Errorf("3 MiB: %w", ErrTooLarge), ErrTooLarge.Error() + ": 3 MiB"},
		{fmt.Errorf("put: %w: 3 MiB", ErrTooLarge), ErrTooLarge.Error() + ": put: " + ErrTooLarge.Error() + ": 3 MiB"},
		{errors.New("odd"), ErrInternal.Error() + ": odd"},
	} {
		code, d := DoneOf(c.err)
		if got := d.Err(code).Error(); got != c.want {
			t.Errorf("%q came back as %q, want %q", c.err, got, c.want)
		}
	}
}

// FuzzDecode states the law of the codec: what parses encodes to the same bytes.
func FuzzDecode(f *testing.F) {
	for i, c := range messages {
		f.Add(byte(i), c.m.Append(nil))
	}
	f.Fuzz(func(t *testing.T, which byte, b []byte) {
		c := messages[int(which)%len(messages)]
		m := c.make()
		if m.Decode(b) != nil {
			return
		}
		if again := m.Append(nil); !bytes.Equal(again, b) {
			t.Errorf("%s: %x decodes and encodes to %x", c.name, b, again)
		}
	})
}

// FuzzHeader is the same law for headers and the metadata of blocks.
func FuzzHeader(f *testing.F) {
	f.Add(AppendFrame(nil, TypeCommit, CodeOK, 3, &Commit{Size: 1, Stripes: 1}), make([]byte, BlockMetaSize))
	f.Fuzz(func(t *testing.T, h, k []byte) {
		if len(h) >= HeaderSize {
			if got, err := ParseHeader(h); err == nil {
				var b [HeaderSize]byte
				got.Put(b[:])
				if !bytes.Equal(b[:], h[:HeaderSize]) {
					t.Errorf("header %x encodes to %x", h[:HeaderSize], b)
				}
			}
		}
		if len(k) >= BlockMetaSize {
			if got, err := ParseBlock(k); err == nil {
				var b [BlockMetaSize]byte
				got.Put(b[:])
				if !bytes.Equal(b[:], k[:BlockMetaSize]) {
					t.Errorf("block %x encodes to %x", k[:BlockMetaSize], b)
				}
			}
		}
	})
}

// Journals and nodes keep records: those of objects that are not sealed are what
// they were before there were seals.
func TestUnsealedRecordsAreAsTheyWere(t *testing.T) {
	r := &Record{Key: "k", Version: 7, Size: 3, Data: 10, Parity: 2, Stripe: 4, Expires: 5, Stored: 6}
	const want = "01000000" + "6b" + "0700000000000000" + "0300000000000000" + "0a" + "02" +
		"0400000000000000" + "0500000000000000" + "0600000000000000"
	if got := fmt.Sprintf("%x", r.Append(nil)); got != want {
		t.Errorf("record\n%s, want\n%s", got, want)
	}
	r.Seal = Seal{Key: [8]byte{0xaa}, Salt: [16]byte{0xbb}}
	const seal = "01" + "aa00000000000000" + "bb000000000000000000000000000000"
	sealed := want[:42] + "8a" + want[44:] + seal
	if got := fmt.Sprintf("%x", r.Append(nil)); got != sealed {
		t.Errorf("sealed record\n%s, want\n%s", got, sealed)
	}
}

func TestSealsRefuse(t *testing.T) {
	good := (&Record{Key: "k", Version: 7, Size: 30, Data: 1, Stripe: 30, Seal: Seal{Key: [8]byte{1}}}).Append(nil)
	at := len(good) - 25
	for name, change := range map[string]func([]byte){
		"another format": func(b []byte) { b[at]++ },
		"no seal":        func(b []byte) { clear(b[at+1:]) },
	} {
		b := bytes.Clone(good)
		change(b)
		if err := new(Record).Decode(b); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %v, want a protocol error", name, err)
		}
	}
}
