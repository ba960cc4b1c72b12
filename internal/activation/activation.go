// Package activation is how functions that are HTTP services are invoked: one
// request is held open for as long as the session lasts. The answer is a stream of
// lines, each an Event in JSON, the last of which says how the session went. A
// container platform that starts an instance for a request, and keeps it while one
// is open, is so a platform for functions.
package activation

import (
	"encoding/json"
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// What a request is made of.
const (
	// Path is where a function is invoked, by POST.
	Path = "/invoke"
	// HealthPath answers 200 when the function can be invoked.
	HealthPath = "/healthz"
	// LimitHeader is how long the session may last, in milliseconds, from 1 to 24
	// hours. The function has to end before.
	LimitHeader = "Infinicache-Session-Limit-Ms"
	// PayloadHeader has a payload of up to MaxHeaderPayload bytes, in base64, and the
	// request no body. The answer to a request begins long before the session ends,
	// and reverse proxies written with Go cut one that begins before they have seen
	// the end of the request's body. Larger payloads are the body.
	PayloadHeader = "Infinicache-Payload"
	// Header marks each answer of a function and has the protocol's Version: what
	// comes without it was said by somebody on the way.
	Header  = "Infinicache-Activation"
	Version = "1"
	// InstanceHeader has, in each answer, which instance gave it: so a request for
	// HealthPath tells which one would be invoked now.
	InstanceHeader = "Infinicache-Instance"
)

// LinkPort is where an instance usually takes links of proxies that dial it. It is
// none of those that Knative's queue-proxy takes in the same pod (8008, 8012, 8013,
// 8022, 8112, 9090, 9091).
const LinkPort = 8076

// Limits.
const (
	// MaxPayload and MaxAnswer bound what a function is given and gives, in bytes. What
	// is given is small: anybody can send it, to many at once.
	MaxPayload = 64 << 10
	MaxAnswer  = 1 << 20
	// MaxHeaderPayload is what all that is on the way takes in a header, in bytes.
	MaxHeaderPayload = 3 << 10
	// MaxLine bounds a line of the stream, in bytes: an answer in JSON, and what
	// says how the session went.
	MaxLine = MaxAnswer + 16<<10
	// MaxLimit is the longest session.
	MaxLimit = 24 * time.Hour
)

// Event is one line. An empty one only tells that the function is there.
type Event struct {
	// Call asks the proxy to dial the instance.
	Call *wire.Call `json:"call,omitempty"`
	// End is how the session went; it is the last event.
	End *End `json:"end,omitempty"`
}

// End is how a session went.
type End struct {
	// Payload is what the function answered, if there is no Failure: JSON.
	Payload json.RawMessage `json:"payload,omitempty"`
	Failure *Failure        `json:"failure,omitempty"`

	// Request names the session, for logs.
	Request string `json:"request"`
	// Milliseconds is how long it lasted, without the instance's start.
	Milliseconds float64 `json:"milliseconds"`
	// InitMilliseconds is how long the instance took from its start until it could
	// be invoked; 0 but in its first session.
	InitMilliseconds float64 `json:"initMilliseconds,omitempty"`
}

// Fault is why a function failed.
type Fault string

const (
	Failed   Fault = "error"            // it returned an error, or panicked
	TimedOut Fault = "timeout"          // it passed its limit; the instance ends
	TooLarge Fault = "answer too large" // above MaxAnswer; it is lost
)

// Failure is how a function failed.
type Failure struct {
	Fault   Fault  `json:"fault"`
	Message string `json:"message"`
}
