package conformance

import (
	"net"
	"strconv"

	"github.com/hashlease/hashlease/stratum/sv2"
)

// reconnectRules are section 4.13.
var reconnectRules = []Rule{
	{
		Number: 250, Mark: Must, Source: "03§3.6.5", Check: checkReconnect,
		Needs: []string{VerbDrain}, Alone: true,
		Sentence: "sends Reconnect once on each connection, and is found where that says",
	},
	{
		Number: 251, Mark: Must, Source: "03§3.3, §3.6.5", Check: checkSameAuthority,
		Needs: []string{VerbDrain}, Alone: true,
		Sentence: "has the same authority key where Reconnect leads to",
		Tests:    []string{"stratum/stratumtest TestSV2_251_RefusesStrangeAuthority"},
	},
	{
		Number: 252, Mark: Must, Source: "03§3.6.5",
		Sentence: "(proxy) does not forward Reconnect",
		Reason:   "a duty of proxies",
	},
	{
		Number: 253, Mark: Impl, Source: "-", Check: checkDrain,
		Needs: []string{VerbDrain}, Alone: true,
		Sentence: "acknowledges what it accepted before it sends Reconnect, and nothing comes after that",
		Tests:    []string{"stratum TestServer_DrainsWithoutLosingAnAcknowledgement"},
	},
	{
		Number: 254, Mark: Impl, Source: "03§3.6.3", Check: checkAlike,
		Sentence: "shows one authority key and one set of flags on every connection",
	},
}

// gone drains the pool and is where a connection is told to go, "" for the same place.
func gone(t *T, connections ...*Conn) (address string) {
	t.Control().Do(t, VerbDrain, nil)
	for _, c := range connections {
		c.Ended("a drain")
		told := Taken[sv2.Reconnect](c)
		if len(told) != 1 {
			t.Failf("expected one Reconnect on each connection that is drained, got %d", len(told))
		}
		address = place(t, told[0])
	}
	return address
}

// place is what Reconnect means: an empty host and a port 0 stay as they are.
func place(t *T, m sv2.Reconnect) string {
	host, port := t.hostPort()
	if m.Host != "" {
		host = m.Host
	}
	if m.Port != 0 {
		port = m.Port
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

func checkReconnect(t *T) {
	a, b := t.Setup(0), t.Setup(sv2.RequiresStandardJobs)
	a.OpenExtended()
	a.OpenStandard()
	b.OpenStandard()
	again := t.setupAt(gone(t, a, b))
	again.OpenStandard().Work()
}

// setupAt is Setup at another address of the pool.
func (t *T) setupAt(address string) *Conn {
	was := t.address
	t.address = address
	defer func() { t.address = was }()
	return t.Setup(0)
}

func checkSameAuthority(t *T) {
	if t.run.pool.Authority == nil {
		t.NA("the authority key was not given")
	}
	c := t.Setup(0)
	c.OpenStandard()
	t.setupAt(gone(t, c))
}

func checkDrain(t *T) {
	c := t.Setup(0)
	var sent int
	for _, ch := range []*Channel{c.OpenStandard(), c.OpenExtended()} {
		for range 3 {
			c.Send(ch.Mine(ch.Work()).Message())
			sent++
		}
	}
	if c.Fence(); len(Taken[sv2.SubmitSharesError](c)) > 0 {
		t.Failf("expected %d shares to be accepted, got SubmitShares.Error", sent)
	}
	t.Control().Do(t, VerbDrain, nil)
	c.Ended("a drain")
	var acknowledged int
	for i, f := range c.put {
		switch m := f.Msg.(type) {
		case sv2.SubmitSharesSuccess:
			acknowledged += int(m.Accepted)
		case sv2.Reconnect:
			if i != len(c.put)-1 {
				t.Failf("expected nothing after Reconnect, got %v", c.put[i+1])
			}
		}
	}
	if acknowledged != sent {
		t.Failf("expected all %d accepted shares to be acknowledged at a drain, got %d", sent, acknowledged)
	}
}

func checkAlike(t *T) {
	first := refusal(t, t.SetupRequest(^uint32(0)), false)
	for range 4 { // every handshake verifies the certificate
		if got := refusal(t, t.SetupRequest(^uint32(0)), false); got.Flags != first.Flags {
			t.Failf("expected the same unsupported flags 0x%x on every connection, got 0x%x",
				first.Flags, got.Flags)
		}
	}
}
