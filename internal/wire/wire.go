// Package wire is the binary protocol spoken between client and proxy and
// between proxy and node: a preface that names the version, then frames of a
// fixed header, a bounded metadata part and an optional body. The package is
// pure: it turns bytes into messages and back, and owns no connection.
//
// A frame (integers are little-endian):
//
//	offset size
//	0      1    type      one of Type
//	1      1    flags     must be 0 in version 1
//	2      2    code      one of Code; 0 except in frames that end something
//	4      4    stream    which exchange on this link; 0 is the link itself
//	8      4    meta      bytes of metadata that follow, at most MaxMeta
//	12     4    body      bytes of body after the metadata, at most BlockSize;
//	                      0 in every frame but BLOCK
//
// docs/wire.md has the byte tables of the metadata and the exchanges.
package wire

import (
	"encoding/binary"
	"fmt"
)

// Limits. A length is checked against its limit before anything is allocated.
const (
	// BlockSize is the most bytes that move and are checked as one: 256 KiB.
	// Every block of a chunk but its last has exactly this size.
	BlockSize = 256 << 10
	// MaxKey is the longest key, in bytes.
	MaxKey = 64 << 10
	// MaxMeta bounds the metadata of any frame: a key and a record around it.
	MaxMeta = 72 << 10
	// MaxChunks is the most chunks of a stripe, so that a set of them fits a
	// 64-bit mask.
	MaxChunks = 64
	// MaxChunkSize is the most bytes of one chunk: a whole stripe, where d is 1.
	MaxChunkSize = 16 << 20
	// MaxObject is the largest object in bytes; stripes are counted in 32 bits.
	MaxObject = 1 << 44
	// MaxDetail bounds the explanation that an error carries, in bytes.
	MaxDetail = 1 << 10
	// MaxFrees is the most items in one FREE frame.
	MaxFrees = 1024
	// MaxHoldings is the most items in one HOLDING frame.
	MaxHoldings = 512
	// StreamCredit is how many bytes of blocks a sender of a chunk may have
	// under way before it needs CREDIT, and of metadata of HOLDING who answers a
	// LIST.
	StreamCredit = 1 << 20
	// PutWindow is the same for all blocks of one PUT together.
	PutWindow = 4 << 20
)

// HeaderSize and BlockMetaSize are the bytes of a frame header and of the
// metadata of a BLOCK.
const (
	HeaderSize    = 16
	BlockMetaSize = 16
)

// Type says what a frame is.
type Type uint8

// The types of version 1. The list is append-only.
const (
	TypeInvalid Type = iota

	// Client to proxy.
	TypeOpen   // read: pin the newest version of a key; answered by OPENED or DONE
	TypeRead   // ask for blocks of chunks of an opened version; answered by BLOCK, or END
	TypeClose  // release the pin of an opened version; code tells how its reads went
	TypePut    // begin a new version; answered by PLACED or DONE
	TypeStripe // how long the stripe is whose blocks follow
	TypeCommit // all blocks of the new version were sent; answered by DONE
	TypeDelete // make a key a miss; answered by DONE
	TypeStat   // describe a key; answered by OPENED (without a pin) or DONE

	// Proxy to client.
	TypeOpened // what OPEN and STAT found
	TypePlaced // PUT may go on
	TypeStored // a stripe of the PUT is settled: its memory is the client's again
	TypeResend // a chunk of the PUT has a new node: send all of it again
	TypeEnd    // one chunk of a READ has failed; a complete one ends with its last block

	// Both links.
	TypeBlock  // one block of a chunk
	TypeCredit // the receiver of blocks, or of HOLDING, allows more
	TypeCancel // the asker gives the stream up
	TypeDone   // the stream is over; code tells how

	// Node links.
	TypeHello   // node to proxy: this instance plays this node in this session
	TypeWelcome // proxy to node: the hello is good; the session begins
	TypeFetch   // proxy to node: send blocks of a chunk; answered by BLOCK and DONE
	TypeStore   // proxy to node: keep a chunk whose blocks follow; answered by DONE
	TypeFree    // proxy to node: forget chunks; answered by DONE
	TypePing    // proxy to node: are you awake?
	TypePong    // node to proxy: yes
	TypeSleep   // node to proxy: I want to sleep and have received so many requests
	TypeAsleep  // proxy to node: agreed
	TypeStay    // proxy to node: requests are on their way
	TypeBye     // node to proxy: this session ends now
	TypeNotice  // node to proxy: the platform ends this instance soon
	TypeList    // proxy to node: say what you hold; answered by HOLDING and DONE
	TypeHolding // node to proxy: some of what the instance holds

	typeEnd // one past the last
)

var typeNames = [typeEnd]string{
	"INVALID", "OPEN", "READ", "CLOSE", "PUT", "STRIPE", "COMMIT", "DELETE", "STAT",
	"OPENED", "PLACED", "STORED", "RESEND", "END",
	"BLOCK", "CREDIT", "CANCEL", "DONE",
	"HELLO", "WELCOME", "FETCH", "STORE", "FREE", "PING", "PONG", "SLEEP",
	"ASLEEP", "STAY", "BYE", "NOTICE", "LIST", "HOLDING",
}

func (t Type) String() string {
	if t < typeEnd {
		return typeNames[t]
	}
	return fmt.Sprintf("TYPE(%d)", uint8(t))
}

// Header is the fixed part of a frame.
type Header struct {
	Type   Type
	Code   Code
	Stream uint32
	Meta   uint32 // bytes
	Body   uint32 // bytes
}

// Put writes the header into b, which has at least HeaderSize bytes.
func (h Header) Put(b []byte) {
	_ = b[HeaderSize-1]
	b[0], b[1] = byte(h.Type), 0
	binary.LittleEndian.PutUint16(b[2:], uint16(h.Code))
	binary.LittleEndian.PutUint32(b[4:], h.Stream)
	binary.LittleEndian.PutUint32(b[8:], h.Meta)
	binary.LittleEndian.PutUint32(b[12:], h.Body)
}

// ParseHeader reads a header from b, which has at least HeaderSize bytes, and
// checks it against the limits. Its error matches ErrProtocol.
func ParseHeader(b []byte) (Header, error) {
	_ = b[HeaderSize-1]
	h := Header{
		Type:   Type(b[0]),
		Code:   Code(binary.LittleEndian.Uint16(b[2:])),
		Stream: binary.LittleEndian.Uint32(b[4:]),
		Meta:   binary.LittleEndian.Uint32(b[8:]),
		Body:   binary.LittleEndian.Uint32(b[12:]),
	}
	switch {
	case h.Type == TypeInvalid || h.Type >= typeEnd:
		return h, Errorf(CodeProtocol, "frame type %d is none of 1 to %d", b[0], typeEnd-1)
	case b[1] != 0:
		return h, Errorf(CodeProtocol, "%v frame has flags %#x, allowed is 0", h.Type, b[1])
	case h.Code >= codeEnd:
		return h, Errorf(CodeProtocol, "%v frame has code %d, allowed is 0 to %d", h.Type, h.Code, codeEnd-1)
	case h.Meta > MaxMeta:
		return h, Errorf(CodeProtocol, "%v frame declares %d bytes of metadata, limit %d", h.Type, h.Meta, MaxMeta)
	case h.Type == TypeBlock && (h.Meta != BlockMetaSize || h.Body == 0 || h.Body > BlockSize):
		return h, Errorf(CodeProtocol, "BLOCK frame has %d bytes of metadata and %d of body, allowed are %d and 1 to %d",
			h.Meta, h.Body, BlockMetaSize, BlockSize)
	case h.Type != TypeBlock && h.Body != 0:
		return h, Errorf(CodeProtocol, "%v frame declares a body of %d bytes, only BLOCK has one", h.Type, h.Body)
	}
	return h, nil
}

// AppendFrame appends a whole frame without a body to b.
func AppendFrame(b []byte, t Type, code Code, stream uint32, m Message) []byte {
	at := len(b)
	b = append(b, make([]byte, HeaderSize)...)
	if m != nil {
		b = m.Append(b)
	}
	Header{Type: t, Code: code, Stream: stream, Meta: uint32(len(b) - at - HeaderSize)}.Put(b[at:])
	return b
}

// Message is the metadata of a frame.
type Message interface {
	// Append appends the encoding to b.
	Append(b []byte) []byte
	// Decode replaces the receiver by what b encodes. It keeps no part of b and
	// refuses a b that Append would not have made. Its error matches
	// ErrProtocol.
	Decode(b []byte) error
}
