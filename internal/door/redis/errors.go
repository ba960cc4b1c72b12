package redis

import (
	"context"
	"errors"
	"strings"

	"github.com/infinicache/infinicache/internal/wire"
)

// refusal is an error reply: a code in capitals, a space, a sentence. The
// command did not do what it was asked; the connection goes on.
type refusal string

func (r refusal) Error() string { return string(r) }

// code is the first word: one of a closed set, as the texts are this package's.
func (r refusal) code() string {
	code, _, _ := strings.Cut(string(r), " ")
	return code
}

// Redis's own texts.
const (
	errSyntax       refusal = "ERR syntax error"
	errNotInteger   refusal = "ERR value is not an integer or out of range"
	errNoAuth       refusal = "NOAUTH Authentication required."
	errWrongPass    refusal = "WRONGPASS invalid username-password pair or user is disabled."
	errNoPassword   refusal = "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?"
	errNoProto      refusal = "NOPROTO unsupported protocol version"
	errBadProto     refusal = "ERR Protocol version is not an integer or out of range"
	errDBIndex      refusal = "ERR DB index is out of range"
	errCursor       refusal = "ERR invalid cursor"
	errClientName   refusal = "ERR Client names cannot contain spaces, newlines or special characters."
	errClientID     refusal = "ERR Invalid client ID"
	errExpireNX     refusal = "ERR NX and XX, GT or LT options at the same time are not compatible"
	errExpireGTLT   refusal = "ERR GT and LT options at the same time are not compatible"
	errBadCommand   refusal = "ERR Invalid command specified"
	errBadArguments refusal = "ERR Invalid number of arguments specified for command"
	errNoKeys       refusal = "ERR The command has no key arguments"
)

// What only this door has to say.
const (
	errKey          refusal = "ERR key is empty or longer than 65536 bytes"
	errArguments    refusal = "ERR arguments of one command are longer than 1 MiB together"
	errArgumentRoom refusal = "TRYAGAIN unfinished commands hold too much memory"
	errFull         refusal = "OOM command not allowed when used memory > 'maxmemory'."
	errTooLarge     refusal = "ERR value is larger than the pool can hold"
	errBusy         refusal = "TRYAGAIN too much work under way"
	errUnavailable  refusal = "LOADING the pool cannot serve now"
	errClosing      refusal = "ERR server is shutting down"
	errBreaker      refusal = "ERR spend breaker is open"
	errShort        refusal = "ERR value is shorter or longer than declared"
	errLost         refusal = "ERR object is lost"
	errEncrypted    refusal = "ERR object is encrypted with a key that the proxy does not have"
)

// refusals are the replies to the cache's errors. What is not here is told as
// it is.
var refusals = []struct {
	err   error
	reply refusal
}{
	{wire.ErrFull, errFull},
	{wire.ErrTooLarge, errTooLarge},
	{wire.ErrKey, errKey},
	{wire.ErrBusy, errBusy},
	{wire.ErrUnavailable, errUnavailable},
	{wire.ErrTimeout, errUnavailable},
	{wire.ErrBreaker, errBreaker},
	{wire.ErrLost, errLost},
	{wire.ErrEncrypted, errEncrypted},
	{wire.ErrShort, errShort},
	{wire.ErrClosed, errClosing},
	{context.Canceled, errClosing},
}

// refusalFor is the reply to err.
func refusalFor(err error) refusal {
	if r, ok := errors.AsType[refusal](err); ok {
		return r
	}
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return r.reply
		}
	}
	return refusal("ERR " + err.Error())
}

// isMiss tells whether a read that ended with err found nothing: never stored,
// lost, out of reach, or not to be fetched at this price.
func isMiss(err error) bool {
	return errors.Is(err, wire.ErrNotFound) || errors.Is(err, wire.ErrLost) ||
		errors.Is(err, wire.ErrUnheard) || errors.Is(err, wire.ErrBreaker)
}

func wrongArity(name string) refusal {
	return refusal("ERR wrong number of arguments for '" + name + "' command")
}

func invalidExpire(name string) refusal {
	return refusal("ERR invalid expire time in '" + name + "' command")
}

// unknownCommand quotes what was sent, 128 bytes at most of each part.
func unknownCommand(name []byte, args [][]byte) refusal {
	const most = 128
	var b strings.Builder
	b.WriteString("ERR unknown command '")
	b.Write(name[:min(len(name), most)])
	b.WriteString("', with args beginning with: ")
	for start := b.Len(); len(args) > 0 && b.Len()-start < most; args = args[1:] {
		room := most - (b.Len() - start)
		b.WriteByte('\'')
		b.Write(args[0][:min(len(args[0]), room)])
		b.WriteString("' ")
	}
	return refusal(b.String())
}

func unknownSubcommand(name []byte, container string) refusal {
	return refusal("ERR unknown subcommand '" + string(name[:min(len(name), 128)]) +
		"'. Try " + strings.ToUpper(container) + " HELP.")
}
