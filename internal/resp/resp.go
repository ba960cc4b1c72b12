// Package resp reads Redis commands and writes Redis replies, versions 2 and 3
// of the protocol.
//
// A command is an array of bulk strings, or a line of words ("inline"):
//
//	*3\r\n $3\r\nSET\r\n $1\r\nk\r\n $5\r\nhello\r\n
//	SET k "hello"\r\n
//
// The [Decoder] separates the header of an argument, its length, from its body,
// so that its caller can refuse a length before a byte of it arrives, or let a
// body of gigabytes flow past without keeping it. It is stricter than Redis in
// one thing: every line end is checked, and numbers have one spelling only, so
// that what parses has exactly one encoding.
//
// The package holds no connection, clock or goroutine.
package resp

import (
	"errors"
	"strconv"
)

// MaxArgs is the largest number of arguments of one command, as in Redis.
const MaxArgs = 1 << 20

// ErrTooLong says that an argument is longer than the caller's limit. Its body
// is still unread.
var ErrTooLong = errors.New("resp: argument longer than its limit")

// ProtocolError is input that is no command. What follows it in the stream
// cannot be told apart any more, so the connection has to end.
type ProtocolError struct {
	Reason string // in Redis's words
}

// Error gives the reason as Redis puts it in its reply.
func (e *ProtocolError) Error() string { return "Protocol error: " + e.Reason }

// Version is a version of the protocol: [V2] or [V3].
type Version int

// The versions of the protocol. A connection starts with V2; HELLO changes it.
const (
	V2 Version = 2
	V3 Version = 3
)

// ParseInt reads a decimal number in its only spelling: no plus sign, no
// leading zero, no minus zero, nothing around it.
func ParseInt(b []byte) (int64, bool) {
	digits := b
	if len(b) > 0 && b[0] == '-' {
		digits = b[1:]
	}
	switch {
	case len(digits) == 0 || len(digits) > 19:
		return 0, false
	case digits[0] == '0' && len(b) > 1:
		return 0, false
	}
	var u uint64 // 19 digits fit
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		u = u*10 + uint64(c-'0')
	}
	if len(digits) != len(b) {
		if u > 1<<63 {
			return 0, false
		}
		return -int64(u), true
	}
	if u > 1<<63-1 {
		return 0, false
	}
	return int64(u), true
}

// AppendCommand appends a command in the form that every client sends.
func AppendCommand(dst []byte, args ...[]byte) []byte {
	dst = AppendArray(dst, len(args))
	for _, a := range args {
		dst = AppendBulk(dst, a)
	}
	return dst
}

func appendHeader(dst []byte, kind byte, n int64) []byte {
	dst = append(dst, kind)
	dst = strconv.AppendInt(dst, n, 10)
	return append(dst, '\r', '\n')
}
