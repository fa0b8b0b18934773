package stratum

import (
	"fmt"
	"slices"
	"time"

	"github.com/hashlease/hashlease/stratum/sv2"
)

// served are the extensions that may be negotiated here, ascending.
var served = []uint16{sv2.ExtWorkerIdentity, sv2.ExtPower}

// Served are the extensions that may be negotiated here, and so required; ascending.
func Served() []uint16 { return slices.Clone(served) }

// extensions is what was negotiated for a connection.
type extensions struct {
	any   bool // a request has succeeded
	names bool // ExtWorkerIdentity
	power bool // ExtPower
}

// retryWithin is how long a peer may take to ask again for what is required.
const retryWithin = 5 * time.Second

// handleNegotiation answers RequestExtensions (extension 0x0001): Success with those that are served
// here, or Error with those that are not and those that are required. A peer may ask once more
// (sv2-spec X1 §4.6). It may go on without what is merely served; without what is required the
// connection ends. When one request has succeeded, another one changes nothing and is an Error; so is
// one that comes too late, after a channel (X1 §4.2): what shares mean does not change while they come.
func (s *session) handleNegotiation(h sv2.Header, payload []byte) error {
	if h.Type != sv2.TypeRequestExtensions {
		return nil
	}
	m, _, err := sv2.DecodeRequestExtensions(payload)
	if err != nil {
		return err
	}
	if s.asked++; s.asked > 2 {
		return fmt.Errorf("%w: RequestExtensions, but for one retry", errTwice)
	}
	slices.Sort(m.Requested)
	requested := slices.Compact(m.Requested)
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.flushLocked()
	if s.granted.any || s.most > 0 {
		sendLocked(s, sv2.RequestExtensionsError{RequestID: m.RequestID, Unsupported: requested})
		return nil
	}
	var granted, refused []uint16
	for _, e := range requested {
		if slices.Contains(served, e) {
			granted = append(granted, e)
		} else {
			refused = append(refused, e)
		}
	}
	required := s.srv.cfg.RequiredExtensions
	complete := containsAll(requested, required)
	if len(granted) > 0 && complete {
		s.granted = extensions{
			any:   true,
			names: slices.Contains(granted, sv2.ExtWorkerIdentity),
			power: slices.Contains(granted, sv2.ExtPower),
		}
		sendLocked(s, sv2.RequestExtensionsSuccess{RequestID: m.RequestID, Supported: granted})
		return nil
	}
	sendLocked(s, sv2.RequestExtensionsError{
		RequestID: m.RequestID, Unsupported: refused, Required: required,
	})
	if complete {
		return nil
	}
	return s.awaitRetry()
}

func containsAll(list, wanted []uint16) bool {
	return !slices.ContainsFunc(wanted, func(e uint16) bool { return !slices.Contains(list, e) })
}

// awaitRetry gives the peer one more request, and a time for it.
func (s *session) awaitRetry() error {
	if s.asked > 1 {
		return errExtensions
	}
	if s.awaiting {
		return nil
	}
	s.awaiting = true
	time.AfterFunc(retryWithin, func() { // of a session that has ended it does nothing
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.granted.any {
			s.closeLocked(errExtensions)
		}
	})
	return nil
}

// negotiated says whether what is required was negotiated. A peer that goes on without gets the
// time of a retry.
func (s *session) negotiated() bool {
	if s.granted.any || len(s.srv.cfg.RequiredExtensions) == 0 {
		return true
	}
	_ = s.awaitRetry() // what it says of the last request does not matter here
	return false
}
