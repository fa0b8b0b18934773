package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashlease/hashlease/cmd/hashsim/sim"
	"github.com/hashlease/hashlease/pool/node"
)

// statusView is what the tests read of `hashlease status --json`.
type statusView struct {
	Pool struct {
		NodeState string `json:"node_state"`
		Height    int    `json:"height"`
		Sessions  int64  `json:"sessions,string"`
		Channels  int64  `json:"channels,string"`
	} `json:"pool"`
	Feeders []struct {
		Feeder  string `json:"feeder"`
		State   string `json:"state"`
		Tenants int64  `json:"tenant_watts,string"`
	} `json:"feeders"`
}

// blockView is a line of `hashlease blocks --json`.
type blockView struct {
	Hash    string `json:"hash"`
	Height  int    `json:"height"`
	Outcome string `json:"outcome"`
}

func (s *site) status() (v statusView) {
	s.t.Helper()
	s.decode(&v, "status", "--json")
	return v
}

func (s *site) blocks() (list []blockView) {
	s.t.Helper()
	s.decode(&list, "blocks", "--json")
	return list
}

// decode runs a command that prints JSON.
func (s *site) decode(into any, args ...string) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(s.command(args...)), into); err != nil {
		s.t.Fatalf("reading %v: %v", args, err)
	}
}

// answers says whether the operator's port answers at all.
func (s *site) answers() bool {
	var out bytes.Buffer
	args := []string{"status", "--server", s.listen[1], "--ca", s.caFile(), "--key", s.keys.admin}
	return Main(s.t.Context(), args, strings.NewReader(""), &out, &out) == 0
}

// configure changes the configuration file, for the next start of the server.
func (s *site) configure(pattern, replacement string) {
	s.t.Helper()
	path := filepath.Join(s.dir, configFile)
	text, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	expr := regexp.MustCompile(pattern)
	if !expr.Match(text) {
		s.t.Fatalf("the configuration has nothing like %s", pattern)
	}
	if err := os.WriteFile(path, expr.ReplaceAll(text, []byte(replacement)), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// logged is what the server wrote since it was started for the first time.
func (s *site) logged() string {
	s.t.Helper()
	text, err := os.ReadFile(s.output.Name())
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

func skipShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts btcd and a site and breaks them; the full run is make test")
	}
}

// Ensure that miners keep their connections and found blocks their value whatever happens to the nodes: away
// at the start, stopped one after the other, back again, or not the ones that were configured.
func TestFaults_MinersStayWhateverTheNodesDo(t *testing.T) {
	skipShort(t)
	t.Parallel()
	const miners = 24
	s := newTestSite(t, miners)
	s.hashFaster()
	s.addPeer() // btcd gives no templates without one
	s.nodes[0].Stop()
	s.nodes[1].Stop()
	s.startServer()
	s.runSite()
	s.eventually("every miner is connected", 20*time.Second, func() bool {
		return s.answers() && s.status().Pool.Channels == miners
	})
	s.eventually("the state says away", 5*time.Second, func() bool {
		return strings.HasPrefix(s.status().Pool.NodeState, "away: node btcd-1")
	})
	if st := s.sim.Stats(); st.Mining != 0 || st.Sessions != miners {
		t.Errorf("without a node %d miners have work, after %d sessions", st.Mining, st.Sessions)
	}
	s.startAgain(0, 1)
	s.awaitMiners(miners)

	s.nodes[0].Stop()
	before := len(s.blocks())
	var taken int
	s.eventually("the second node takes a block", 3*time.Minute, func() bool {
		list := s.blocks()
		if len(list) == before {
			return false
		}
		taken = list[0].Height
		return confirmed(t.Context(), s.nodes[1], list[0].Hash)
	})
	// Until there is a template on top of it, what is found would be its rival, and lose.
	s.eventually("miners have work on top of it", time.Minute, func() bool {
		return s.status().Pool.Height > taken
	})
	s.nodes[1].Stop()
	s.eventually("the state says away", 20*time.Second, func() bool {
		return strings.HasPrefix(s.status().Pool.NodeState, "away")
	})
	var spooled blockView
	s.eventually("a block is found without a node", 3*time.Minute, func() bool {
		for _, b := range s.blocks() { // the oldest one without an outcome is the first of its height
			if b.Outcome == "sending" && b.Height > taken {
				spooled = b
			}
		}
		return spooled.Hash != ""
	})
	s.stop() // and it survives a restart
	s.startServer()
	s.startAgain(0, 1)
	// Miners may have found rivals of its height: any one of ours may win.
	s.eventually("a spooled block is accepted", 30*time.Second, func() bool {
		return s.answers() && slices.ContainsFunc(s.blocks(), func(b blockView) bool {
			return b.Height == spooled.Height && confirmed(t.Context(), s.nodes[0], b.Hash)
		})
	})
	s.awaitMiners(miners)
	sessions := s.sim.Stats().Sessions
	if sessions != 2*miners {
		t.Errorf("%d sessions for %d miners: one each before and after the restart", sessions, miners)
	}
	s.checkWrongNodes(miners)
	s.checkShares()
	s.stop()
}

// hashFaster makes blocks come four times as often as in a demo.
func (s *site) hashFaster() {
	s.t.Helper()
	scale := s.sim.Scale() / 4
	meters := s.sim.Addr()
	err := s.sim.Close()
	if err == nil {
		s.sim, err = sim.New(sim.Config{
			Plan: s.plan, Seed: 1, Scale: scale, Meters: meters, Dialects: sim.Mixed, Log: s.log,
		})
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.configure(`hash_scale = .*`, fmt.Sprintf("hash_scale = %g", 1/scale))
}

// addPeer starts a node that the server does not know and the others are connected to: the rest of
// the network.
func (s *site) addPeer() {
	s.t.Helper()
	path, err := node.BuildBtcd(s.t.Context(), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	dir := filepath.Join(s.dir, "btcd-3")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		s.t.Fatal(err)
	}
	child, err := node.NewChild(node.ChildConfig{
		Path: path, Dir: dir, Network: node.Signet([]byte{0x51}),
		Connect: []string{s.nodes[0].P2P(), s.nodes[1].P2P()},
	})
	if err == nil {
		err = child.Start(s.t.Context())
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.nodes = append(s.nodes, child)
}

// checkWrongNodes restarts the server for a wrong network and for a wrong password.
func (s *site) checkWrongNodes(miners int64) {
	s.t.Helper()
	for _, wrong := range []struct{ pattern, with, undo, state string }{
		{`network = "signet:51"`, `network = "signet:52"`, `network = "signet:51"`, "wrong network"},
		{`(?m)^(\s*)user = "hashlease"`, `${1}user = "somebody"`, `${1}user = "hashlease"`, "access denied"},
	} {
		s.stop()
		s.configure(wrong.pattern, wrong.with)
		s.startServer()
		s.eventually(wrong.state+" is said and every miner connected", 30*time.Second, func() bool {
			if !s.answers() {
				return false
			}
			st := s.status().Pool
			return strings.HasPrefix(st.NodeState, wrong.state) && st.Channels == miners
		})
		time.Sleep(3 * time.Second) // nothing is to change in this time
		if st := s.status().Pool; st.Channels != miners || !strings.HasPrefix(st.NodeState, wrong.state) {
			s.t.Errorf("%s: now %d miners, node %s", wrong.state, st.Channels, st.NodeState)
		}
		s.configure(strings.ReplaceAll(wrong.with, "${1}", `(?m)^(\s*)`), wrong.undo)
	}
	s.stop()
	s.startServer()
	s.eventually("every miner has work again", 30*time.Second, func() bool {
		return s.sim.Stats().Mining == int(miners)
	})
}

// awaitMiners waits until so many miners have work.
func (s *site) awaitMiners(n int) {
	s.t.Helper()
	s.eventually("every miner has work", 30*time.Second, func() bool { return s.sim.Stats().Mining == n })
}

// startAgain starts nodes that were stopped.
func (s *site) startAgain(which ...int) {
	s.t.Helper()
	for _, i := range which {
		if err := s.nodes[i].Start(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
	}
}
