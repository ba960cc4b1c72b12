package wire

import "encoding/json"

// Probe is another payload than an Invocation: a question of whoever deploys the
// function whether its instances reach a proxy. It starts no session.
type Probe struct {
	Protocol int `json:"protocol"` // Version
	// Probe is the address, host:port, that the instance tries to connect to. It
	// tells a Probe from an Invocation and may not be empty.
	Probe string `json:"probe"`
}

// ProbeResult is what an instance answers to a Probe.
type ProbeResult struct {
	Instance Instance `json:"instance"`
	Version  string   `json:"version"` // of the program
	Memory   int64    `json:"memory"`  // bytes, 0 if the instance does not know
	// Reached tells that a connection to the address came about, and that what
	// answers there, with TLS or without, is a proxy that speaks this protocol.
	Reached bool `json:"reached"`
	// Milliseconds is how long that took.
	Milliseconds float64 `json:"milliseconds"`
	// Error is why the address was not reached.
	Error string `json:"error,omitempty"`
}

// DecodeProbe reads a payload that is a Probe. ok is false if it is none, but
// perhaps an Invocation.
func DecodeProbe(b []byte) (p Probe, ok bool) {
	if len(b) > MaxInvocation || json.Unmarshal(b, &p) != nil {
		return Probe{}, false
	}
	return p, p.Probe != "" && p.Protocol == Version
}
