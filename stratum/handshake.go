package stratum

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/hashlease/hashlease/stratum/noise"
)

// lingerFor is how long a peer may take to read the last words before its connection is cut.
const lingerFor = time.Second

// secure reads the first bytes, tells the dialects apart and runs the Noise handshake. The
// expensive part waits for its address's turn, so that a storm of handshakes leaves a core for shares and
// no address keeps another one waiting. The turn is taken when all that the peer has to send is there: a
// slow peer cannot hold one.
func (s *Server) secure(conn net.Conn, source netip.Prefix) (*noise.Conn, error) {
	watch(conn)
	deadline := time.Now().Add(s.cfg.HandshakeTimeout)
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, fmt.Errorf("setting the handshake deadline: %w", err)
	}
	var first [noise.Act1Size]byte
	if _, err := io.ReadFull(conn, first[:16]); err != nil {
		return nil, fmt.Errorf("reading the first bytes: %w", err)
	}
	if looksLikeV1(first[:16]) {
		_, _ = io.WriteString(conn, `{"id":null,"result":null,"error":[20,`+
			`"this port serves Stratum V2; point the miner at stratum2+tcp://","hashlease"]}`+"\n")
		linger(conn)
		return nil, errDialect
	}
	if _, err := io.ReadFull(conn, first[16:]); err != nil {
		return nil, fmt.Errorf("reading act 1: %w", err)
	}
	if !s.turns.take(source, s.done) {
		return nil, ErrServerClosed
	}
	defer s.turns.give()
	if time.Now().After(deadline) { // the peer has given up: do not work for it
		return nil, fmt.Errorf("waiting for a turn to shake hands: %w", context.DeadlineExceeded)
	}
	secured, err := noise.AcceptAfter(conn, first[:], s.rooms.Identity())
	if err != nil {
		return nil, fmt.Errorf("shaking hands: %w", err)
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("clearing the handshake deadline: %w", err)
	}
	return secured, nil
}

// looksLikeV1 tells a JSON line from the uniform bytes of act 1: one first byte alone would
// misroute 1 in 256 honest handshakes (design decision 18).
func looksLikeV1(b []byte) bool {
	if b[0] != '{' {
		return false
	}
	for _, c := range b {
		if c >= 0x7f || c < 0x20 && c != '\t' && c != '\n' && c != '\r' {
			return false
		}
	}
	return true
}

// linger ends our side and reads the peer's until it ends too. Closing while bytes of the peer are
// unread would reset the connection, and a reset may overtake what was written last.
func linger(conn net.Conn) {
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || conn.SetReadDeadline(time.Now().Add(lingerFor)) != nil {
		return
	}
	var waste [512]byte
	for {
		if _, err := conn.Read(waste[:]); err != nil {
			return
		}
	}
}
