package stratum

import (
	"fmt"
	"slices"

	"github.com/hashlease/hashlease/stratum/sv2"
)

// handleSetup answers SetupConnection (sv2-spec 03 §3.6.1). A refusal closes the connection after it
// was written.
func (s *session) handleSetup(payload []byte) error {
	m, _, err := sv2.DecodeSetupConnection(payload)
	if err != nil {
		return fmt.Errorf("decoding SetupConnection: %w", err)
	}
	if refusal := refuseSetup(m); refusal != nil {
		s.reply(*refusal)
		return fmt.Errorf("%w: %s", errSetupRefused, refusal.Code)
	}
	s.setUp = true
	s.standardOnly = m.Flags&sv2.RequiresStandardJobs != 0
	s.mu.Lock()
	defer s.mu.Unlock()
	s.device = Device{
		Vendor: m.Vendor, Hardware: m.HardwareVersion, Firmware: m.Firmware,
		ID: m.DeviceID, Address: s.device.Address,
	}
	s.sendLocked(sv2.SetupConnectionSuccess{UsedVersion: sv2.Version, Flags: 0})
	s.flushLocked()
	return nil
}

// refuseSetup says why a connection cannot be had, nil if it can. Work selection needs job
// declaration, which this server does not offer: the answer carries exactly the unsupported flags.
func refuseSetup(m sv2.SetupConnection) *sv2.SetupConnectionError {
	const supported = sv2.RequiresStandardJobs | sv2.RequiresVersionRolling
	switch {
	case m.Protocol != sv2.ProtocolMining:
		return &sv2.SetupConnectionError{Code: "unsupported-protocol"}
	case m.MinVersion > sv2.Version || m.MaxVersion < sv2.Version:
		return &sv2.SetupConnectionError{Code: "protocol-version-mismatch"}
	case m.Flags&^supported != 0:
		return &sv2.SetupConnectionError{Flags: m.Flags &^ supported, Code: "unsupported-feature-flags"}
	}
	return nil
}

// handleNegotiation answers RequestExtensions (extension 0x0001): the intersection
// with what is offered here. A second request after a Success is ignored.
func (s *session) handleNegotiation(h sv2.Header, payload []byte) error {
	if h.Type != sv2.TypeRequestExtensions || s.negotiated {
		return nil
	}
	m, _, err := sv2.DecodeRequestExtensions(payload)
	if err != nil {
		return fmt.Errorf("decoding RequestExtensions: %w", err)
	}
	if !slices.Contains(m.Requested, sv2.ExtPower) {
		s.reply(sv2.RequestExtensionsError{RequestID: m.RequestID, Unsupported: m.Requested})
		return nil
	}
	s.negotiated = true
	s.mu.Lock()
	defer s.mu.Unlock()
	s.power = true
	s.sendLocked(sv2.RequestExtensionsSuccess{
		RequestID: m.RequestID, Supported: []uint16{sv2.ExtPower},
	})
	s.flushLocked()
	return nil
}
