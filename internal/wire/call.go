package wire

// maxAddress bounds an address, in bytes.
const maxAddress = 300

// Call is what an instance says to have the proxy dial it, over the way on which it
// was invoked. It travels as JSON.
type Call struct {
	// Address is where the instance listens, host:port.
	Address string `json:"address"`
	// Fingerprint is the SHA-256 of the instance's public key, FingerprintSize
	// bytes, if links are TLS; it is not looked at otherwise.
	Fingerprint []byte `json:"fingerprint,omitempty"`
}

// Check reports what is wrong with a Call. The error matches ErrProtocol.
func (c *Call) Check() error {
	if n := len(c.Address); n == 0 || n > maxAddress {
		return Errorf(CodeProtocol, "call with an address of %d bytes, 1 to %d allowed", n, maxAddress)
	}
	if n := len(c.Fingerprint); n != 0 && n != FingerprintSize {
		return Errorf(CodeProtocol, "call with a fingerprint of %d bytes, want %d or none", n, FingerprintSize)
	}
	return nil
}
