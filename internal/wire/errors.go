package wire

import (
	"errors"
	"fmt"
	"strings"
)

// Code is the reason why something ended, as it crosses the wire. The set is
// closed and append-only. A Code is an error, so errors.Is finds it on both
// sides of the network.
type Code uint16

const (
	CodeOK          Code = iota
	CodeProtocol         // the other side broke the protocol; the link closes
	CodeVersion          // the other side speaks another protocol version
	CodeNotFound         // no such object: a miss; Cause says why
	CodeNotHeld          // the instance does not hold that chunk
	CodeLost             // a chunk is known gone; for an object: more than p of a stripe
	CodeUnheard          // the chunk may exist in an instance that was not heard from
	CodeFull             // no room, and nothing can be evicted
	CodeTooLarge         // the object is larger than the pool can hold
	CodeKey              // key empty or longer than MaxKey
	CodeRequest          // the request is malformed or not allowed here
	CodeBusy             // a limit on work under way is reached; try again
	CodeUnavailable      // the node, pool or proxy cannot serve now
	CodeCanceled         // given up by the asker
	CodeTimeout          // not answered within its budget
	CodeCondition        // the condition of a conditional write did not hold
	CodeStale            // epoch or session is over
	CodeDenied           // the secret is wrong
	CodeCorrupt          // a checksum does not fit the bytes
	CodeBreaker          // the spend breaker is open
	CodeShort            // fewer or more bytes than declared
	CodeClosed           // the link or the component is closing
	CodeInternal         // a defect; the log of the side that sent it has more
	CodeEncrypted        // the object is sealed with a key that is not here

	codeEnd
)

var codeTexts = [codeEnd]string{
	"ok", "protocol error", "protocol version not spoken", "not found",
	"chunk not held", "lost", "holder not heard from", "pool is full",
	"object too large for the pool", "key is empty or too long", "bad request",
	"too busy", "unavailable", "canceled", "timed out", "condition not met",
	"epoch or session is over", "secret is wrong", "checksum mismatch",
	"spend breaker is open", "body is shorter or longer than declared",
	"closed", "internal error", "object is encrypted with a key that is not here",
}

// Error is the code's meaning in a few words.
func (c Code) Error() string {
	if c < codeEnd {
		return codeTexts[c]
	}
	return fmt.Sprintf("code %d", uint16(c))
}

// Sentinels for errors.Is.
var (
	ErrProtocol    error = CodeProtocol
	ErrVersion     error = CodeVersion
	ErrNotFound    error = CodeNotFound
	ErrNotHeld     error = CodeNotHeld
	ErrLost        error = CodeLost
	ErrUnheard     error = CodeUnheard
	ErrFull        error = CodeFull
	ErrTooLarge    error = CodeTooLarge
	ErrKey         error = CodeKey
	ErrRequest     error = CodeRequest
	ErrBusy        error = CodeBusy
	ErrUnavailable error = CodeUnavailable
	ErrCanceled    error = CodeCanceled
	ErrTimeout     error = CodeTimeout
	ErrCondition   error = CodeCondition
	ErrStale       error = CodeStale
	ErrDenied      error = CodeDenied
	ErrCorrupt     error = CodeCorrupt
	ErrBreaker     error = CodeBreaker
	ErrShort       error = CodeShort
	ErrClosed      error = CodeClosed
	ErrInternal    error = CodeInternal
	ErrEncrypted   error = CodeEncrypted
)

// Cause says why an object is a miss. The set is closed and append-only.
type Cause uint8

const (
	CauseUnexplained Cause = iota // must never be seen
	CauseNeverStored              // not stored, or forgotten long ago
	CauseExpired
	CauseEvicted
	CauseDeleted
	CauseLost    // more than p chunks of a stripe are known gone
	CauseUnheard // more than p chunks of a stripe are gone or unheard
	CauseBreaker // the spend breaker forbids waking the nodes
	CauseSlow    // the nodes did not answer within the request's budget

	causeEnd
)

// Causes is how many causes there are: the length of a table by cause.
const Causes = int(causeEnd)

var causeTexts = [causeEnd]string{
	"unexplained", "never-stored", "expired", "evicted", "deleted", "lost",
	"unheard", "breaker", "slow",
}

func (c Cause) String() string {
	if c < causeEnd {
		return causeTexts[c]
	}
	return fmt.Sprintf("cause(%d)", uint8(c))
}

// Error is a code with its explanation.
type Error struct {
	Code   Code
	Cause  Cause  // of a miss; CauseUnexplained in other errors
	Detail string // for people; at most MaxDetail bytes cross the wire
}

func (e *Error) Error() string {
	s := e.Code.Error()
	if e.Code == CodeNotFound && e.Cause != CauseUnexplained {
		s += " (" + e.Cause.String() + ")"
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}

// Unwrap gives the code, so that errors.Is matches the sentinels.
func (e *Error) Unwrap() error { return e.Code }

// Errorf makes an Error with a code and a formatted detail.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Miss is the error of a read that found nothing, for a reason.
func Miss(cause Cause) *Error { return &Error{Code: CodeNotFound, Cause: cause} }

// CodeOf finds the code in err's chain: CodeOK for nil, CodeInternal for an
// error without one.
func CodeOf(err error) Code {
	if err == nil {
		return CodeOK
	}
	var c Code
	if errors.As(err, &c) {
		return c
	}
	return CodeInternal
}

// CauseOf finds the cause of a miss in err's chain.
func CauseOf(err error) Cause {
	var e *Error
	if errors.As(err, &e) {
		return e.Cause
	}
	return CauseUnexplained
}

// Done is the metadata of DONE and of END: why, in addition to the header's
// code.
type Done struct {
	Chunk  uint16 // of END; 0 in DONE
	Cause  Cause
	Value  uint64 // an answer in one number, where the exchange has one
	Detail string
}

// DoneOf describes err for the wire.
func DoneOf(err error) (Code, *Done) {
	if err == nil {
		return CodeOK, &Done{}
	}
	code, d := CodeOf(err), &Done{Cause: CauseOf(err)}
	var e *Error
	if errors.As(err, &e) {
		d.Detail = e.Detail
	} else {
		d.Detail = without(err.Error(), code.Error())
	}
	if len(d.Detail) > MaxDetail {
		d.Detail = d.Detail[:MaxDetail]
	}
	return code, d
}

// without takes the code's own words off the ends of an error's text: whoever
// prints code and detail together says them once.
func without(text, code string) string {
	if text == code {
		return ""
	}
	text = strings.TrimPrefix(text, code+": ")
	return strings.TrimSuffix(text, ": "+code)
}

// Err is the error that code and d describe; nil for CodeOK.
func (d *Done) Err(code Code) error {
	if code == CodeOK {
		return nil
	}
	return &Error{Code: code, Cause: d.Cause, Detail: d.Detail}
}

func (d *Done) Append(b []byte) []byte {
	b = put16(b, d.Chunk)
	b = append(b, byte(d.Cause))
	b = put64(b, d.Value)
	return putString(b, d.Detail)
}

func (d *Done) Decode(b []byte) error {
	r := reader{b: b}
	*d = Done{Chunk: r.u16(), Cause: Cause(r.u8()), Value: r.u64(), Detail: r.str(MaxDetail)}
	if d.Cause >= causeEnd {
		r.failf("cause %d is none of 0 to %d", d.Cause, causeEnd-1)
	}
	return r.end("DONE")
}
