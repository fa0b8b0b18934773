package stratum_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/stratum"
	"github.com/hashlease/hashlease/stratum/noise"
	"github.com/hashlease/hashlease/stratum/stratumtest"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// world is a server on a real port with neighbours that a test can look into.
type world struct {
	t         *testing.T
	server    *stratum.Server
	address   string
	authority noise.PublicKey
	feed      *pool.Feed
	assembler *pool.Assembler
	registry  *fleet.Registry
	round     *pool.Round

	mu      sync.Mutex
	credits map[pool.WorkerID]pool.Credit // guarded by mu
	fail    error                         // guarded by mu: what Credit returns
	hold    chan struct{}                 // guarded by mu: Credit waits for it
	blocks  []*pool.Block                 // guarded by mu

	opening func() // if set, called by Authorize
}

func (w *world) Credit(_ context.Context, credits []pool.Credit) error {
	w.mu.Lock()
	hold := w.hold
	w.mu.Unlock()
	if hold != nil {
		<-hold
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail != nil {
		return w.fail
	}
	for _, c := range credits {
		sum := w.credits[c.Worker]
		sum.Shares += c.Shares
		sum.Work += c.Work
		w.credits[c.Worker] = sum
	}
	return nil
}

func (w *world) SubmitBlock(_ context.Context, b *pool.Block) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.blocks = append(w.blocks, b)
	return nil
}

func (w *world) Authorize(_ context.Context, identity string, _ stratum.Device) (pool.WorkerID, error) {
	if w.opening != nil {
		w.opening()
	}
	_, worker, err := pool.ParseIdentity(identity)
	return worker, err
}

func (w *world) credited(id pool.WorkerID) pool.Credit {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.credits[id]
}

// hardBits is a network target that tests never meet.
const hardBits = 0x1d00ffff

func (w *world) template(height int32, prev byte, partial bool) *pool.Template {
	t := &pool.Template{
		Tip: pool.Tip{Height: height, Bits: hardBits, MinTime: uint32(time.Now().Unix()) - 600},
		// A full template carries the time at which it was made.
		Version: 0x20000000, Value: 50e8, Partial: partial,
		Next: pool.NextBlock{Version: 0x20000000, Value: 50e8},
	}
	t.Prev[0] = prev
	if !partial {
		t.Time = uint32(time.Now().Unix())
	}
	return t
}

func (w *world) publish(t *pool.Template) {
	w.t.Helper()
	r, err := w.assembler.Advance(w.round, t)
	if err != nil {
		w.t.Fatal(err)
	}
	w.round = r
	w.feed.Publish(r)
}

// newWorld starts a server; it is shut down when the test ends.
func newWorld(t *testing.T, change func(*stratum.Config)) *world {
	t.Helper()
	authority, err := noise.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	id, err := noise.NewIdentity(authority, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, feed: pool.NewFeed(), registry: fleet.NewRegistry(), authority: authority.Public(),
		credits: map[pool.WorkerID]pool.Credit{},
	}
	script := append([]byte{0x00, 0x14}, make([]byte, 20)...)
	if w.assembler, err = pool.NewAssembler(pool.CoinbaseConfig{Script: script, Tag: "test"}, 1); err != nil {
		t.Fatal(err)
	}
	cfg := stratum.DefaultConfig()
	cfg.MinDifficulty, cfg.SharesPerMinute, cfg.DrainFor = 1e-9, 60, 0
	cfg.AckAfter = 200 * time.Millisecond
	if change != nil {
		change(&cfg)
	}
	w.server, err = stratum.New(cfg, stratum.Rooms{
		Feed: w.feed, Assembler: w.assembler, Registry: w.registry, Authorize: w, Credit: w, Blocks: w,
		Identity: func() *noise.Identity { return id },
		Solo: func(identity string) (pool.Payout, pool.WorkerID, error) {
			return pool.ParseSolo(identity, &chaincfg.MainNetParams)
		},
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w.serve()
	return w
}

func (w *world) serve() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.address = ln.Addr().String()
	var wg sync.WaitGroup
	wg.Go(func() { _ = w.server.Run(context.Background()) })
	wg.Go(func() { _ = w.server.Serve(ln) })
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := w.server.Shutdown(ctx); err != nil {
			w.t.Errorf("shutting down: %v", err)
		}
		wg.Wait()
	})
}

func (w *world) dial() *stratumtest.Client {
	w.t.Helper()
	c, err := stratumtest.Dial(context.Background(), w.address, &w.authority)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close() })
	return c
}

// setUp is a connection past SetupConnection.
func (w *world) setUp(flags uint32) *stratumtest.Client {
	w.t.Helper()
	c := w.dial()
	if _, err := c.Setup(flags); err != nil {
		w.t.Fatal(err)
	}
	return c
}

func await[M any](t *testing.T, c *stratumtest.Client) M {
	t.Helper()
	m, err := stratumtest.Await[M](c, stratumtest.AwaitFor)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func send(t *testing.T, c *stratumtest.Client, m sv2.Message) {
	t.Helper()
	if err := c.Send(m); err != nil {
		t.Fatal(err)
	}
}

// anyShare is a share on a channel whose target every hash meets.
func anyShare(channel, job, nonce uint32) sv2.SubmitSharesStandard {
	return sv2.SubmitSharesStandard{
		ChannelID: channel, Sequence: nonce, JobID: job, Nonce: nonce,
		Time: uint32(time.Now().Unix()), Version: 0x20000000,
	}
}

// easy lets nearly every hash be a share: one or two hashes each.
func easy(c *stratum.Config) { c.MinDifficulty = 1e-12; c.SharesPerMinute = 6000 }

// openEasy opens a standard channel and returns its id and the id of its active job.
func (w *world) openEasy(c *stratumtest.Client, identity string) (channel, job uint32) {
	w.t.Helper()
	ok, err := c.OpenStandard(identity, 0, pool.MaxTarget)
	if err != nil {
		w.t.Fatal(err)
	}
	await[sv2.SetNewPrevHash](w.t, c)
	for {
		j := await[sv2.NewMiningJob](w.t, c)
		if !j.Future {
			return ok.ChannelID, j.JobID
		}
	}
}

// Ensure that the first messages of a channel are a future job and its activation (SV2-072, SV2-103).
func TestServer_StartsAChannelWithAFutureJobAndItsActivation(t *testing.T) {
	w := newWorld(t, nil)
	w.publish(w.template(100, 1, false))
	c := w.setUp(sv2.RequiresStandardJobs)
	ok, err := c.OpenStandard("alice.one", 1e6, pool.MaxTarget)
	if err != nil {
		t.Fatal(err)
	}
	first, err := c.Next(stratumtest.AwaitFor)
	if err != nil {
		t.Fatal(err)
	}
	job, _ := first.Message.(sv2.NewMiningJob)
	if !job.Future || job.ChannelID != ok.ChannelID {
		t.Fatalf("first message is %+v, want a future job", first.Message)
	}
	second, err := c.Next(stratumtest.AwaitFor)
	if err != nil {
		t.Fatal(err)
	}
	if tip, _ := second.Message.(sv2.SetNewPrevHash); tip.JobID != job.JobID || tip.PrevHash[0] != 1 {
		t.Fatalf("second message is %+v, want the activation of job %d", second.Message, job.JobID)
	}
}

// Ensure that a new tip activates the job that went out before it, in the first message.
func TestServer_ActivatesTheJobThatWasSentBeforeTheTip(t *testing.T) {
	w := newWorld(t, nil)
	w.publish(w.template(100, 1, false))
	c := w.setUp(sv2.RequiresStandardJobs)
	w.openEasy(c, "alice.one")
	future := await[sv2.NewMiningJob](t, c) // for block 101
	if !future.Future {
		t.Fatalf("got %+v, want the future job of the next block", future)
	}
	w.publish(w.template(101, 2, true))
	f, err := c.Next(stratumtest.AwaitFor)
	if err != nil {
		t.Fatal(err)
	}
	if tip, _ := f.Message.(sv2.SetNewPrevHash); tip.JobID != future.JobID || tip.PrevHash[0] != 2 {
		t.Fatalf("after the tip came %+v, want the activation of job %d", f.Message, future.JobID)
	}
}

// Ensure that a tip nobody prepared for, as after a reorganisation, begins with a future job (SV2-103).
func TestServer_SendsAFutureJobFirstAfterAReorganisation(t *testing.T) {
	w := newWorld(t, nil)
	w.publish(w.template(100, 1, false))
	c := w.setUp(sv2.RequiresStandardJobs)
	w.openEasy(c, "alice.one")
	await[sv2.NewMiningJob](t, c)
	w.publish(w.template(100, 9, false)) // same height, other block
	job := await[sv2.NewMiningJob](t, c)
	tip := await[sv2.SetNewPrevHash](t, c)
	if !job.Future || tip.JobID != job.JobID || tip.PrevHash[0] != 9 {
		t.Fatalf("got job %+v and tip %+v", job, tip)
	}
}

// Ensure that a connection is kept, without jobs, while there is no template.
func TestServer_KeepsMinersWhileThereIsNoTemplate(t *testing.T) {
	w := newWorld(t, nil)
	c := w.setUp(0)
	if _, err := c.OpenStandard("alice.one", 1e6, pool.MaxTarget); err != nil {
		t.Fatal(err)
	}
	if f, err := c.Next(150 * time.Millisecond); err == nil {
		t.Fatalf("got %+v without a template", f.Message)
	}
	w.publish(w.template(100, 1, false))
	await[sv2.SetNewPrevHash](t, c)
}

// Ensure that nothing is acknowledged before its credit is durable (design promise 1).
func TestServer_AcknowledgesOnlyWhatIsDurable(t *testing.T) {
	w := newWorld(t, easy)
	w.publish(w.template(100, 1, false))
	release := make(chan struct{})
	w.hold = release
	c := w.setUp(0)
	channel, job := w.openEasy(c, "alice.one")
	send(t, c, anyShare(channel, job, 1))
	if m, err := stratumtest.Await[sv2.SubmitSharesSuccess](c, 500*time.Millisecond); err == nil {
		t.Fatalf("acknowledged %+v while the credit was not durable", m)
	}
	close(release)
	if m := await[sv2.SubmitSharesSuccess](t, c); m.Accepted != 1 || m.LastSequence != 1 {
		t.Fatalf("acknowledged %+v, want one share with sequence 1", m)
	}
	if got := w.credited("alice.one").Shares; got != 1 {
		t.Fatalf("credited %d shares, want 1", got)
	}
}

// Ensure that shares whose credit failed are never acknowledged and end their session.
func TestServer_EndsASessionWhoseCreditFailed(t *testing.T) {
	w := newWorld(t, easy)
	w.publish(w.template(100, 1, false))
	w.fail = errors.New("disk is full")
	c := w.setUp(0)
	channel, job := w.openEasy(c, "alice.one")
	send(t, c, anyShare(channel, job, 1))
	if err := c.AwaitEnd(stratumtest.AwaitFor); err != nil {
		t.Fatal(err)
	}
	if st := w.server.Stats(); st.Acknowledged != 0 || st.Durable != 0 {
		t.Fatalf("acknowledged %d, durable %d, want none", st.Acknowledged, st.Durable)
	}
}

// Ensure that a full batch is acknowledged at once and counts only itself (SV2-156, SV2-157).
func TestServer_AcknowledgesAFullBatchWithoutWaiting(t *testing.T) {
	w := newWorld(t, func(c *stratum.Config) { easy(c); c.AckAfter = time.Hour; c.AckEvery = 16 })
	w.publish(w.template(100, 1, false))
	c := w.setUp(0)
	channel, job := w.openEasy(c, "alice.one")
	for n := range uint32(16) {
		send(t, c, anyShare(channel, job, n+1))
	}
	accepted := uint32(0)
	for accepted < 16 {
		m := await[sv2.SubmitSharesSuccess](t, c)
		accepted += m.Accepted
		if m.LastSequence > 16 {
			t.Fatalf("last sequence is %d of 16", m.LastSequence)
		}
	}
	if accepted != 16 {
		t.Fatalf("acknowledged %d shares of 16", accepted)
	}
}

// Ensure that each bad share is answered at once with its own sequence number (SV2-155).
func TestServer_RejectsBadSharesOneByOne(t *testing.T) {
	w := newWorld(t, easy)
	w.publish(w.template(100, 1, false))
	c := w.setUp(0)
	channel, job := w.openEasy(c, "alice.one")
	good := anyShare(channel, job, 7)
	send(t, c, good)
	for _, bad := range []struct {
		share sv2.SubmitSharesStandard
		code  string
	}{
		{good, "duplicate-share"},
		{anyShare(channel+50, job, 8), "invalid-channel-id"},
		{anyShare(channel, job+50, 9), "invalid-job-id"},
		{
			func() sv2.SubmitSharesStandard {
				s := anyShare(channel, job, 10)
				s.Version = 0x20000001
				return s
			}(),
			"invalid-non-rollable-version-bit",
		},
		{
			func() sv2.SubmitSharesStandard { s := anyShare(channel, job, 11); s.Time -= 86400; return s }(),
			"invalid-share",
		},
	} {
		send(t, c, bad.share)
		m := await[sv2.SubmitSharesError](t, c)
		if m.Code != bad.code || m.Sequence != bad.share.Sequence {
			t.Errorf("got %q for sequence %d, want %q for %d",
				m.Code, m.Sequence, bad.code, bad.share.Sequence)
		}
	}
}

// Ensure that setups which are not served get exactly the reason (SV2-043 to SV2-047).
func TestServer_RefusesSetupsThatItDoesNotServe(t *testing.T) {
	w := newWorld(t, nil)
	base := sv2.SetupConnection{Protocol: sv2.ProtocolMining, MinVersion: 2, MaxVersion: 2, Vendor: "test"}
	for _, test := range []struct {
		name  string
		setup func(*sv2.SetupConnection)
		flags uint32
		code  string
	}{
		{
			"work selection", func(m *sv2.SetupConnection) { m.Flags = sv2.RequiresWorkSelection },
			sv2.RequiresWorkSelection, "unsupported-feature-flags",
		},
		{
			"all flags", func(m *sv2.SetupConnection) { m.Flags = 0xffffffff },
			^uint32(sv2.RequiresStandardJobs | sv2.RequiresVersionRolling), "unsupported-feature-flags",
		},
		{
			"job declaration", func(m *sv2.SetupConnection) { m.Protocol = sv2.ProtocolJobDeclaration },
			0, "unsupported-protocol",
		},
		{
			"version 3", func(m *sv2.SetupConnection) { m.MinVersion, m.MaxVersion = 3, 3 },
			0, "protocol-version-mismatch",
		},
		{
			"no version", func(m *sv2.SetupConnection) { m.MinVersion, m.MaxVersion = 3, 1 },
			0, "protocol-version-mismatch",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := w.dial()
			m := base
			test.setup(&m)
			send(t, c, m)
			if e := await[sv2.SetupConnectionError](t, c); e.Code != test.code || e.Flags != test.flags {
				t.Errorf("got %q with flags %#x, want %q with %#x", e.Code, e.Flags, test.code, test.flags)
			}
			if err := c.AwaitEnd(stratumtest.AwaitFor); err != nil {
				t.Error(err)
			}
		})
	}
}

// Ensure that channels which cannot be had are refused and the connection stays (SV2-066, SV2-069, SV2-073).
func TestServer_RefusesChannelsAndKeepsTheConnection(t *testing.T) {
	w := newWorld(t, func(c *stratum.Config) { c.MaxChannels = 1 })
	w.publish(w.template(100, 1, false))
	c := w.setUp(sv2.RequiresStandardJobs)
	allOnes := pool.MaxTarget.Bytes()
	refused := func(m sv2.Message, code string) {
		t.Helper()
		send(t, c, m)
		if e := await[sv2.OpenMiningChannelError](t, c); e.Code != code || e.RequestID != 77 {
			t.Errorf("got %q for request %d, want %q for 77", e.Code, e.RequestID, code)
		}
	}
	refused(sv2.OpenStandardMiningChannel{RequestID: 77, UserIdentity: "bad identity!", MaxTarget: allOnes},
		"unknown-user")
	refused(sv2.OpenStandardMiningChannel{RequestID: 77, UserIdentity: "alice.one"},
		"max-target-out-of-range")
	refused(sv2.OpenExtendedMiningChannel{RequestID: 77, UserIdentity: "alice.one", MaxTarget: allOnes},
		"extended-channels-not-supported-for-standard-jobs")
	w.openEasy(c, "alice.one")
	refused(sv2.OpenStandardMiningChannel{RequestID: 77, UserIdentity: "alice.two", MaxTarget: allOnes},
		"channel-capacity-exhausted")

	ext := w.setUp(0)
	send(t, ext, sv2.OpenExtendedMiningChannel{
		RequestID: 77, UserIdentity: "alice.one", MaxTarget: allOnes, MinExtranonceSize: 17,
	})
	if e := await[sv2.OpenMiningChannelError](t, ext); e.Code != "min-extranonce-size-too-large" {
		t.Errorf("got %q", e.Code)
	}
}

// Ensure that nothing more is sent or accepted for a closed channel, and that the group's id closes all
// (SV2-084, SV2-085).
func TestServer_ClosesChannels(t *testing.T) {
	w := newWorld(t, easy)
	w.publish(w.template(100, 1, false))
	c := w.setUp(0)
	one, job := w.openEasy(c, "alice.one")
	two, _ := w.openEasy(c, "alice.two")
	send(t, c, sv2.CloseChannel{ChannelID: one})
	send(t, c, anyShare(one, job, 1))
	if e := await[sv2.SubmitSharesError](t, c); e.Code != "invalid-channel-id" {
		t.Fatalf("share on a closed channel got %q", e.Code)
	}
	if links := w.registry.Links("alice.one"); len(links) != 0 {
		t.Errorf("worker still has %d links", len(links))
	}
	send(t, c, sv2.CloseChannel{ChannelID: 1}) // the group
	send(t, c, anyShare(two, job, 2))
	if e := await[sv2.SubmitSharesError](t, c); e.Code != "invalid-channel-id" {
		t.Fatalf("share after the group closed got %q", e.Code)
	}
}

// Ensure that a commanded throttle sends the target and a fresh job at once (SV2-134, design decision 5).
func TestServer_SendsTargetAndFreshJobOnACommandedThrottle(t *testing.T) {
	w := newWorld(t, func(c *stratum.Config) { c.OpeningShares = 0 })
	w.publish(w.template(100, 1, false))
	c := w.setUp(sv2.RequiresStandardJobs)
	ok, err := c.OpenStandard("alice.one", 1e9, pool.MaxTarget)
	if err != nil {
		t.Fatal(err)
	}
	var last sv2.NewMiningJob
	for range 3 { // first, full, next
		last = await[sv2.NewMiningJob](t, c)
	}
	w.registry.Links("alice.one")[0].Expect(fleet.Expectation{Seq: 1, Hashrate: 5e8})
	target := await[sv2.SetTarget](t, c)
	job := await[sv2.NewMiningJob](t, c)
	was := pool.TargetFromBytes(&ok.Target)
	if is := pool.TargetFromBytes(&target.MaxTarget); is.Cmp(was) <= 0 {
		t.Errorf("target went from %v to %v: half the hashrate needs an easier one", was, is)
	}
	if job.Future || job.JobID == last.JobID || job.MerkleRoot == last.MerkleRoot {
		t.Errorf("job %+v is not a fresh active one", job)
	}
}

// device obeys every order.
type device struct {
	mu     sync.Mutex
	orders []stratumtest.PowerOrder
}

func (*device) Describe() stratumtest.PowerDescription {
	return stratumtest.PowerDescription{Capability: fleet.Capability{
		Min: 1000, Max: 3000, CanCap: true, CanPause: true, HoldsAlone: true,
	}, Idle: 25}
}

func (d *device) Obey(o stratumtest.PowerOrder) (stratumtest.PowerPlan, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.orders = append(d.orders, o)
	return stratumtest.PowerPlan{Watts: o.Watts, Hashrate: 1000}, nil
}

func (*device) Observe() stratumtest.PowerObservation {
	return stratumtest.PowerObservation{Watts: 1234}
}

// startMiner runs a miner until the test ends.
func (w *world) startMiner(cfg stratumtest.MinerConfig) *stratumtest.Miner {
	cfg.Pool = func() stratumtest.Endpoint {
		return stratumtest.Endpoint{Address: w.address, Authority: &w.authority}
	}
	cfg.Grinder = stratumtest.NewGrinder(1)
	m := stratumtest.NewMiner(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = cfg.Grinder.Run(ctx) })
	wg.Go(func() { _ = m.Run(ctx) })
	w.t.Cleanup(func() { cancel(); wg.Wait() })
	return m
}

// eventually polls for what another goroutine is about to bring about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(5 * time.Millisecond) // real sockets: a bubble of testing/synctest cannot hold them
	}
}

// Ensure that a device with the power extension becomes an actuator whose answer comes back.
func TestServer_OrdersPowerInBand(t *testing.T) {
	w := newWorld(t, func(c *stratum.Config) { c.PowerReport = 50 * time.Millisecond })
	w.publish(w.template(100, 1, false))
	d := &device{}
	w.startMiner(stratumtest.MinerConfig{Identity: "alice.one", Nominal: 1000, Power: d})
	var link *fleet.Link
	eventually(t, "the device says hello", func() bool {
		if links := w.registry.Links("alice.one"); len(links) == 1 {
			link = links[0]
			return link.Actuator() != nil
		}
		return false
	})
	if got := link.Actuator().Capability(); got.Max != 3000 || !got.CanPause || !got.HoldsAlone {
		t.Errorf("capability is %+v", got)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	ack, err := link.Actuator().Set(ctx, fleet.Setpoint{
		Term: 3, Command: 9, Mode: fleet.Capped, Watts: 2000, ValidFor: 30 * time.Second, FailHold: true,
	})
	if err != nil || ack.Command != 9 || ack.Planned != 2000 {
		t.Fatalf("ack %+v, error %v", ack, err)
	}
	d.mu.Lock()
	o := d.orders[0]
	d.mu.Unlock()
	if o.Command != (sv2.PowerCommand{Term: 3, ID: 9}) || !o.Hold || o.ValidFor != 30*time.Second {
		t.Errorf("device got %+v", o)
	}
	eventually(t, "a report", func() bool { r, ok := link.Reported(); return ok && r.Watts == 1234 })
}

// Ensure that miners behind a proxy are credited by the names that their shares carry, over real
// sockets and with the device's own counts, each within its channel's account.
func TestServer_CreditsWorkersBehindAProxy(t *testing.T) {
	w := newWorld(t, nil)
	w.publish(w.template(100, 1, false))
	miner := func(identity, worker string) *stratumtest.Miner {
		return w.startMiner(stratumtest.MinerConfig{
			Identity: identity, Worker: worker, Extended: true, Nominal: 2000,
		})
	}
	one, two := miner("alice.miner1", "rig1"), miner("bob.miner1", "rig1")
	eventually(t, "shares of both", func() bool {
		return w.credited("alice.rig1").Shares >= 5 && w.credited("bob.rig1").Shares >= 5
	})
	for own, m := range map[pool.WorkerID]*stratumtest.Miner{"alice.miner1": one, "bob.miner1": two} {
		if n := w.credited(own).Shares; n != 0 {
			t.Errorf("%d shares were credited to %s", n, own)
		}
		if st := m.Stats(); len(st.Rejected) > 0 {
			t.Errorf("%s: refused %v", own, st.Rejected)
		}
	}
	if st := w.server.Stats(); st.Names != 2 || st.SharesUnnamed != 0 {
		t.Errorf("%d names, %d shares without", st.Names, st.SharesUnnamed)
	}
}

// Ensure that an agent beside the machines is the actuator of its site's worker, keeps what it was
// told when the server goes, and obeys the next one only if that commands in a newer term.
func TestServer_SteersASiteThroughItsAgent(t *testing.T) {
	w := newWorld(t, func(c *stratum.Config) { c.PowerReport = 50 * time.Millisecond })
	next := newWorld(t, func(c *stratum.Config) { c.PowerReport = 50 * time.Millisecond })
	d := &device{}
	var at atomic.Pointer[world]
	at.Store(w)
	agent := stratumtest.NewAgent(stratumtest.AgentConfig{
		Pool: func() stratumtest.Endpoint {
			return stratumtest.Endpoint{Address: at.Load().address, Authority: &at.Load().authority}
		},
		Site: "hall-2", Identity: "alice.hall-2", Power: d, MinBackoff: time.Millisecond,
	})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = agent.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	order := func(w *world, term uint32) (ack fleet.Ack, err error) {
		var link *fleet.Link
		eventually(t, "the agent reports", func() bool {
			if links := w.registry.Links("alice.hall-2"); len(links) == 1 {
				link = links[0]
				r, ok := link.Reported()
				return ok && r.Watts == 1234
			}
			return false
		})
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		return link.Actuator().Set(ctx, fleet.Setpoint{
			Term: term, Command: 1, Mode: fleet.Capped, Watts: 2000, ValidFor: time.Minute, FailHold: true,
		})
	}
	if ack, err := order(w, 3); err != nil || ack.Planned != 2000 || agent.Command().Term != 3 {
		t.Fatalf("ack %+v, error %v", ack, err)
	}
	at.Store(next)
	if err := w.server.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := order(next, 2); err == nil || agent.Command().Term != 3 {
		t.Errorf("an older term was obeyed: %v", err)
	}
	if _, err := order(next, 4); err != nil || agent.Command().Term != 4 {
		t.Errorf("a newer term was not obeyed: %v", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.orders) != 2 || !d.orders[0].Hold {
		t.Errorf("the site was told %+v", d.orders)
	}
}

// Ensure that real mining reaches the ledger on both kinds of channels, and that the device's own
// counts agree: acknowledged <= durable <= submitted.
func TestServer_CreditsRealWorkOnBothKinds(t *testing.T) {
	w := newWorld(t, nil)
	w.publish(w.template(100, 1, false))
	standard := w.startMiner(stratumtest.MinerConfig{Identity: "alice.standard", Nominal: 20_000})
	extended := w.startMiner(stratumtest.MinerConfig{
		Identity: "alice.extended", Nominal: 20_000, Extended: true,
	})
	for name, m := range map[pool.WorkerID]*stratumtest.Miner{
		"alice.standard": standard, "alice.extended": extended,
	} {
		eventually(t, string(name)+" is acknowledged", func() bool { return m.Stats().Acked >= 3 })
		st, credit := m.Stats(), w.credited(name)
		if st.Acked > credit.Shares {
			t.Errorf("%s: %d acknowledged, %d durable", name, st.Acked, credit.Shares)
		}
		if len(st.Rejected) != 0 {
			t.Errorf("%s: rejected %v", name, st.Rejected)
		}
	}
}

// Ensure that a found block goes out at once and whole (SV2-162).
func TestServer_HandsOverFoundBlocks(t *testing.T) {
	w := newWorld(t, nil)
	tmpl := w.template(100, 1, false)
	tmpl.Bits = 0x207fffff // half of all hashes
	w.publish(tmpl)
	w.startMiner(stratumtest.MinerConfig{Identity: "alice.one", Nominal: 1000})
	eventually(t, "a block", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.blocks) > 0
	})
	if b := w.blocks[0]; b.Height != 100 || b.Worker != "alice.one" || len(b.Raw) < 81 {
		t.Errorf("block is %+v", b)
	}
}

// Ensure that a drain acknowledges what was read, and sends miners away before it closes (SV2-160, SV2-253).
func TestServer_DrainsWithoutLosingAnAcknowledgement(t *testing.T) {
	w := newWorld(t, func(c *stratum.Config) { easy(c); c.AckAfter = time.Hour; c.AckEvery = 10_000 })
	w.publish(w.template(100, 1, false))
	c := w.setUp(0)
	channel, job := w.openEasy(c, "alice.one")
	for n := range uint32(5) {
		send(t, c, anyShare(channel, job, n+1))
	}
	eventually(t, "five durable shares", func() bool { return w.server.Stats().Durable == 5 })
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := w.server.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	if m := await[sv2.SubmitSharesSuccess](t, c); m.Accepted != 5 {
		t.Errorf("acknowledged %d shares of 5", m.Accepted)
	}
	await[sv2.Reconnect](t, c)
	if err := c.AwaitEnd(stratumtest.AwaitFor); err != nil {
		t.Error(err)
	}
}

// Ensure that a Stratum V1 miner is served on the port of Stratum V2 (SV2-015).
func TestServer_ServesV1MinersOnTheSamePort(t *testing.T) {
	w := newWorld(t, nil)
	conn, err := net.Dial("tcp", w.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, `{"id":1,"method":"mining.subscribe","params":[]}`+"\n"); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(stratumtest.AwaitFor))
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.HasPrefix(answer, `{"id":1,"result":[[["mining.notify",`) {
		t.Errorf("answer is %q, %v", answer, err)
	}
}

// Ensure that a peer that breaks the protocol ends its own connection and nobody else's
// (SV2-012, SV2-030, SV2-040).
func TestServer_EndsOnlyTheConnectionThatBreaksTheProtocol(t *testing.T) {
	w := newWorld(t, easy)
	w.publish(w.template(100, 1, false))
	honest := w.setUp(0)
	channel, job := w.openEasy(honest, "alice.one")
	for name, breakIt := range map[string]func(*stratumtest.Client) error{
		"first message is not SetupConnection": func(c *stratumtest.Client) error {
			return c.Send(sv2.CloseChannel{ChannelID: 1})
		},
		"ciphertext that does not open": func(c *stratumtest.Client) error {
			return c.SendBytes(make([]byte, 64))
		},
		"a share of 16 MB": func(c *stratumtest.Client) error {
			if _, err := c.Setup(0); err != nil {
				return err
			}
			head := sv2.Header{
				Extension: sv2.ChannelBit, Type: sv2.TypeSubmitSharesStandard, Length: sv2.MaxPayload,
			}
			_, err := c.Conn().Write(head.Append(nil))
			if err != nil {
				return c.SendRaw(sv2.ChannelBit, sv2.TypeSubmitSharesStandard, make([]byte, 60_000))
			}
			return nil
		},
		"setup twice": func(c *stratumtest.Client) error {
			if _, err := c.Setup(0); err != nil {
				return err
			}
			return c.Send(sv2.SetupConnection{MinVersion: 2, MaxVersion: 2})
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := w.dial()
			if err := breakIt(c); err != nil {
				t.Fatal(err)
			}
			if err := c.AwaitEnd(stratumtest.AwaitFor); err != nil {
				t.Error(err)
			}
		})
	}
	if err := honest.SendRaw(0x1234, 0x99, []byte("an extension that nobody negotiated")); err != nil {
		t.Fatal(err)
	}
	send(t, honest, anyShare(channel, job, 1))
	await[sv2.SubmitSharesSuccess](t, honest)
}

// Ensure that the measured hashrate and the figures for people are there.
func TestServer_CountsWhatHappens(t *testing.T) {
	w := newWorld(t, easy)
	w.publish(w.template(100, 1, false))
	c := w.setUp(0)
	channel, job := w.openEasy(c, "alice.one")
	send(t, c, anyShare(channel, job, 1))
	send(t, c, anyShare(channel, job, 1))
	await[sv2.SubmitSharesSuccess](t, c)
	st := w.server.Stats()
	if st.Sessions != 1 || st.Channels != 1 || st.Submitted != 2 || st.Accepted != 1 || st.Acknowledged != 1 {
		t.Errorf("stats are %+v", st)
	}
	if st.Rejected["duplicate-share"] != 1 || st.ShareToAck.Count != 1 {
		t.Errorf("rejected %v, share to ack %+v", st.Rejected, st.ShareToAck)
	}
	all := w.server.Channels()
	if len(all) != 1 || all[0].Worker != "alice.one" || all[0].Hashrate < unit.Hashrate(0) {
		t.Errorf("channels are %+v", all)
	}
}
