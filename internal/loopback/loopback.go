// Package loopback is for tests that ask more of the loopback network than a port that
// the system picks: it reserves ports that must be named before a process listens
// there, and runs tests in a network of their own.
package loopback

import (
	"net/netip"
	"testing"
)

// Reserve gives an address of loopback where nobody listens. Until release is called,
// once, nobody is given it by chance, while a process may listen there, end, and
// another listen. On other systems than Linux nothing keeps others away.
func Reserve() (at netip.AddrPort, release func(), err error) { return reserve() }

// Unused is Reserve until the test ends.
func Unused(t testing.TB) netip.AddrPort {
	t.Helper()
	at, release, err := Reserve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return at
}
