package noise

import (
	"crypto/rand"
	"fmt"
	"time"
)

// Identity is what a server shows to those who connect: a static key, and a
// certificate in which an Authority vouches for it. It is signed once and used for every
// connection until the caller makes the next; a short life (an hour, say) bounds both a
// stolen key and what a peer can learn by timing, for the curve's multiplication does not
// run in constant time. It is safe for concurrent use.
type Identity struct {
	// Stock, if set before the first use, provides ephemeral keys made ahead.
	Stock *Stock

	static      keypair     // immutable
	certificate certificate // immutable
}

// NewIdentity makes a static key and has a vouch for it. Whole seconds count. Set from a
// few minutes back: miners with a slow clock refuse a certificate from the future.
func NewIdentity(a *Authority, from, until time.Time) (*Identity, error) {
	static, err := newKeypair()
	if err != nil {
		return nil, err
	}
	var aux [32]byte
	rand.Read(aux[:]) // never fails (crypto/rand)
	return newIdentity(a, static, from, until, &aux)
}

func newIdentity(a *Authority, static keypair, from, until time.Time, aux *[32]byte) (*Identity, error) {
	x, err := xOnly(&static.encoded)
	if err != nil {
		return nil, fmt.Errorf("making an identity: %w", err)
	}
	c, err := newCertificate(a, &x, from, until, aux)
	if err != nil {
		return nil, fmt.Errorf("making an identity: %w", err)
	}
	return &Identity{static: static, certificate: c}, nil
}

// Until is when the certificate ends. The next Identity should be in place well before.
func (id *Identity) Until() time.Time { return id.certificate.until() }

// ephemeral is a key for one handshake.
func (id *Identity) ephemeral() (keypair, error) {
	if id.Stock != nil {
		if k, ok := id.Stock.take(); ok {
			return k, nil
		}
	}
	return newKeypair()
}
