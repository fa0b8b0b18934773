package stratum_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum"
	"github.com/hashlease/hashlease/stratum/stratumtest"
)

// Ensure that the firmware in the field gets what the transcripts in testdata/clients/v1 say. Each file is
// named after a profile of stratumtest. A transcript is a list of blocks: what the firmware does, a line
// ----, what was said (the firmware behind >), an empty line. The commands are the methods of v1Peer.
func TestServer_TalksToV1FirmwareAsItIs(t *testing.T) {
	t.Parallel()
	for _, profile := range stratumtest.V1Profiles() {
		t.Run(profile.Name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join("testdata/clients/v1", profile.Name+".txt")
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := talkV1(t, profile, string(raw))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(string(raw), got); d != "" {
				t.Errorf("transcript (-want +got):\n%s", d)
			}
		})
	}
}

// talkV1 plays a transcript and returns it with what was said.
func talkV1(t *testing.T, profile stratumtest.V1Profile, text string) string {
	t.Helper()
	p := newV1Peer(t, profile)
	var out strings.Builder
	for block := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		commands, _, _ := strings.Cut(block, "\n----")
		out.WriteString(commands + "\n----\n")
		for line := range strings.SplitSeq(commands, "\n") {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				out.WriteString(p.run(line))
			}
		}
		out.WriteString("\n")
	}
	if limit := profile.Line; limit > 0 && p.longest > limit {
		t.Errorf("a line of %d bytes came, this firmware takes %d", p.longest, limit)
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// v1Peer is a firmware that does what a transcript says, on a server of its own whose clock and chain are
// made up.
type v1Peer struct {
	*peer

	hand    *stratumtest.V1Hand
	c       *stratumtest.V1Client
	fences  int
	longest int // line, in bytes
}

func newV1Peer(t *testing.T, profile stratumtest.V1Profile) *v1Peer {
	t.Helper()
	w := newWorld(t, func(c *stratum.Config) {
		c.MinDifficulty = 1e-9
		c.SharesPerMinute, c.OpeningShares = 2, 0 // so few that no pause of a test is evidence
		c.JobWithin = time.Hour                   // nor a reason for a job
	})
	p := &v1Peer{
		peer: &peer{w: w, height: 900_000, miner: &miner{t: t}},
		hand: &stratumtest.V1Hand{Profile: profile},
	}
	p.publish(p.template(12, false))
	p.dial()
	return p
}

func (p *v1Peer) dial() {
	p.t.Helper()
	c, err := stratumtest.DialV1(p.t.Context(), p.w.address, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = c.Close() })
	p.c, p.over = c, false
}

// run does what a line says and is what was said.
func (p *v1Peer) run(line string) string {
	name, rest, _ := strings.Cut(line, " ")
	a := words{t: p.t, keys: map[string]string{}}
	if name != "send" {
		for w := range strings.FieldsSeq(rest) {
			k, v, _ := strings.Cut(w, "=")
			a.keys[k] = v
		}
	}
	do, ok := map[string]func(words){
		"open": p.open, "share": p.share, "block": p.block, "template": p.fresh, "drain": p.drain,
		"reconnect": p.reconnect, "send": func(words) { p.send(rest) },
	}[name]
	if !ok {
		p.t.Fatalf("unknown command %q", line)
	}
	p.said.Reset()
	do(a)
	if !p.over {
		p.fence()
	}
	return p.said.String()
}

// next reads one message, writes it down and follows it.
func (p *v1Peer) next(what string) stratumtest.V1Message {
	p.t.Helper()
	m, err := p.c.Next(within)
	if err != nil {
		p.t.Fatalf("awaiting %s: %v, after\n%s", what, err, p.said.String())
	}
	p.take(&m)
	return m
}

func (p *v1Peer) take(m *stratumtest.V1Message) {
	p.t.Helper()
	if err := p.hand.Follow(m); err != nil {
		p.t.Fatalf("%v: %s", err, m.Line)
	}
	p.longest = max(p.longest, len(m.Line)+1)
	fmt.Fprintln(&p.said, p.describe(m))
}

// answered reads up to a reply.
func (p *v1Peer) answered(what string) {
	p.t.Helper()
	for {
		if m := p.next(what); m.Method == "" {
			return
		}
	}
}

// fence reads up to the answer of a question that is asked after everything else.
func (p *v1Peer) fence() {
	p.t.Helper()
	p.fences++
	id := fmt.Sprintf(`"fence %d"`, p.fences)
	if err := p.c.Send(`{"id":` + id + `,"method":"mining.ping","params":[]}`); err != nil {
		p.t.Fatal(err)
	}
	for {
		m, err := p.c.Next(within)
		if err != nil {
			p.t.Fatalf("awaiting the answer to a ping: %v, after\n%s", err, p.said.String())
		}
		if string(m.ID) == id {
			return
		}
		p.take(&m)
	}
}

func (p *v1Peer) send(line string) {
	p.t.Helper()
	fmt.Fprintln(&p.said, "> "+strings.ReplaceAll(line, p.session(), "SESSION"))
	if err := p.c.Send(line); err != nil {
		p.t.Fatal(err)
	}
}

// session is the id of the newest session: it is signed with a key that is made for each server.
func (p *v1Peer) session() string {
	if p.hand.Session == "" {
		return "no session"
	}
	return p.hand.Session
}

// open user= [password=] [scale=HASHES]: the opening of the profile, each message after the answer to the one
// before if the firmware waits
func (p *v1Peer) open(a words) {
	p.hand.Name = a.text("user", "alice.one")
	account := stratumtest.V1Account{
		Name: p.hand.Name, Password: a.text("password", "x"), Session: p.hand.Session,
		Scale: float64(a.number("scale", 1)),
	}
	for _, step := range p.hand.Profile.Opening {
		p.send(p.hand.Opening(step, account))
		if p.hand.Profile.Waits {
			p.answered("the answer to " + step.String())
		}
	}
	if !p.hand.Profile.Waits {
		for range p.hand.Profile.Opening {
			p.answered("the answers to the opening")
		}
	}
}

// share [job=ID] [later=SECONDS] [roll=BITS] [bits=1]: one that is mined, on the newest job unless told
// otherwise
func (p *v1Peer) share(a words) {
	roll := uint32(a.number("roll", 0))
	line, err := p.hand.Mine(stratumtest.V1Share{
		Job: a.text("job", ""), Later: uint32(a.number("later", 0)), Roll: roll,
		Bits: a.number("bits", 0) != 0 || p.hand.Profile.Unasked != 0,
	})
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.c.Send(line); err != nil {
		p.t.Fatal(err)
	}
	p.answered("the answer to a share")
}

// block [levels=N]: somebody found a block; the next has so many levels of merkle path
func (p *v1Peer) block(a words) { p.news(p.template(int(a.number("levels", 12)), true)) }

// template [levels=N]: other transactions on the same block
func (p *v1Peer) fresh(a words) { p.news(p.template(int(a.number("levels", 12)), false)) }

func (p *v1Peer) news(t *pool.Template) {
	p.publish(t)
	for {
		if m := p.next("new work"); m.Method == "mining.notify" {
			return
		}
	}
}

// reconnect: the connection is lost, and the firmware comes back with the session that it had
func (p *v1Peer) reconnect(words) {
	_ = p.c.Close()
	p.dial()
}

// drain: the server is shut down in order
func (p *v1Peer) drain(words) {
	stopped := make(chan error, 1)
	go func() { stopped <- p.w.server.Shutdown(p.t.Context()) }() // ends with the drain
	for {
		m, err := p.c.Next(within)
		if err != nil {
			p.over = true
			fmt.Fprintln(&p.said, "end of the connection")
			break
		}
		p.take(&m)
	}
	if err := <-stopped; err != nil {
		p.t.Fatal(err)
	}
}

// describe is a message in one line: a job by what matters of it, everything else as it stands.
func (p *v1Peer) describe(m *stratumtest.V1Message) string {
	if m.Method != "mining.notify" || len(m.Params) != 9 {
		return strings.ReplaceAll(m.Line, p.session(), "SESSION")
	}
	size := func(i int) int { return (len(m.Params[i]) - 2) / 2 }
	return fmt.Sprintf("mining.notify job=%s coinbase=%d+%d branches=%d version=%s nbits=%s ntime=%s "+
		"clean=%s bytes=%d", m.Params[0], size(2), size(3), strings.Count(string(m.Params[4]), `"`)/2,
		m.Params[5], m.Params[6], m.Params[7], m.Params[8], len(m.Line)+1)
}

// Ensure that no firmware is sent what it does not take: over new blocks and templates with as many branches
// as a block can have, each profile mines shares that count and has no fault to find.
func TestServer_TakesNoFirmwareBeyondItsLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *stratum.Config) {
		c.MinDifficulty, c.SharesPerMinute, c.OpeningShares = 1e-9, 600, 0
		for i := range c.Classes {
			c.Classes[i].MinDifficulty = 0 // a marketplace's is beyond a CPU: its transcript has it
		}
	})
	p := &peer{w: w, height: 900_000, miner: &miner{t: t}}
	p.publish(p.template(20, false))
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	grinder := stratumtest.NewGrinder(1)
	wg.Go(func() { _ = grinder.Run(ctx) })
	miners := map[string]*stratumtest.V1Miner{}
	for _, profile := range stratumtest.V1Profiles() {
		m := stratumtest.NewV1Miner(stratumtest.V1Config{
			Pool:    func() stratumtest.Endpoint { return stratumtest.Endpoint{Address: w.address} },
			Profile: profile, Identity: "alice." + profile.Name, Nominal: 3000, Grinder: grinder, Scale: 1e12,
		})
		miners[profile.Name] = m
		wg.Go(func() { _ = m.Run(ctx) })
	}
	for round := range uint64(4) {
		awaitAll(t, miners, round+1)
		p.publish(p.template(20, round%2 == 1))
	}
	for name, m := range miners {
		st := m.Stats()
		if len(st.Faults) > 0 || st.Sessions != 1 {
			t.Errorf("%s: %d sessions, faults %q", name, st.Sessions, st.Faults)
		}
		for words, n := range st.Rejected {
			if words != "stale share" {
				t.Errorf("%s: %d shares were refused as %q", name, n, words)
			}
		}
	}
}

// awaitAll waits until each miner has so many shares acknowledged.
func awaitAll(t *testing.T, miners map[string]*stratumtest.V1Miner, shares uint64) {
	t.Helper()
	behind := func(m *stratumtest.V1Miner) bool { return m.Stats().Acked < shares }
	deadline := time.Now().Add(time.Minute)
	for slices.ContainsFunc(slices.Collect(maps.Values(miners)), behind) {
		if time.Now().After(deadline) {
			for name, m := range miners {
				t.Errorf("%s: %+v", name, m.Stats())
			}
			t.FailNow()
		}
		time.Sleep(5 * time.Millisecond)
	}
}
