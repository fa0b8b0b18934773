package noise

import "errors"

// Errors of keys and certificates, before any connection.
var (
	// ErrKeyText is wrapped by every refusal of a written key.
	ErrKeyText = errors.New("not a valid authority key")
	// ErrValidity refuses a certificate whose times are out of order or do not fit 32 bits.
	ErrValidity = errors.New("not a valid certificate period")
)

// Errors of the handshake.
var (
	// ErrHandshake is wrapped when the peer's handshake bytes do not authenticate.
	ErrHandshake = errors.New("handshake refused")
	// ErrCertificate is wrapped when the responder's certificate is not good: wrong
	// version, outside its time, or not signed by the expected authority.
	ErrCertificate = errors.New("certificate refused")
)

// Errors of an established connection. All of them end the session.
var (
	// ErrMAC means that a block did not authenticate: the bytes were changed on the
	// way, or a frame went missing. No message about it may be sent (sv2-spec 04 §4.6).
	ErrMAC = errors.New("frame does not authenticate")
	// ErrFrame is wrapped by Write when its argument is not a row of whole frames.
	ErrFrame = errors.New("not a whole frame")
	// ErrOrder is returned when ReadHeader and ReadPayload are not called in turn.
	ErrOrder = errors.New("header and payload are not read in turn")
	// ErrNonce means that a key has sealed or opened all the blocks that it may.
	ErrNonce = errors.New("cipher is used up")
)
