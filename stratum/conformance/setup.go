package conformance

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashlease/hashlease/stratum/sv2"
)

// setupRules are section 4.3.
var setupRules = []Rule{
	{
		Number: 40, Mark: Must, Source: "03§3.6.1", Check: checkSetupFirst,
		Sentence: "ends the connection if its first message is not SetupConnection",
	},
	{
		Number: 41, Mark: Must, Source: "03§3.6.1", Check: checkSetupAnswered,
		Sentence: "answers every SetupConnection with Success or Error",
	},
	{
		Number: 42, Mark: Must, Source: "PR 225", Check: checkSilentBeforeSetup,
		Sentence: "sends nothing before it has answered SetupConnection",
	},
	{
		Number: 43, Mark: Must, Source: "03§3.6.1, PR 225", Check: checkProtocol,
		Sentence: "refuses a protocol that there is not, or that this port does not serve",
	},
	{
		Number: 44, Mark: Must, Source: "03§3.6.1, §3.6.3", Check: checkVersions,
		Sentence: "refuses a range of versions without 2, or from high to low, and ends the connection",
	},
	{
		Number: 45, Mark: Must, Source: "03§3.6.3", Check: checkFlags,
		Sentence: "lists every unsupported flag bit, undefined ones too, in SetupConnection.Error",
	},
	{
		Number: 46, Mark: Must, Source: "03§3.6.3", Check: checkAllFlags,
		Sentence: "answers a probe with all flags by the full set that it does not support, every time",
	},
	{
		Number: 47, Mark: Must, Source: "03§3.6.3", Check: checkNoFlags,
		Sentence: "lists no flags in an Error whose cause is another",
	},
	{
		Number: 48, Mark: Must, Source: "03§3.6.2", Check: checkUsedVersion,
		Sentence: "uses version 2, whatever range holds it",
	},
	{
		Number: 49, Mark: Must, Source: "05§5.3.1", Check: checkFixedVersion,
		Sentence: "does not fix the version for who has to roll it, and lets no job be rolled if it does",
	},
	{
		Number: 50, Mark: Should, Source: "05§5.3.1", Check: checkExtendedOnly,
		Sentence: "says REQUIRES_EXTENDED_CHANNELS exactly if it refuses standard channels",
	},
	{
		Number: 51, Mark: Impl, Source: "03§3.6.1", Check: checkSetupTwice,
		Sentence: "ignores a second SetupConnection or ends the connection, and never negotiates anew",
	},
	{
		Number: 52, Mark: Must, Source: "03§3.6.1",
		Sentence: "(client) says its vendor, and no device_id unless it has to",
		Reason:   "a duty of clients",
		Tests:    []string{"stratum/stratumtest TestSV2_052_SaysItsVendor"},
	},
	{
		Number: 53, Mark: Impl, Source: "03§3.6.1", Check: checkErrorArrives,
		Sentence: "lets its Error arrive before it ends the connection, also if more was sent to it",
		Tests:    []string{"stratum TestServer_LingersAfterItRefusedASetup"},
	},
	{
		Number: 54, Mark: Should, Source: "05§5.3.2", Check: checkIdle, Waits: WaitOpen,
		Sentence: "ends a device's connection on which no channel is opened",
	},
	{
		Number: 55, Mark: Impl, Source: "-", Check: checkQuietChannel, Waits: WaitOpen,
		Sentence: "keeps a connection whose channel is silent, as when its power is capped",
	},
}

func checkSetupFirst(t *T) {
	c := t.Dial()
	c.Send(c.StandardRequest())
	c.Ended("a first message that is not SetupConnection")
	c.Silent("a first message that is not SetupConnection")
	other := t.Dial()
	other.SendPlain(frameOf(0x7abc, sv2.TypeSetupConnection, t.SetupRequest(0).AppendFrame(nil)[6:]))
	other.Ended("a first message of an extension")
}

func checkSetupAnswered(t *T) {
	for flags := range uint32(8) {
		refusal(t, t.SetupRequest(flags), true)
	}
}

func checkSilentBeforeSetup(t *T) {
	c := t.Dial()
	if f, err := c.next(moment); err == nil {
		t.Failf("expected nothing before SetupConnection, got %v", f)
	} else if !errors.Is(err, errSilence) {
		t.Failf("expected the connection to wait for SetupConnection, got %v", err)
	}
	c.Send(t.SetupRequest(0))
	c.Next("SetupConnection.Success")
}

func checkProtocol(t *T) {
	for _, protocol := range []uint8{1, 2, 3, 9, 255} {
		m := t.SetupRequest(0)
		m.Protocol = protocol
		got := refusal(t, m, protocol <= 2) // which of these the port serves is the pool's choice
		if got.Flags != 0 {
			t.Failf("expected flags 0 in the Error for protocol %d, got 0x%x", protocol, got.Flags)
		}
	}
}

func checkVersions(t *T) {
	for _, v := range [][2]uint16{{3, 3}, {0, 1}, {3, 65535}, {3, 1}, {3, 2}, {2, 1}} {
		m := t.SetupRequest(0)
		m.MinVersion, m.MaxVersion = v[0], v[1]
		c := t.Dial()
		c.Send(m)
		f := c.Next(fmt.Sprintf("SetupConnection.Error for versions %d to %d", v[0], v[1]))
		got, ok := f.Msg.(sv2.SetupConnectionError)
		if !ok || got.Flags != 0 {
			t.Failf("expected SetupConnection.Error, flags 0, for versions %d to %d, got %v", v[0], v[1], f)
		}
		c.Ended("SetupConnection.Error")
	}
}

func checkFlags(t *T) {
	const undefined = ^uint32(0) &^ 7
	for bit := 3; bit < 32; bit++ {
		refusedFlags(t, 1<<bit, 1<<bit)
	}
	refusedFlags(t, undefined, undefined)
}

// unsupported is every flag that the pool refuses by itself.
func unsupported(t *T) (flags uint32) {
	for bit := range 32 {
		flags |= refusal(t, t.SetupRequest(1<<bit), true).Flags
	}
	return flags
}

func checkAllFlags(t *T) {
	all := unsupported(t)
	for range 3 {
		refusedFlags(t, ^uint32(0), all)
	}
}

func checkNoFlags(t *T) {
	for _, flags := range []uint32{0, sv2.RequiresStandardJobs, sv2.RequiresVersionRolling} {
		other := t.SetupRequest(flags)
		other.Protocol = 77
		old := t.SetupRequest(flags)
		old.MinVersion, old.MaxVersion = 1, 1
		for _, m := range []sv2.SetupConnection{other, old} {
			if got := refusal(t, m, false); got.Flags != 0 {
				t.Failf("expected flags 0 in the Error for protocol %d, version %d, got 0x%x",
					m.Protocol, m.MaxVersion, got.Flags)
			}
		}
	}
}

// settled is the Success of a setup.
func settled(t *T, m sv2.SetupConnection) (*Conn, sv2.SetupConnectionSuccess) {
	c := t.Dial()
	c.Send(m)
	f := c.Next("SetupConnection.Success")
	ok, is := f.Msg.(sv2.SetupConnectionSuccess)
	if !is {
		t.Failf("expected SetupConnection.Success for versions %d to %d, flags 0x%x, got %v",
			m.MinVersion, m.MaxVersion, m.Flags, f)
	}
	return c, ok
}

func checkUsedVersion(t *T) {
	for _, v := range [][2]uint16{{2, 2}, {0, 2}, {2, 65535}, {1, 3}} {
		m := t.SetupRequest(0)
		m.MinVersion, m.MaxVersion = v[0], v[1]
		if _, got := settled(t, m); got.UsedVersion != sv2.Version {
			t.Failf("expected used_version 2 for versions %d to %d, got %d", v[0], v[1], got.UsedVersion)
		}
	}
}

func checkFixedVersion(t *T) {
	for _, flags := range []uint32{
		0, sv2.RequiresVersionRolling, sv2.RequiresVersionRolling | sv2.RequiresStandardJobs,
	} {
		m := t.SetupRequest(flags)
		c, got := settled(t, m)
		fixed := got.Flags&sv2.RequiresFixedVersion != 0
		if fixed && flags != 0 {
			t.Failf("expected no REQUIRES_FIXED_VERSION for who has to roll, got flags 0x%x", got.Flags)
		}
		if flags&sv2.RequiresStandardJobs != 0 {
			continue // a standard job says nothing of rolling
		}
		rolling := c.OpenExtended().Work().Rolling
		switch {
		case rolling && fixed:
			t.Failf("expected version_rolling_allowed false after REQUIRES_FIXED_VERSION, got true")
		case !rolling && flags != 0:
			t.Failf("expected version_rolling_allowed true for a client that has to roll, got false")
		}
	}
}

func checkExtendedOnly(t *T) {
	c, got := settled(t, t.SetupRequest(0))
	c.Send(c.StandardRequest())
	request := c.requests
	opens := false
	c.AwaitFrame("an answer to OpenStandardMiningChannel", t.Patience(), func(f *Frame) bool {
		switch m := f.Msg.(type) {
		case sv2.OpenStandardMiningChannelSuccess:
			opens = true
			return m.RequestID == request
		case sv2.OpenMiningChannelError:
			return m.RequestID == request
		}
		return false
	})
	if says := got.Flags&sv2.RequiresExtendedChannels != 0; says == opens {
		t.Failf("expected REQUIRES_EXTENDED_CHANNELS exactly if standard channels are refused, "+
			"got flags 0x%x, and a standard channel opens: %v", got.Flags, opens)
	}
}

func checkSetupTwice(t *T) {
	c := t.Setup(0)
	c.Send(t.SetupRequest(sv2.RequiresStandardJobs))
	_ = c.fence(t.Patience()) // or its end
	if len(Taken[sv2.SetupConnectionSuccess](c)) > 0 {
		t.Failf("expected no SetupConnection.Success for a second SetupConnection, got one")
	}
}

func checkErrorArrives(t *T) {
	for range 10 {
		c := t.Dial()
		m := t.SetupRequest(0)
		m.Protocol = 99
		c.Send(m, c.StandardRequest(), c.StandardRequest(), c.ExtendedRequest())
		f := c.Next("SetupConnection.Error")
		if _, ok := f.Msg.(sv2.SetupConnectionError); !ok {
			t.Failf("expected SetupConnection.Error, got %v", f)
		}
		c.Ended("SetupConnection.Error")
		c.Silent("SetupConnection.Error")
	}
}

// sweep is how late a pool may notice that a time has passed: looking for it may be a matter of turns.
const sweep = 6 * time.Second

func checkIdle(t *T) {
	mute := t.Dial()
	device := t.Setup(sv2.RequiresStandardJobs)
	within := t.Timeout() + sweep + t.Patience()
	device.EndedWithin("a setup without a channel", within)
	mute.EndedWithin("a handshake without a setup", within)
}

func checkQuietChannel(t *T) {
	c := t.Setup(sv2.RequiresStandardJobs)
	m := c.StandardRequest()
	c.OpenStandardAs(m)
	if t.Control().Has(VerbExpect) {
		t.Control().Do(t, VerbExpect, Expectation{Worker: m.UserIdentity})
	}
	end := time.Now().Add(t.Timeout() + sweep)
	for {
		f, err := c.next(time.Until(end))
		if errors.Is(err, errSilence) {
			break
		}
		if err != nil {
			t.Failf("expected a connection with a silent channel to stay, got its end (%v)", err)
		}
		c.put = append(c.put, f)
	}
	c.Fence()
}

// refusal sends a SetupConnection as first message and is the Error that answers it. A Success is
// a failed rule, unless it may be, and then the result has no code.
func refusal(t *T, m sv2.SetupConnection, mayPass bool) sv2.SetupConnectionError {
	c := t.Dial()
	defer c.Close()
	c.Send(m)
	what := fmt.Sprintf("SetupConnection.Error for protocol %d, versions %d to %d, flags 0x%x",
		m.Protocol, m.MinVersion, m.MaxVersion, m.Flags)
	f := c.Next(what)
	switch got := f.Msg.(type) {
	case sv2.SetupConnectionError:
		return got
	case sv2.SetupConnectionSuccess:
		if mayPass {
			return sv2.SetupConnectionError{}
		}
	}
	t.Failf("expected %s, got %v", what, f)
	return sv2.SetupConnectionError{}
}

// refusedFlags fails unless an Error names exactly the unsupported flags.
func refusedFlags(t *T, flags, unsupported uint32) {
	if got := refusal(t, t.SetupRequest(flags), false); got.Flags != unsupported {
		t.Failf("expected SetupConnection.Error with flags 0x%x, got flags 0x%x", unsupported, got.Flags)
	}
}
