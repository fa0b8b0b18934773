package stratum

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"time"

	"github.com/hashlease/hashlease/stratum/noise"
)

// lingerFor is how long a peer may take to read the last words before its connection is cut.
const lingerFor = time.Second

// meet reads the first bytes, tells the dialects apart and makes the session of the one that it is.
func (s *Server) meet(conn net.Conn, source netip.Prefix, p *port) (*session, error) {
	watch(conn)
	deadline := time.Now().Add(s.cfg.HandshakeTimeout)
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, fmt.Errorf("setting the handshake deadline: %w", err)
	}
	var first [noise.Act1Size]byte
	n, err := sniff(conn, first[:sniffSize])
	if err != nil {
		return nil, fmt.Errorf("reading the first bytes: %w", err)
	}
	if looksLikeV1(first[:n]) {
		if !p.serves(V1) {
			_, _ = io.WriteString(conn, v1Refused)
			linger(conn)
			return nil, errDialect
		}
		if err := conn.SetDeadline(time.Time{}); err != nil {
			return nil, fmt.Errorf("clearing the deadline of the first bytes: %w", err)
		}
		return &newV1(s, s.takeOut(conn), source, first[:n]).session, nil
	}
	if !p.serves(V2) {
		return nil, errDialect
	}
	secured, err := s.secure(conn, source, &first, deadline)
	if err != nil {
		return nil, err
	}
	secured.Conn = s.takeOut(conn)
	return newSession(s, secured, source, time.Now()), nil
}

// v1Refused is what a Stratum V1 miner is told on a port for V2 alone.
const v1Refused = `{"id":null,"result":null,"error":[20,` +
	`"this port serves Stratum V2; point the miner at stratum2+tcp://","hashlease"]}` + "\n"

// sniffSize is how many bytes tell the dialects apart, unless a line of Stratum V1 ends before.
const sniffSize = 16

// sniff reads as much as tells the dialects apart, and not more than first holds.
func sniff(conn net.Conn, first []byte) (n int, err error) {
	for n < len(first) && !endsLine(first[:n]) {
		more, err := conn.Read(first[n:])
		n += more
		if err != nil && n < len(first) {
			return n, err
		}
	}
	return n, nil
}

// endsLine reports whether a line of Stratum V1 ends here: shorter ones than sniffSize are hardly of use.
func endsLine(b []byte) bool {
	line, ended := bytes.CutSuffix(b, []byte{'\n'})
	return ended && bytes.HasSuffix(bytes.TrimSpace(line), []byte{'}'}) && looksLikeV1(b)
}

// secure runs the Noise handshake, of which the first bytes are there. The
// expensive part waits for its address's turn, so that a storm of handshakes leaves a core for shares and
// no address keeps another one waiting. The turn is taken when all that the peer has to send is there: a
// slow peer cannot hold one.
func (s *Server) secure(
	conn net.Conn, source netip.Prefix, first *[noise.Act1Size]byte, deadline time.Time,
) (*noise.Conn, error) {
	if _, err := io.ReadFull(conn, first[sniffSize:]); err != nil {
		return nil, fmt.Errorf("reading act 1: %w", err)
	}
	if !s.turns.take(source, s.done) {
		return nil, ErrServerClosed
	}
	defer s.turns.give()
	// Whoever can run does so first: those who mine. The scheduler of goroutines knows no priorities, and
	// one that is woken by another goes ahead of all that wait.
	runtime.Gosched()
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

// Bounds of a storm that is let in. A connection that is accepted becomes a goroutine that can run at once;
// thousands of them would all stand before the next share.
const (
	stormLine  = 64                     // handshakes that wait for a turn
	stormPause = 200 * time.Microsecond // after each connection while there are more: 5,000 a second
)

// easeStorm lets the others run while more handshakes wait than can be computed soon. Those who are not
// accepted yet wait in the kernel. It never stops: a storm from one address must not keep others out.
func (s *Server) easeStorm() {
	if s.turns.line() > stormLine {
		time.Sleep(stormPause)
	}
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
	if p, ok := conn.(interface{ patient() }); ok {
		p.patient()
	}
	var waste [512]byte
	for {
		if _, err := conn.Read(waste[:]); err != nil {
			return
		}
	}
}
