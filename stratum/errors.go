package stratum

import "errors"

// Why a session ended, by phase of life.
var (
	errDialect      = errors.New("peer speaks a dialect that this port does not serve")
	errNoTLS        = errors.New("peer does not speak TLS, which this port needs")
	errSource       = errors.New("the address behind the proxy has too many connections")
	errNotSetUp     = errors.New("first message is not SetupConnection")
	errSetupRefused = errors.New("connection setup was refused")
	errExtensions   = errors.New("extensions that this server requires were not negotiated")
	errTwice        = errors.New("message came too often")
	errNoChannel    = errors.New("no channel was opened in time")
	errFrame        = errors.New("frame is longer than its message type allows")
	errNotDurable   = errors.New("shares could not be made durable")
	errMalformed    = errors.New("too many lines of the peer are no requests")
	errSlowLine     = errors.New("a line of the peer does not end")
	errPeerGone     = errors.New("peer closed the connection")
)
