package conformance

import (
	"fmt"

	"github.com/hashlease/hashlease/stratum/sv2"
)

// setupRules are section 4.3.
var setupRules = []Rule{
	{
		Number: 40, Mark: Must, Source: "03§3.6.1",
		Sentence: "ends the connection if its first message is not SetupConnection",
		Check: func(t *T) {
			c := t.Dial()
			c.Send(c.StandardRequest())
			c.Ended("a first message that is not SetupConnection")
		},
	},
	{
		Number: 41, Mark: Must, Source: "03§3.6.1",
		Sentence: "answers every SetupConnection with Success or Error",
		Check: func(t *T) {
			for flags := range uint32(8) {
				refusal(t, t.SetupRequest(flags), true)
			}
		},
	},
	{
		Number: 45, Mark: Must, Source: "03§3.6.3",
		Sentence: "lists every unsupported flag bit, undefined ones too, in SetupConnection.Error",
		Check: func(t *T) {
			const undefined = ^uint32(0) &^ 7
			for bit := 3; bit < 32; bit++ {
				flags := uint32(1) << bit
				refusedFlags(t, flags, flags)
			}
			refusedFlags(t, undefined, undefined)
		},
	},
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
