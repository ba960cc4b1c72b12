package wire

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"testing"
)

func TestSignedInvocation(t *testing.T) {
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	inv := &Invocation{Protocol: Version, Epoch: 1, Session: 2, Secret: make([]byte, ProofSize), Proxy: `p:1 "signature"`}
	payload, err := inv.Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeInvocation(payload)
	if err != nil || got.Session != 2 || got.Proxy != inv.Proxy || !bytes.Equal(got.Signer, public) {
		t.Errorf("DecodeInvocation = %+v, %v", got, err)
	}
	plain, err := inv.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := DecodeInvocation(plain); err != nil || got.Signer != nil {
		t.Errorf("an invocation that nobody signed: %+v, %v", got, err)
	}

	var s signed
	if err := json.Unmarshal(payload, &s); err != nil {
		t.Fatal(err)
	}
	other, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*signed){
		"another invocation": func(s *signed) {
			s.Invocation = bytes.Replace(s.Invocation, []byte(`"session":2`), []byte(`"session":3`), 1)
		},
		"another key":         func(s *signed) { s.Key = other },
		"a short key":         func(s *signed) { s.Key = s.Key[1:] },
		"no key":              func(s *signed) { s.Key = nil },
		"another signature":   func(s *signed) { s.Signature[7] ^= 1 },
		"a signature cut off": func(s *signed) { s.Signature = s.Signature[:5] },
		"an empty signature":  func(s *signed) { s.Signature = []byte{} },
	} {
		changed := signed{bytes.Clone(s.Invocation), bytes.Clone(s.Key), bytes.Clone(s.Signature)}
		change(&changed)
		text, err := json.Marshal(changed)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := DecodeInvocation(text); !errors.Is(err, ErrDenied) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func FuzzDecodeInvocation(f *testing.F) {
	inv := &Invocation{Protocol: Version, Epoch: 1, Session: 2, Secret: make([]byte, ProofSize), Proxy: "p:1"}
	plain, _ := inv.Encode()
	signed, _ := inv.Sign(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	f.Add(plain)
	f.Add(signed)
	f.Add([]byte(`{"signed":"e30=","key":"","signature":"AA=="}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		got, err := DecodeInvocation(payload)
		if err != nil {
			if !errors.Is(err, ErrProtocol) && !errors.Is(err, ErrVersion) && !errors.Is(err, ErrDenied) {
				t.Fatalf("error %v of no known kind", err)
			}
			return
		}
		again, err := got.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := DecodeInvocation(again); err != nil || back.Session != got.Session || back.Proxy != got.Proxy {
			t.Fatalf("%+v encodes to what reads as %+v, %v", got, back, err)
		}
	})
}
