package stratum

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

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
		reply(s, *refusal)
		return fmt.Errorf("%w: %s", errSetupRefused, refusal.Code)
	}
	s.setUp = true
	s.standardOnly = m.Flags&sv2.RequiresStandardJobs != 0
	s.mu.Lock()
	defer s.mu.Unlock()
	// What takes extended jobs may be a proxy whose miners are all off, for hours if their power is
	// leased. It costs no more than a channel without shares would.
	s.proxy = !s.standardOnly
	s.device = &Device{
		Vendor: printable(m.Vendor), Hardware: printable(m.HardwareVersion),
		Firmware: printable(m.Firmware), ID: printable(m.DeviceID), Address: s.device.Address,
	}
	s.coinbase = s.srv.coinbaseOf(s.device)
	sendLocked(s, sv2.SetupConnectionSuccess{UsedVersion: sv2.Version, Flags: 0})
	s.flushLocked()
	return nil
}

// refuseSetup says why a connection cannot be had, nil if it can. Work selection needs job
// declaration, which this server does not offer: the answer carries exactly the unsupported flags.
func refuseSetup(m sv2.SetupConnection) *sv2.SetupConnectionError {
	const supported = sv2.RequiresStandardJobs | sv2.RequiresVersionRolling
	switch {
	case m.Protocol != sv2.ProtocolMining:
		return &sv2.SetupConnectionError{Code: sv2.CodeUnsupportedProtocol}
	case m.MinVersion > sv2.Version || m.MaxVersion < sv2.Version:
		return &sv2.SetupConnectionError{Code: sv2.CodeVersionMismatch}
	case m.Flags&^supported != 0:
		return &sv2.SetupConnectionError{Flags: m.Flags &^ supported, Code: sv2.CodeUnsupportedFlags}
	}
	return nil
}

// deviceText is how long what a device says of itself may be, in bytes.
const deviceText = 64

// printable is s as it may be shown: what is not printable UTF-8 becomes a question mark, and what is
// too long is cut. The copy does not hold on to the whole text.
func printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			r = '?'
		}
		if b.Len()+utf8.RuneLen(r) > deviceText {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}
