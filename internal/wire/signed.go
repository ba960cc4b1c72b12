package wire

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
)

// signed is a payload whose invocation is signed: where anybody who reaches a
// function can invoke it, that tells its proxy from others.
type signed struct {
	Invocation []byte `json:"signed"` // in JSON
	Key        []byte `json:"key"`    // ed25519.PublicKeySize bytes
	Signature  []byte `json:"signature"`
}

// Sign is the payload's JSON, signed.
func (v *Invocation) Sign(key ed25519.PrivateKey) ([]byte, error) {
	invocation, err := v.Encode()
	if err != nil {
		return nil, err
	}
	return json.Marshal(signed{invocation, key.Public().(ed25519.PublicKey), ed25519.Sign(key, invocation)})
}

// unsign returns the invocation in a payload, and who signed it: nil if nobody did.
// The error matches ErrDenied if the signature is wrong.
func unsign(payload []byte) (invocation []byte, signer ed25519.PublicKey, err error) {
	if !bytes.Contains(payload, []byte(`"signature"`)) {
		return payload, nil, nil
	}
	var s signed
	if json.Unmarshal(payload, &s) != nil || s.Signature == nil {
		return payload, nil, nil // whatever it is, it is not signed
	}
	if len(s.Key) != ed25519.PublicKeySize || !ed25519.Verify(s.Key, s.Invocation, s.Signature) {
		return nil, nil, Errorf(CodeDenied, "invocation with a wrong signature")
	}
	return s.Invocation, s.Key, nil
}
