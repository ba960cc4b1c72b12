package redis

import (
	"bytes"
	"math"
	"time"

	"github.com/infinicache/infinicache/internal/object"
)

// setOptions is what follows the value in SET, or the key in GETEX.
type setOptions struct {
	expires   time.Time // zero: none given
	keepTTL   bool
	persist   bool // GETEX only
	condition object.Condition
	get       bool
}

// parseSetOptions reads the options of SET or GETEX; now is what relative
// times are added to.
func parseSetOptions(name string, args [][]byte, now time.Time) (setOptions, error) {
	var (
		o      setOptions
		unit   []byte // the option that speaks of expiry
		amount []byte
	)
	set := name == "set"
	for i := 0; i < len(args); i++ {
		a := args[i]
		condition := object.Always
		switch {
		case set && is(a, "nx"):
			condition = object.IfAbsent
		case set && is(a, "xx"):
			condition = object.IfPresent
		case set && is(a, "get"):
			o.get = true
			continue
		case set && is(a, "keepttl") && unit == nil:
			unit, o.keepTTL = a, true
			continue
		case !set && is(a, "persist") && unit == nil:
			unit, o.persist = a, true
			continue
		case isTimeUnit(a) && unit == nil && i+1 < len(args):
			i++
			unit, amount = a, args[i]
			continue
		default:
			return o, errSyntax
		}
		if o.condition != object.Always && o.condition != condition {
			return o, errSyntax
		}
		o.condition = condition
	}
	if amount == nil {
		return o, nil
	}
	n, err := number(amount)
	if err != nil {
		return o, err
	}
	at, ok := instant(n, is(unit, "ex") || is(unit, "exat"), is(unit, "ex") || is(unit, "px"), now)
	if !ok || n <= 0 {
		return o, invalidExpire(name)
	}
	o.expires = at
	return o, nil
}

func isTimeUnit(a []byte) bool {
	return is(a, "ex") || is(a, "px") || is(a, "exat") || is(a, "pxat")
}

// is compares an argument with a word in lower case.
func is(arg []byte, word string) bool {
	return len(arg) == len(word) && bytes.EqualFold(arg, []byte(word))
}

// latest is the end of time: 2262, as far as nanoseconds in 64 bits reach. A
// later expiry means this one.
var latest = time.Unix(0, math.MaxInt64)

// instant is the time n seconds or milliseconds after now, or after 1970 if it
// is not relative. It is never the zero time. Redis counts in milliseconds, and
// what it could not count is refused.
func instant(n int64, seconds, relative bool, now time.Time) (time.Time, bool) {
	ms := n
	if seconds {
		if n > math.MaxInt64/1000 || n < math.MinInt64/1000 {
			return time.Time{}, false
		}
		ms = n * 1000
	}
	if relative {
		base := now.UnixMilli()
		if ms > math.MaxInt64-base {
			return time.Time{}, false
		}
		ms += base
	}
	// Anything before 1970 is past, however far.
	at := time.UnixMilli(max(ms, 0))
	if at.After(latest) {
		at = latest
	}
	return at, true
}
