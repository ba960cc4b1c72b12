// Package tlslink encrypts links between proxies and instances. Neither side has a
// certificate that others would vouch for: each knows the other by the fingerprint
// of its public key, which came with the invocation or with its answer, over the
// platform's own authenticated way.
package tlslink

import (
	"context"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

// Fingerprint is the SHA-256 of a public key, as its certificate has it
// (SubjectPublicKeyInfo).
type Fingerprint = [sha256.Size]byte

// ErrStranger is the error of a handshake with a side that has another key than the
// expected one.
var ErrStranger = errors.New("the other side has another key than expected")

// Identity is one side's key.
type Identity struct {
	Fingerprint Fingerprint
	key         ed25519.PrivateKey
	certificate tls.Certificate
}

// Key is the identity's secret half. Do not change it.
func (i *Identity) Key() ed25519.PrivateKey { return i.key }

// purpose separates the key of links from others made of the same secret.
const purpose = "infinicache node links"

// Derive makes the identity that belongs to a secret: the same each time, so that
// a proxy that is started again is the same to its instances.
func Derive(secret []byte) (*Identity, error) {
	seed, err := hkdf.Key(sha256.New, secret, nil, purpose, ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("derive key of links: %w", err)
	}
	return identityOf(ed25519.NewKeyFromSeed(seed))
}

// New makes an identity that nobody has had before.
func New() (*Identity, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key of links: %w", err)
	}
	return identityOf(key)
}

// identityOf signs the certificate that TLS wants. Nobody reads it but for the key.
func identityOf(key ed25519.PrivateKey) (*Identity, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280, 4.1.2.5: no end
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make certificate of links: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make certificate of links: %w", err)
	}
	return &Identity{
		Fingerprint: sha256.Sum256(leaf.RawSubjectPublicKeyInfo),
		key:         key,
		certificate: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf},
	}, nil
}

// Client makes a TLS link of a connection that this side dialled, and owns it. The
// other side must have the key of that fingerprint, else the error matches
// ErrStranger. own may be nil where the other side does not ask. Any error closes nc.
func Client(ctx context.Context, nc net.Conn, own *Identity, peer Fingerprint) (net.Conn, error) {
	cfg := config(own, peer)
	return shake(ctx, nc, tls.Client(nc, cfg))
}

// Anyone is Client whatever key the other side has: it tells that there is one.
func Anyone(ctx context.Context, nc net.Conn) (net.Conn, error) {
	cfg := config(nil, Fingerprint{})
	cfg.VerifyConnection = nil
	return shake(ctx, nc, tls.Client(nc, cfg))
}

// Server makes a TLS link of a connection that this side accepted, from a side that
// must have the key of that fingerprint; otherwise it is as Client.
func Server(ctx context.Context, nc net.Conn, own *Identity, peer Fingerprint) (net.Conn, error) {
	cfg := config(own, peer)
	cfg.ClientAuth = tls.RequireAnyClientCert
	return shake(ctx, nc, tls.Server(nc, cfg))
}

// Listener is a listener whose connections are TLS links of whoever dials: what
// they say next has to prove who they are. The handshake is part of a connection's
// first Read or Write.
func Listener(l net.Listener, own *Identity) net.Listener {
	cfg := config(own, Fingerprint{})
	cfg.VerifyConnection = nil
	return &listener{l, cfg}
}

type listener struct {
	net.Listener
	cfg *tls.Config
}

func (l *listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return conn{tls.Server(nc, l.cfg)}, nil
}

func config(own *Identity, peer Fingerprint) *tls.Config {
	cfg := &tls.Config{
		MinVersion: tls.VersionTLS13,
		// The chain means nothing here; the key is compared instead.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 {
				return ErrStranger
			}
			got := sha256.Sum256(s.PeerCertificates[0].RawSubjectPublicKeyInfo)
			if subtle.ConstantTimeCompare(got[:], peer[:]) != 1 {
				return ErrStranger
			}
			return nil
		},
		SessionTicketsDisabled:      true,
		DynamicRecordSizingDisabled: true, // bodies are large from the first byte
	}
	if own != nil {
		cfg.Certificates = []tls.Certificate{own.certificate}
	}
	return cfg
}

func shake(ctx context.Context, nc net.Conn, secured *tls.Conn) (net.Conn, error) {
	if err := secured.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, fmt.Errorf("tls with %v: %w", nc.RemoteAddr(), err)
	}
	return conn{secured}, nil
}

// conn closes without a farewell of TLS, which could wait for a peer that does not
// read. Frames tell where a link was cut.
type conn struct{ *tls.Conn }

func (c conn) Close() error { return c.NetConn().Close() }
