package stratum

import (
	"errors"
	"testing"
	"time"

	"github.com/hashlease/hashlease/stratum/sv2"
)

// Ensure that a proxy may wait for its miners as long as they are off (the reference translator ends
// itself when its connection is closed), and that a device, or who said nothing yet, may not.
func TestSession_LetsOnlyAProxyWaitWithoutAChannel(t *testing.T) {
	tests := map[string]struct {
		setUp bool
		flags uint32
		ended bool
	}{
		"proxy":              {setUp: true, flags: sv2.RequiresVersionRolling},
		"device":             {setUp: true, flags: sv2.RequiresStandardJobs, ended: true},
		"nothing was set up": {ended: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			s, _ := b.tcpSession()
			if test.setUp {
				frame := sv2.SetupConnection{
					Protocol: sv2.ProtocolMining, MinVersion: sv2.Version, MaxVersion: sv2.Version,
					Flags: test.flags,
				}.AppendFrame(nil)
				if err := s.handleSetup(frame[sv2.HeaderSize:]); err != nil {
					t.Fatal(err)
				}
			}
			s.look(time.Now().Add(24 * time.Hour))
			if ended := errors.Is(s.why(), errNoChannel); ended != test.ended {
				t.Errorf("a day without a channel ended it: %v, want %v (%v)", ended, test.ended, s.why())
			}
		})
	}
}
