package wire

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
)

// MaxInvocation bounds the payload of an invocation, in bytes.
const MaxInvocation = 16 << 10

// FingerprintSize is how many bytes the fingerprint of a public key has.
const FingerprintSize = 32

// Invocation is the payload that starts a session. A node has no other
// configuration. It travels as JSON, because platforms demand that.
type Invocation struct {
	Protocol int    `json:"protocol"` // Version
	Node     uint32 `json:"node"`
	Epoch    uint64 `json:"epoch"`
	Session  uint64 `json:"session"`
	Secret   []byte `json:"secret"` // ProofSize bytes, see Secret
	// Proxy is the address, host:port, that the instance dials. Empty where the
	// proxy dials the instance.
	Proxy string `json:"proxy,omitempty"`
	// Fingerprint is the SHA-256 of the proxy's public key (its certificate's
	// SubjectPublicKeyInfo) and has links be TLS, with the proxy known by it;
	// empty for links without TLS.
	Fingerprint []byte `json:"fingerprint,omitempty"`
	// Linger is how long the instance stays awake after its last request.
	Linger Linger `json:"linger"`
	// Capacity is how many bytes of chunks the instance may hold; 0 lets it
	// judge by its own memory limit.
	Capacity int64 `json:"capacity,omitempty"`
	// Adopt lets the instance keep what it holds from an earlier epoch.
	// Otherwise a higher epoch empties it.
	Adopt bool `json:"adopt,omitempty"`

	// Signer is who signed the payload that this was read from; nil if nobody did.
	Signer ed25519.PublicKey `json:"-"`
}

// Encode is the payload's JSON.
func (v *Invocation) Encode() ([]byte, error) { return json.Marshal(v) }

// DecodeInvocation reads a payload, signed or not, and checks it. Its error matches
// ErrProtocol, ErrVersion if the payload is for another protocol version, or
// ErrDenied if its signature is wrong.
func DecodeInvocation(b []byte) (*Invocation, error) {
	if len(b) > MaxInvocation {
		return nil, Errorf(CodeProtocol, "invocation of %d bytes, limit %d", len(b), MaxInvocation)
	}
	b, signer, err := unsign(b)
	if err != nil {
		return nil, err
	}
	v := Invocation{Signer: signer}
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(&v); err != nil {
		return nil, Errorf(CodeProtocol, "invocation: %v", err)
	}
	switch {
	case v.Protocol != Version:
		return nil, Errorf(CodeVersion, "invocation for protocol version %d, this one speaks %d", v.Protocol, Version)
	case v.Session == 0 || v.Epoch == 0:
		return nil, Errorf(CodeProtocol, "invocation: session %d, epoch %d, neither may be 0", v.Session, v.Epoch)
	case len(v.Secret) != ProofSize:
		return nil, Errorf(CodeProtocol, "invocation: secret of %d bytes, want %d", len(v.Secret), ProofSize)
	case len(v.Fingerprint) != 0 && len(v.Fingerprint) != FingerprintSize:
		return nil, Errorf(CodeProtocol, "invocation: fingerprint of %d bytes, want %d or none", len(v.Fingerprint), FingerprintSize)
	case v.Capacity < 0 || v.Capacity > MaxObject:
		return nil, Errorf(CodeProtocol, "invocation: capacity of %d bytes", v.Capacity)
	}
	if err := v.Linger.check(); err != nil {
		return nil, err
	}
	return &v, nil
}

// Return is what an instance answers to its invocation: how the session went.
type Return struct {
	Session  uint64   `json:"session"`
	Epoch    uint64   `json:"epoch"` // the highest that the instance has seen
	Instance Instance `json:"instance"`
	Reason   string   `json:"reason"`   // a lifecycle reason
	Requests uint64   `json:"requests"` // received in the session
	Chunks   int      `json:"chunks"`   // held now
	Used     int64    `json:"used"`     // bytes
}
