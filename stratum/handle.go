package stratum

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// handle acts on one frame. An error ends the connection.
//
// Frames of extensions that were not negotiated are dropped silently (sv2-spec 03 §3.4.1), unknown
// core messages are ignored, and everything before SetupConnection is an error.
func (s *session) handle(h sv2.Header, payload []byte, now time.Time) error {
	extension := h.Extension &^ sv2.ChannelBit
	if !s.setUp {
		if extension != 0 || h.Type != sv2.TypeSetupConnection {
			return fmt.Errorf("%w but extension 0x%04x type 0x%02x", errNotSetUp, extension, h.Type)
		}
		return s.handleSetup(payload)
	}
	switch extension {
	case 0:
		return s.handleCore(h, payload, now)
	case sv2.ExtNegotiation:
		return s.handleNegotiation(h, payload)
	case sv2.ExtPower:
		return s.handlePower(h, payload, now)
	}
	return nil
}

// handleCore acts on a message of the core protocol. Unknown ones are ignored.
func (s *session) handleCore(h sv2.Header, payload []byte, now time.Time) error {
	switch h.Type {
	case sv2.TypeSubmitSharesStandard:
		m, _, err := sv2.DecodeSubmitSharesStandard(payload)
		if err != nil {
			return err
		}
		s.submit(m.ChannelID, pool.Share{
			JobID: m.JobID, Sequence: m.Sequence, Nonce: m.Nonce, Time: m.Time, Version: m.Version,
		}, pool.Standard, nil, now)
		return nil
	case sv2.TypeSubmitSharesExtended:
		m, rest, err := sv2.DecodeSubmitSharesExtended(payload)
		if err != nil {
			return err
		}
		name, err := s.nameOf(rest)
		if err != nil {
			s.refuseShare(m.ChannelID, m.Sequence)
			return nil //nolint:nilerr // a name that is too long costs its share only
		}
		s.submit(m.ChannelID, pool.Share{
			JobID: m.JobID, Sequence: m.Sequence, Nonce: m.Nonce, Time: m.Time, Version: m.Version,
			Extranonce: m.Extranonce,
		}, pool.Extended, name, now)
		return nil
	case sv2.TypeSetupConnection:
		return fmt.Errorf("%w: SetupConnection", errTwice)
	}
	return s.handleChannel(h, payload, now)
}

// handleChannel acts on messages that open, change and close channels. A hashrate that is no number
// is refused by an answer: its ids were decoded before it.
func (s *session) handleChannel(h sv2.Header, payload []byte, now time.Time) error {
	switch h.Type {
	case sv2.TypeOpenStandardMiningChannel:
		m, _, err := sv2.DecodeOpenStandardMiningChannel(payload)
		if errors.Is(err, sv2.ErrFloat) {
			s.refuseChannel(m.RequestID, sv2.CodeInvalidHashrate)
			return nil
		}
		if err != nil {
			return err
		}
		s.openStandard(m, now)
	case sv2.TypeOpenExtendedMiningChannel:
		m, _, err := sv2.DecodeOpenExtendedMiningChannel(payload)
		if errors.Is(err, sv2.ErrFloat) {
			s.refuseChannel(m.RequestID, sv2.CodeInvalidHashrate)
			return nil
		}
		if err != nil {
			return err
		}
		s.openExtended(m, now)
	case sv2.TypeUpdateChannel:
		m, _, err := sv2.DecodeUpdateChannel(payload)
		if errors.Is(err, sv2.ErrFloat) {
			reply(s, sv2.UpdateChannelError{ChannelID: m.ChannelID, Code: sv2.CodeInvalidHashrate})
			return nil
		}
		if err != nil {
			return err
		}
		s.update(m, now)
	case sv2.TypeCloseChannel:
		m, _, err := sv2.DecodeCloseChannel(payload)
		if err != nil {
			return err
		}
		s.closeChannel(m.ChannelID, now)
	case sv2.TypeSetCustomMiningJob:
		m, _, err := sv2.DecodeSetCustomMiningJob(payload)
		if err != nil {
			return err
		}
		reply(s, sv2.SetCustomMiningJobError{
			ChannelID: m.ChannelID, RequestID: m.RequestID, Code: sv2.CodeJobDeclarationMissing,
		})
	}
	return nil
}

// submit judges a share under the lock and hands on what it led to outside of it. The name is that
// of the worker behind a proxy, nil if there is none.
func (s *session) submit(channel uint32, sh pool.Share, kind pool.Kind, name []byte, now time.Time) {
	s.mu.Lock()
	credit, block := s.submitLocked(channel, sh, kind, name, now)
	s.flushLocked()
	s.mu.Unlock()
	if block != nil {
		s.found(block)
	}
	if credit.channel == nil {
		return
	}
	if credit.worker == "" {
		s.attribute(&credit, name, now)
	}
	s.shard.enqueue(credit)
}
