package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/hashlease/hashlease/cmd/hashsim/sim"
	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/audit"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/stratum/noise"
	"github.com/hashlease/hashlease/stratum/stratumtest"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// site is the whole product around a server in a process of its own, so that it can be killed:
// real btcd, a simulated site with real miners, a tenant, a configuration on disk.
type site struct {
	t *testing.T
	*demo
	authority noise.PublicKey
	program   string // this test binary, under the name that makes it the program
	server    *exec.Cmd
	output    *os.File
}

// newTestSite is a site of so many machines, which may be made otherwise before it is simulated.
func newTestSite(t *testing.T, miners int, made ...func(*demo)) *site {
	t.Helper()
	dir := t.TempDir()
	var said bytes.Buffer
	d := newDemo(&demoCmd{Miners: miners}, &env{stdin: strings.NewReader(""), stdout: &said, stderr: &said})
	d.dir = dir
	for _, make := range made {
		make(d)
	}
	for i := range d.listen {
		d.listen[i] = freeAddress(t)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(said.String())
		}
	})
	t.Cleanup(d.stopNodes)
	if err := d.startNodes(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := d.simulate(); err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, demo: d, program: filepath.Join(dir, "hashlease")}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// TestMain runs the program when the binary has its name.
	if err := os.Symlink(self, s.program); err != nil {
		t.Fatal(err)
	}
	if s.output, err = os.Create(filepath.Join(dir, "server.log")); err != nil {
		t.Fatal(err)
	}
	keys, err := openIdentities(filepath.Join(dir, "authority.key"))
	if err != nil {
		t.Fatal(err)
	}
	s.authority = keys.authority.Public()
	return s
}

// freeAddress is a port of this machine that nothing uses now.
func freeAddress(t *testing.T) string {
	t.Helper()
	at, err := sim.FreeAddresses(1)
	if err != nil {
		t.Fatal(err)
	}
	return at[0]
}

func (s *site) startServer() {
	s.t.Helper()
	s.server = exec.Command(s.program, "serve", "--config", filepath.Join(s.dir, configFile))
	s.server.Stdout, s.server.Stderr = s.output, s.output
	if err := s.server.Start(); err != nil {
		s.t.Fatal(err)
	}
}

// kill ends the server as a power cut ends its process.
func (s *site) kill() {
	s.t.Helper()
	if err := s.server.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	_ = s.server.Wait()
}

// stop asks the server to end and wants an orderly exit.
func (s *site) stop() {
	s.t.Helper()
	if err := s.server.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	if err := s.server.Wait(); err != nil {
		s.t.Errorf("server ended with %v", err)
	}
	s.server = nil
}

// runSite runs the simulated site until the test ends.
func (s *site) runSite(demands ...sim.Demand) {
	s.t.Helper()
	s.sim.SetPool(stratumtest.Endpoint{Address: s.listen[0], Authority: &s.authority})
	var err error
	s.tenant, err = s.sim.AddTenant(sim.TenantConfig{
		Name: demoTenant, Target: s.listen[1], Key: s.keys.tenant, CA: s.caFile(), Demands: demands,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.runMiners()
}

// runMiners is runSite without a tenant that acts by itself.
func (s *site) runMiners() {
	s.t.Helper()
	s.sim.SetPool(stratumtest.Endpoint{Address: s.listen[0], Authority: &s.authority})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.sim.Run(ctx); err != nil {
			s.t.Errorf("simulation: %v", err)
		}
	})
	s.t.Cleanup(func() {
		cancel()
		wg.Wait()
		if s.server != nil {
			s.kill()
		}
		if log, err := os.ReadFile(s.output.Name()); err == nil && s.t.Failed() {
			s.t.Logf("server's log:\n%s", log)
		}
	})
}

// eventually waits for what other processes are about to do.
func (s *site) eventually(what string, within time.Duration, ok func() bool) {
	s.t.Helper()
	deadline := time.Now().Add(within)
	for !ok() {
		if time.Now().After(deadline) {
			s.t.Fatalf("after %v still not: %s", within, what)
		}
		time.Sleep(50 * time.Millisecond) // other processes keep their own time
	}
}

// command runs one command of the program as the operator and returns its standard output.
func (s *site) command(args ...string) string {
	s.t.Helper()
	var stdout, stderr bytes.Buffer
	args = append(args, "--server", s.listen[1], "--ca", s.caFile(), "--key", s.keys.admin)
	if code := Main(s.t.Context(), args, strings.NewReader(""), &stdout, &stderr); code != 0 {
		s.t.Fatalf("hashlease %s: exit status %d\n%s", strings.Join(args[:2], " "), code, &stderr)
	}
	return stdout.String()
}

func (s *site) lease() sim.LeaseReport {
	if all := s.tenant.Reports(); len(all) > 0 {
		return all[0]
	}
	return sim.LeaseReport{}
}

// shareRow is a line of `hashlease shares --json`.
type shareRow struct {
	Worker string `json:"worker"`
	Shares uint64 `json:"shares,string"`
	Work   string `json:"work"`
}

// Ensure that the whole product keeps its promises through a kill -9 in the middle of a lease: blocks
// are on btcd's chain, acknowledged <= durable <= submitted for every worker, no old share counts
// again, the lease completes, and the limit is never passed in the simulated truth.
func TestProgram_KeepsItsPromisesThroughAKill(t *testing.T) {
	if testing.Short() {
		t.Skip("starts btcd and a site for a minute; the full run is make test")
	}
	s := newTestSite(t, 50)
	s.hashFaster()
	s.startServer()
	s.runSite(sim.Demand{
		Site: "north", Feeder: "f2", Watts: 12 * unit.Kilowatt,
		After: 6 * time.Second, Notice: 12 * time.Second, For: 25 * time.Second,
	})
	s.eventually("every miner has work", time.Minute, func() bool { return s.sim.Stats().Mining == 50 })
	s.sim.MarkTruth()

	old := s.mineOneShare()
	s.eventually("the lease is active", time.Minute, func() bool {
		if l := s.lease(); l.State == "REFUSED" {
			t.Fatalf("the lease was refused: %s", l.Reason)
		}
		return s.lease().State == "ACTIVE"
	})
	s.kill()
	s.startServer()
	s.eventually("every miner is back", time.Minute, func() bool {
		return s.answers() && s.sim.Stats().Mining == 50 // until it answers they may not know that it died
	})
	s.refuseOldShare(old)
	s.eventually("the lease is over", time.Minute, func() bool { return finalState(s.lease().State) })
	if l := s.lease(); l.State != "COMPLETED" {
		t.Errorf("lease ended as %s: %s", l.State, l.Reason)
	}
	s.eventually("a block is on btcd's chain", 3*time.Minute, func() bool { return s.acceptedBlocks() > 0 })
	s.checkShares()
	if truth := s.sim.Truth(); truth.SecondsOverLimit != 0 {
		t.Errorf("the limit was passed for %.2f s: %+v", truth.SecondsOverLimit, truth.Feeders)
	}
	r := s.report("", "--lease", s.lease().Name)
	if joules := r.Subjects[0].Figures; r.Restarts != 1 || r.Missing > 0 || !delivered(joules) {
		t.Errorf("the lease's report: %+v", r)
	}
	s.stop()
	s.checkEvidence()
}

// delivered says whether energy was delivered by a meter.
func delivered(list []audit.Figure) bool {
	return slices.ContainsFunc(list, func(f audit.Figure) bool {
		return f.Name == audit.Delivered && f.Known && f.Value > 0
	})
}

// checkShares compares the ledger with what the devices themselves counted.
func (s *site) checkShares() {
	s.t.Helper()
	acked := s.sim.Workers() // before the ledger is asked, which can only grow
	var rows []shareRow
	if err := json.Unmarshal([]byte(s.command("shares", "--json")), &rows); err != nil {
		s.t.Fatalf("reading shares: %v", err)
	}
	submitted := s.sim.Workers()
	durable := map[string]uint64{}
	for _, r := range rows {
		durable[r.Worker] = r.Shares
	}
	total := uint64(0)
	for w, before := range acked {
		n := durable[string(w)]
		total += n
		if before.Acked > n || n > submitted[w].Submitted {
			s.t.Errorf("%s: %d acknowledged, %d durable, %d submitted",
				w, before.Acked, n, submitted[w].Submitted)
		}
	}
	if total == 0 {
		s.t.Error("no share is durable")
	}
}

// acceptedBlocks asks btcd for every block that the program says it found.
func (s *site) acceptedBlocks() (n int) {
	var blocks []struct{ Hash string }
	if err := json.Unmarshal([]byte(s.command("blocks", "--json")), &blocks); err != nil {
		s.t.Fatalf("reading blocks: %v", err)
	}
	for _, b := range blocks {
		if confirmed(s.t.Context(), s.nodes[1], b.Hash) {
			n++
		}
	}
	return n
}

// oldShare is an accepted share as it went over the wire, and the job behind it.
type oldShare struct {
	share sv2.SubmitSharesStandard
	root  [32]byte
}

// mineOneShare mines one share with a scripted client and waits for its acknowledgement.
func (s *site) mineOneShare() oldShare {
	s.t.Helper()
	for {
		if share, fresh := s.tryOneShare(); fresh {
			return share
		}
	}
}

// tryOneShare is false if somebody found a block while it was mined.
func (s *site) tryOneShare() (share oldShare, fresh bool) {
	s.t.Helper()
	c, channel, target := s.openScripted()
	defer c.Close()
	tip := awaitMessage[sv2.SetNewPrevHash](s.t, c)
	job := awaitMessage[sv2.NewMiningJob](s.t, c)
	for job.Future {
		job = awaitMessage[sv2.NewMiningJob](s.t, c)
	}
	sh := sv2.SubmitSharesStandard{
		ChannelID: channel, Sequence: 1, JobID: job.JobID, Version: job.Version, Time: job.MinTime,
	}
	for !meets(&sh, &tip, job.MerkleRoot, target) {
		sh.Nonce++
	}
	if err := c.Send(sh); err != nil {
		s.t.Fatal(err)
	}
	f, err := c.AwaitType(10*time.Second, sv2.TypeSubmitSharesSuccess, sv2.TypeSubmitSharesError)
	if err != nil {
		s.t.Fatal(err)
	}
	if e, ok := f.Message.(sv2.SubmitSharesError); ok && e.Code == pool.RejectStale.Code() {
		return oldShare{}, false
	}
	if _, ok := f.Message.(sv2.SubmitSharesSuccess); !ok {
		s.t.Fatalf("an honest share was answered with %+v", f.Message)
	}
	return oldShare{share: sh, root: job.MerkleRoot}, true
}

// refuseOldShare sends the bytes of an accepted share again under every job that is valid now.
func (s *site) refuseOldShare(old oldShare) {
	s.t.Helper()
	c, channel, _ := s.openScripted()
	defer c.Close()
	job := awaitMessage[sv2.NewMiningJob](s.t, c)
	for job.Future {
		job = awaitMessage[sv2.NewMiningJob](s.t, c)
	}
	if job.MerkleRoot == old.root {
		s.t.Fatal("a new process sends the old one's search space again")
	}
	for _, id := range []uint32{old.share.JobID, job.JobID} {
		again := old.share
		again.ChannelID, again.JobID = channel, id
		if err := c.Send(again); err != nil {
			s.t.Fatal(err)
		}
		f, err := c.AwaitType(10*time.Second, sv2.TypeSubmitSharesSuccess, sv2.TypeSubmitSharesError)
		if err != nil {
			s.t.Fatal(err)
		}
		if _, refused := f.Message.(sv2.SubmitSharesError); !refused {
			s.t.Errorf("an old share under job %d was answered with %+v", id, f.Message)
		}
	}
}

// openScripted opens a channel whose shares take 100,000 hashes: luck does not find one.
func (s *site) openScripted() (*stratumtest.Client, uint32, pool.Target) {
	s.t.Helper()
	c, err := stratumtest.Dial(s.t.Context(), s.listen[0], &s.authority)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := c.Setup(sv2.RequiresStandardJobs); err != nil {
		s.t.Fatal(err)
	}
	hard := pool.TargetForHashes(100_000)
	ok, err := c.OpenStandard("scripted.one", 1000, hard)
	if err != nil {
		s.t.Fatal(err)
	}
	return c, ok.ChannelID, pool.TargetFromBytes(&ok.Target)
}

func awaitMessage[M any](t *testing.T, c *stratumtest.Client) M {
	t.Helper()
	m, err := stratumtest.Await[M](c, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Ensure that the operator sees a curtailment work from preview to proof, that a dry run orders nothing, and
// that reports of it are told in every form and checked where no server is.
func TestProgram_CurtailsASiteWithProof(t *testing.T) {
	if testing.Short() {
		t.Skip("starts btcd and a site; the full run is make test")
	}
	s := newTestSite(t, 24)
	s.startServer()
	s.runSite()
	s.eventually("every miner has work", time.Minute, func() bool { return s.sim.Stats().Mining == 24 })
	s.eventually("the meters are read", time.Minute, func() bool {
		return strings.Contains(s.command("status"), "ok")
	})
	before := s.sim.Stats().Watts
	s.eventually("a preview names workers", time.Minute, func() bool { // once their agents are there
		dry := s.command("site", "curtail", "north", "12kW", "--for", "1m", "--dry-run", "--json")
		return strings.Contains(dry, "north.asic-")
	})
	time.Sleep(2 * time.Second) // nothing is to happen in this time
	if after := s.sim.Stats().Watts; after < before*97/100 {
		t.Errorf("a dry run took mining from %v to %v", before, after)
	}
	out := s.command("site", "curtail", "north", "12kW", "--for", "1m", "--json")
	if !strings.Contains(out, `"proven":true`) {
		t.Errorf("no proof in the answer: %s", out)
	}
	if after := s.sim.Stats().Watts; after > before-11*unit.Kilowatt {
		t.Errorf("mining went from %v to %v: 12 kW less were ordered and proven", before, after)
	}
	s.checkReports("operator/1")
}

// Ensure that a demo too short to show anything is refused with what is accepted.
func TestDemo_RefusesWhatCannotWork(t *testing.T) {
	for _, args := range [][]string{
		{"demo", "--for", "5s"}, {"demo", "--miners", "3"}, {"demo", "--json"},
	} {
		var stderr bytes.Buffer
		if code := Main(t.Context(), args, strings.NewReader(""), &stderr, &stderr); code != exitUsage {
			t.Errorf("%v: exit status %d, want %d", args, code, exitUsage)
		}
		if !strings.Contains(stderr.String(), "accepted") && !slices.Contains(args, "--json") {
			t.Errorf("%v: %s does not say what is accepted", args, &stderr)
		}
	}
}

// meets hashes the header of a share and compares it with a target.
func meets(sh *sv2.SubmitSharesStandard, tip *sv2.SetNewPrevHash, root [32]byte, target pool.Target) bool {
	header := make([]byte, 0, 80)
	header = binary.LittleEndian.AppendUint32(header, sh.Version)
	header = append(header, tip.PrevHash[:]...)
	header = append(header, root[:]...)
	header = binary.LittleEndian.AppendUint32(header, sh.Time)
	header = binary.LittleEndian.AppendUint32(header, tip.Bits)
	header = binary.LittleEndian.AppendUint32(header, sh.Nonce)
	hash := chainhash.DoubleHashRaw(func(w io.Writer) error { _, err := w.Write(header); return err })
	return target.Meets((*[32]byte)(&hash))
}
