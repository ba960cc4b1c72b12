package wire

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestInvocationCarriesLinger(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		linger Linger
		text   string
		fault  string // part of the complaint; empty if it is allowed
	}{
		{linger: Linger{}, text: "0s"},
		{linger: Linger{Stay: 1}, text: "1ns"},
		{linger: Linger{Stay: MaxLinger}, text: "1h0m0s"},
		{linger: Linger{Stay: 1500 * time.Microsecond}, text: "1.5ms"},
		{linger: Linger{Quantum: 100 * ms, Margin: 10 * ms, Extra: true}, text: "0s/100ms-10ms+1"},
		{linger: Linger{Stay: 30 * ms, Quantum: 100 * ms}, text: "30ms/100ms-0s"},
		{linger: Linger{Quantum: 2, Margin: 1}, text: "0s/2ns-1ns"},
		{linger: Linger{Stay: -1}, fault: "times"},
		{linger: Linger{Stay: MaxLinger + 1}, fault: "times"},
		{linger: Linger{Quantum: -1}, fault: "times"},
		{linger: Linger{Quantum: MaxLinger + 1}, fault: "times"},
		{linger: Linger{Quantum: ms, Margin: ms}, fault: "less than its quantum"},
		{linger: Linger{Quantum: ms, Margin: -1}, fault: "less than its quantum"},
		{linger: Linger{Stay: ms, Margin: 1}, fault: "without a quantum"},
		{linger: Linger{Stay: ms, Extra: true}, fault: "without a quantum"},
	} {
		secret := Secret([]byte("key"), 1, 2, 3)
		in := Invocation{Protocol: Version, Node: 2, Epoch: 1, Session: 3, Secret: secret[:], Proxy: "proxy:1", Linger: c.linger}
		payload, err := in.Encode()
		if err != nil {
			t.Fatal(err)
		}
		out, err := DecodeInvocation(payload)
		switch {
		case c.fault != "":
			if !errors.Is(err, ErrProtocol) || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%+v gave %v, want a complaint with %q", c.linger, err, c.fault)
			}
		case err != nil:
			t.Errorf("%+v gave %v", c.linger, err)
		case out.Linger != c.linger:
			t.Errorf("%+v came back as %+v", c.linger, out.Linger)
		case out.Linger.String() != c.text:
			t.Errorf("%+v is %q, want %q", c.linger, out.Linger, c.text)
		}
	}
}
