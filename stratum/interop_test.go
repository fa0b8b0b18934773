package stratum_test

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// The tests of this file are those of the reference implementation's integration suite that ask a pool:
// docs/interop.md has which is which. Theirs run in one process with their pool; these have their own
// client.

// setUpMiner is a miner past its setup on a new server with a full template.
func setUpMiner(t *testing.T, flags uint32) (*peer, *miner) {
	t.Helper()
	p := newPeer(t)
	p.run(fmt.Sprintf("setup flags=%d", flags))
	return p, p.miner
}

// kinds are the names of what was said, in order.
func kinds(said string) (list []string) {
	for line := range strings.Lines(said) {
		list = append(list, strings.Fields(line)[0])
	}
	return list
}

// Ensure that a full job says the time of its template's header.
func TestSRI_HeaderTimestampInExtendedJob(t *testing.T) {
	p, m := setUpMiner(t, 4)
	p.run("open-extended request=1 user=alice.one size=4")
	tmpl := p.template(12, false)
	tmpl.Time += 17
	p.publish(tmpl)
	got := m.until("a full job", func(m sv2.Message) bool {
		j, ok := m.(sv2.NewExtendedMiningJob)
		return ok && !j.Future
	})
	if j, _ := got.(sv2.NewExtendedMiningJob); j.MinTime != tmpl.Time {
		t.Errorf("min_ntime %d, of the template %d", j.MinTime, tmpl.Time)
	}
}

// Ensure the order of messages up to the acknowledgement of a share on a standard channel.
func TestSRI_StandardChannelReceivesShare(t *testing.T) {
	p := newPeer(t)
	said := p.run("setup flags=1") + p.run("open-standard request=10 user=alice.one") +
		p.run("share channel=2")
	want := []string{
		"SetupConnection.Success", "OpenStandardMiningChannel.Success", "NewMiningJob", "SetNewPrevHash",
		"NewMiningJob", "NewMiningJob", "SubmitShares.Success",
	}
	if got := kinds(said); !slices.Equal(got, want) {
		t.Errorf("got\n%s", said)
	}
}

// Ensure that setups for another protocol or version are refused with the code that clients know, and
// that the connection ends.
func TestSRI_RejectsSetups(t *testing.T) {
	for setup, want := range map[string]string{
		"setup protocol=1":    "SetupConnection.Error flags=0x0 unsupported-protocol\n",
		"setup protocol=2":    "SetupConnection.Error flags=0x0 unsupported-protocol\n",
		"setup min=3 max=3":   "SetupConnection.Error flags=0x0 protocol-version-mismatch\n",
		"setup flags=0x6":     "SetupConnection.Error flags=0x2 unsupported-feature-flags\n",
		"setup flags=0xf0000": "SetupConnection.Error flags=0xf0000 unsupported-feature-flags\n",
	} {
		if got := newPeer(t).run(setup); got != want+"end of the connection\n" {
			t.Errorf("%s: got %q", setup, got)
		}
	}
}

// Ensure that a custom job is refused where no job declaration is served.
func TestSRI_RejectsCustomJobsWithoutJobDeclaration(t *testing.T) {
	p, m := setUpMiner(t, 0)
	p.run("open-extended request=1 user=alice.one size=4")
	send(t, m.c, sv2.SetCustomMiningJob{ChannelID: 2, RequestID: 5, Version: 0x20000000})
	if e := await[sv2.SetCustomMiningJobError](t, m.c); e.Code != "jd-not-supported" || e.RequestID != 5 {
		t.Errorf("got %+v", e)
	}
}

// grouped opens ten channels and follows a new template and a new block.
func grouped(t *testing.T, open string) {
	t.Helper()
	p := newPeer(t)
	p.run("setup")
	for range 10 {
		said := p.run(open)
		if !strings.Contains(said, " group=1 ") {
			t.Fatalf("the group is not 1:\n%s", said)
		}
		if got := kinds(said)[1:3]; !strings.HasSuffix(got[0], "MiningJob") || got[1] != "SetNewPrevHash" {
			t.Fatalf("a channel began with %v", got)
		}
	}
	if got := p.run("template"); strings.Count(got, "\n") != 1 ||
		!strings.HasPrefix(got, "NewExtendedMiningJob channel=1 ") {
		t.Errorf("new transactions gave\n%s\nwant one job for the group", got)
	}
	got := kinds(p.run("block"))
	// The tip, which has the future job of before, a full job and the next future one.
	want := []string{"SetNewPrevHash", "NewExtendedMiningJob", "NewExtendedMiningJob"}
	if !slices.Equal(got, want) {
		t.Errorf("a block gave %v, want %v once for the group", got, want)
	}
	for _, ch := range p.channels {
		if ch.active == nil || ch.active.extended == nil || len(ch.active.extended.MerklePath) == 0 {
			t.Errorf("channel %d mines %+v", ch.id, ch.active)
		}
	}
	if got := p.run("share channel=7"); !strings.HasPrefix(got, "SubmitShares.Success channel=7 ") {
		t.Errorf("a share of a member got %q", got)
	}
}

// Ensure that one message carries a job to all ten extended channels of a connection.
func TestSRI_GroupsExtendedChannels(t *testing.T) {
	grouped(t, "open-extended request=1 user=alice.one size=4")
}

// Ensure that one extended job carries work to all ten standard channels of a connection.
func TestSRI_GroupsStandardChannels(t *testing.T) {
	grouped(t, "open-standard request=1 user=alice.one")
}

// Ensure that every channel has jobs and tips of its own where standard jobs are required.
func TestSRI_DoesNotGroupWhereStandardJobsAreRequired(t *testing.T) {
	p := newPeer(t)
	p.run("setup flags=1")
	for range 10 {
		p.run("open-standard request=1 user=alice.one")
	}
	said := p.run("template") + p.run("block")
	count := map[string]int{}
	for _, kind := range kinds(said) {
		count[kind]++
	}
	if len(count) != 2 || count["SetNewPrevHash"] != 10 || count["NewMiningJob"] != 30 ||
		strings.Contains(said, " channel=1 ") {
		t.Errorf("ten channels got %v:\n%s", count, said)
	}
}

// Ensure that no extended channel opens where standard jobs are required.
func TestSRI_RejectsExtendedChannelsWhereStandardJobsAreRequired(t *testing.T) {
	p, _ := setUpMiner(t, 1)
	got := p.run("open-extended request=9 user=alice.one size=4")
	if got != "OpenMiningChannel.Error request=9 extended-channels-not-supported-for-standard-jobs\n" {
		t.Errorf("got %q", got)
	}
}

// Ensure that peers which never finish their handshake do not keep others waiting.
func TestSRI_DoesNotHangOnNoHandshake(t *testing.T) {
	p := newPeer(t)
	for range 100 {
		conn, err := net.Dial("tcp", p.w.address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := conn.Write(make([]byte, 63)); err != nil { // one byte is missing
			t.Fatal(err)
		}
	}
	other := newMiner(t, p.w.dial())
	if _, err := other.c.Setup(0); err != nil {
		t.Fatal(err)
	}
}

// Ensure that a translator's shares are taken under the extension that it negotiated, with a later time
// as its keepalive jobs have, and with more rollable bytes than it asked for.
func TestSRI_TakesTheTranslatorsShares(t *testing.T) {
	p, m := setUpMiner(t, 4)
	if got := p.run("extensions id=7 wants=2"); got != "RequestExtensions.Success request=7 supported=[2]\n" {
		t.Fatalf("got %q", got)
	}
	p.run("open-extended request=1 user=alice.proxy size=6")
	if m.channels[2].size < 6 {
		t.Fatalf("%d bytes to roll", m.channels[2].size)
	}
	for _, later := range []string{"0", "61"} {
		share := "share channel=2 name=alice.rig later=" + later
		if got := p.run(share); !strings.HasPrefix(got, "SubmitShares.Success") {
			t.Errorf("%s: got %q", share, got)
		}
	}
	eventually(t, "credit for the named worker", func() bool { return p.w.credited("alice.rig").Shares == 2 })
}

// Ensure that a block that a device finds is handed on, whole.
func TestSRI_PropagatesABlock(t *testing.T) {
	p := newPeer(t)
	tmpl := p.template(0, true)
	tmpl.Bits = 0x207fffff // as on regtest: every second hash is a block
	p.publish(tmpl)
	p.run("setup flags=1")
	p.run("open-standard request=10 user=alice.one nominal=100")
	p.run("share channel=2") // any share is one
	eventually(t, "a block", func() bool {
		p.w.mu.Lock()
		defer p.w.mu.Unlock()
		return len(p.w.blocks) > 0 && p.w.blocks[0].Height == tmpl.Height &&
			p.w.blocks[0].Worker == "alice.one"
	})
}

// Ensure that the largest job of ours fits into the buffers of the smallest devices, whatever the
// coinbase: the longest tag, 20 levels of merkle path, a split payout and a commitment.
func TestClients_LargestJobFitsTheSmallestDevice(t *testing.T) {
	script := append([]byte{0x51, 0x20}, make([]byte, 32)...)
	a, err := pool.NewAssembler(pool.CoinbaseConfig{Script: script, Tag: strings.Repeat("x", pool.MaxTag)}, 1)
	if err != nil {
		t.Fatal(err)
	}
	r, err := a.Advance(nil, newPeer(t).template(20, true))
	if err != nil {
		t.Fatal(err)
	}
	j := a.For(r, pool.Payout{Script: string(script), Percent: 1}).Full
	frame := sv2.NewExtendedMiningJob{
		MerklePath: j.Path, CoinbasePrefix: j.Prefix, CoinbaseSuffix: j.Suffix,
	}.AppendFrame(nil)
	t.Logf("%d bytes, coinbase %d", len(frame), len(j.Prefix)+pool.ExtranonceSize+len(j.Suffix))
	if len(frame) > deviceBuffer || len(j.Path) != 20 {
		t.Errorf("%d bytes for %d branches: %d are read", len(frame), len(j.Path), deviceBuffer)
	}
	if n := len(j.Prefix) + pool.ExtranonceSize + len(j.Suffix); n > 500 {
		t.Errorf("the coinbase has %d bytes: some firmware takes 500", n)
	}
}
