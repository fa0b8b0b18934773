package stratum

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hashlease/hashlease/pool"
)

// Why nothing was said.
var (
	ErrText   = errors.New("1 to 255 bytes of printable ASCII are accepted as a message")
	ErrNobody = errors.New("nobody mines under this name")
)

const (
	maxText = 255 // bytes: as long as the reason of a channel's end may be
	// textRoom is what a message takes at most in an outbox: each of its bytes may have to be escaped.
	textRoom = 2*maxText + 90
)

// Scope is whose miners Say speaks to. One of All, Worker and Session is set; the zero value is nobody's.
type Scope struct {
	All     bool   // open channels
	Worker  string // "account.worker" or an account, also one behind another on a connection
	Session uint64 // together with Channel, by the numbers that Channels tells
	Channel uint32
}

// Said counts the channels in a scope.
type Said struct {
	Told        int // whose miner was sent the message
	Unreachable int // of Stratum V2, which has no message for people
	Behind      int // of Stratum V1, left out because their outbox has no room for it
}

// Say sends a line to the people at the miners of a scope, by client.show_message of Stratum V1: 1 to 255
// bytes of printable ASCII. Stratum V2 has no such message, so that its channels are only counted. A
// connection without a channel is told nothing: what it hears first should be the answers to what it asked.
//
// Say waits for no peer. A line that would not fit into what may wait for a miner that does not read is left
// out, because it is not worth that miner's connection.
func (s *Server) Say(to Scope, text string) (Said, error) {
	if text == "" || len(text) > maxText || !plain(text) {
		return Said{}, fmt.Errorf("message of %d bytes: %w", len(text), ErrText)
	}
	var said Said
	for _, se := range s.list() {
		if to.Session == 0 || to.Session == se.id {
			se.show(&to, text, &said)
		}
	}
	switch {
	case said != (Said{}) || to.All:
		return said, nil
	case to.Worker != "":
		return said, fmt.Errorf("worker or account %q: %w", to.Worker, ErrNobody)
	}
	return said, fmt.Errorf("channel %d of session %d: %w", to.Channel, to.Session, ErrNotOpen)
}

// plain reports whether a text is printable ASCII: it is logged by firmware of any age, and shown on small
// displays.
func plain(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' })
}

// show sends the message if a channel of the session is in scope.
func (s *session) show(to *Scope, text string, said *Said) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause != nil || s.parting {
		return
	}
	channels := 0
	for _, c := range s.channels {
		if to.covers(c) {
			channels++
		}
	}
	switch {
	case channels == 0:
	case !s.says.showsLocked():
		said.Unreachable += channels
	case !s.fitsLocked(textRoom):
		said.Behind += channels
	default:
		s.says.showLocked(text)
		s.flushLocked()
		if s.cause == nil { // the peer was not found gone
			said.Told += channels
		}
	}
}

// covers reports whether a channel of a session in scope is.
func (to *Scope) covers(c *channel) bool {
	switch {
	case to.All:
		return true
	case to.Session != 0:
		return c.id == to.Channel
	case to.Worker == "":
		return false
	case isOrBelongsTo(c.worker, to.Worker):
		return true
	}
	for _, n := range c.names() {
		if isOrBelongsTo(n.worker, to.Worker) {
			return true
		}
	}
	return false
}

// isOrBelongsTo reports whether a name is the worker's or its account's.
func isOrBelongsTo(w pool.WorkerID, name string) bool {
	return string(w) == name || string(w.Account()) == name
}
