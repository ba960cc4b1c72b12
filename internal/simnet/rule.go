package simnet

import (
	"fmt"
	"strings"
	"time"
)

// Op is what a rule does.
type Op string

// A link A->B is everything that travels from host A to host B, whichever of
// them dialled and over how many connections. Writes, bytes and dials are
// counted per rule from the moment it is added, over all that its link matches;
// the first is number 1. A rule that names such a number fires once, on the
// connection that reaches it. The right column says what Fired counts.
const (
	// Reset breaks the connection before its write N, or after N bytes; what
	// was sent before still arrives ahead of the reset.
	//	reset A->B write N           the reset
	//	reset A->B after N bytes
	Reset Op = "reset"
	// Truncate ends the direction in order after N bytes. The writer goes on
	// without noticing; what it writes is lost.
	//	truncate A->B after N bytes  the end
	Truncate Op = "truncate"
	// Stall lets nothing of the connection's direction through after N bytes,
	// for a while or for ever. The writer's buffer fills.
	//	stall A->B after N bytes [for D]  the stall
	Stall Op = "stall"
	// Flip changes one byte.
	//	flip A->B byte N             the byte
	Flip Op = "flip"
	// Delay makes everything arrive later by D, and by up to jitter more. The
	// order of bytes stays.
	//	delay A->B D [jitter D]      segments and dials delayed
	Delay Op = "delay"
	// Rate bounds how many bytes a second all that the link matches carries
	// together.
	//	rate A->B N bytes/s          segments carried
	Rate Op = "rate"
	// Refuse answers the dial N from A to B as if nobody listened.
	//	refuse A->B dial N           the dial
	Refuse Op = "refuse"
	// Partition lets nothing through between A and B. Neither notices; what is
	// in flight waits until it ends.
	//	partition A B [at D] [for D]  segments and dials held
	Partition Op = "partition"
	// Cut is a partition between a host and all others.
	//	cut A [at D] [for D]         segments and dials held
	Cut Op = "cut"
	// Freeze stops a host, as Net.Freeze does.
	//	freeze A [at D] [for D]      1 once it has frozen
	Freeze Op = "freeze"
	// Drop resets a host's connections, as Net.Drop does.
	//	drop A [at D]                connections reset
	Drop Op = "drop"
)

// Any matches every host; a host that ends in it matches all that begin with
// what precedes it, as node/* matches node/3.
const Any = "*"

// Rule is one fault to inject. ParseRules makes rules from text and String
// makes the text again. Rules are comparable.
type Rule struct {
	Op   Op
	A, B string // hosts or patterns of hosts; B only for links and Partition

	Write int64 // Reset: at this write, from 1; 0 means after Bytes instead
	Bytes int64 // after this many bytes, from 0; Flip: this byte, from 1; Rate: a second
	Dial  int64 // Refuse: this dial, from 1

	Delay  time.Duration // Delay: above 0
	Jitter time.Duration // Delay: at most this much more
	At     time.Duration // after the rule is added
	For    time.Duration // 0 means until the rule is removed
}

// String returns the rule's text in the one form that Op's table gives.
func (r Rule) String() string {
	var b strings.Builder
	switch shapes[r.Op].hosts {
	case link:
		fmt.Fprintf(&b, "%s %s->%s", r.Op, r.A, r.B)
	case pair:
		fmt.Fprintf(&b, "%s %s %s", r.Op, r.A, r.B)
	default:
		fmt.Fprintf(&b, "%s %s", r.Op, r.A)
	}
	switch {
	case r.Op == Reset && r.Write > 0:
		fmt.Fprintf(&b, " write %d", r.Write)
	case r.Op == Reset || r.Op == Truncate || r.Op == Stall:
		fmt.Fprintf(&b, " after %d bytes", r.Bytes)
	case r.Op == Flip:
		fmt.Fprintf(&b, " byte %d", r.Bytes)
	case r.Op == Rate:
		fmt.Fprintf(&b, " %d bytes/s", r.Bytes)
	case r.Op == Refuse:
		fmt.Fprintf(&b, " dial %d", r.Dial)
	case r.Op == Delay:
		fmt.Fprintf(&b, " %v", r.Delay)
	}
	for _, d := range []struct {
		word  string
		value time.Duration
	}{{"jitter", r.Jitter}, {"at", r.At}, {"for", r.For}} {
		if d.value > 0 {
			fmt.Fprintf(&b, " %s %v", d.word, d.value)
		}
	}
	return b.String()
}

// hosts says how a rule names what it is about.
type hosts uint8

const (
	one  hosts = iota // A
	pair              // A B
	link              // A->B
)

// shapes says which words each rule has.
var shapes = map[Op]struct {
	hosts hosts
	may   string // of the words jitter, at, for
}{
	Reset:     {link, ""},
	Truncate:  {link, ""},
	Stall:     {link, "for"},
	Flip:      {link, ""},
	Delay:     {link, "jitter"},
	Rate:      {link, ""},
	Refuse:    {link, ""},
	Partition: {pair, "at for"},
	Cut:       {one, "at for"},
	Freeze:    {one, "at for"},
	Drop:      {one, "at"},
}

// onLink tells whether the rule is about what travels from one host to another.
func (r Rule) onLink(from, to string) bool {
	switch r.Op {
	case Partition:
		return (matches(r.A, from) && matches(r.B, to)) || (matches(r.A, to) && matches(r.B, from))
	case Freeze:
		return matches(r.A, from)
	case Cut:
		return matches(r.A, from) || matches(r.A, to)
	}
	return matches(r.A, from) && matches(r.B, to)
}

func matches(pattern, host string) bool {
	if prefix, ok := strings.CutSuffix(pattern, Any); ok {
		return strings.HasPrefix(host, prefix)
	}
	return pattern == host
}

// validHost tells whether a host's name can stand in a rule.
func validHost(host string) bool {
	return host != "" && len(host) <= 255 && !strings.ContainsAny(host, "#:") &&
		!strings.Contains(host, "->") && strings.IndexFunc(host, func(r rune) bool { return r > '~' || r < '!' }) < 0
}
