package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashlease/hashlease/cmd/hashsim/sim"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/storage"
	"github.com/hashlease/hashlease/storage/wal"
)

// overlapping are leases on every feeder, two of them one after the other on the first.
func overlapping() (list []sim.Demand) {
	for i, span := range []int{15, 25, 35, 20, 12} {
		after, feeder := 6*time.Second, fmt.Sprintf("f%d", i+1)
		if i == 4 {
			after, feeder = 34*time.Second, "f1"
		}
		list = append(list, sim.Demand{
			Site: "north", Feeder: feeder, Watts: 8 * unit.Kilowatt,
			After: after + time.Duration(i)*2*time.Second, Notice: 12 * time.Second,
			For: time.Duration(span) * time.Second,
		})
	}
	return list
}

// Ensure that a server that is killed again and again, in every state of a lease, loses nothing that it
// acknowledged, books nothing twice, delivers what it sold and never passes the limit; that a second server
// keeps off its storage; and that SIGTERM sends the miners away and leaves orders in force.
func TestFaults_ServerSurvivesKillsDuringLeases(t *testing.T) {
	skipShort(t)
	t.Parallel()
	const miners = 50
	s := newTestSite(t, miners)
	s.startServer()
	s.runSite(overlapping()...)
	s.eventually("every miner has work", time.Minute, func() bool { return s.sim.Stats().Mining == miners })
	s.checkSecondServer()
	s.sim.MarkTruth()
	for _, moment := range []string{"SCHEDULED", "PREPARING", "ACTIVE", "ENDING", ""} {
		if moment != "" {
			s.eventually("a lease is "+moment, 90*time.Second, func() bool { return s.anyLease(moment) })
		}
		time.Sleep(rand.N(1500 * time.Millisecond)) //nolint:gosec // where it is killed is to be by chance
		s.kill()
		time.Sleep(rand.N(time.Second)) //nolint:gosec // as above
		s.startServer()
		s.eventually("the server answers", 15*time.Second, s.answers)
	}
	s.checkDrain(miners)
	s.eventually("all leases are over", 2*time.Minute, func() bool {
		list := s.tenant.Reports()
		for _, l := range list {
			if !finalState(l.State) {
				return false
			}
		}
		return len(list) == len(overlapping())
	})
	s.checkDelivered()
	s.checkShares()
	if truth := s.sim.Truth(); truth.SecondsOverLimit != 0 {
		t.Errorf("the limit was passed for %.2f s: %+v", truth.SecondsOverLimit, truth.Feeders)
	}
	s.stop()
}

func (s *site) anyLease(state string) bool {
	for _, l := range s.tenant.Reports() {
		if l.State == state {
			return true
		}
	}
	return false
}

// checkDelivered compares what the server says that it delivered with the tenants' true energy.
func (s *site) checkDelivered() {
	s.t.Helper()
	var list []leaseView
	s.asTenant(&list, "lease", "list")
	if len(list) != len(overlapping()) {
		s.t.Errorf("%d leases are booked, %d were asked for", len(list), len(overlapping()))
	}
	delivered := map[string]float64{}
	for _, l := range list {
		if l.State != "LEASE_STATE_COMPLETED" {
			s.t.Errorf("%s on %s ended as %s: %s", l.Name, l.Feeder, l.State, l.Reason)
		}
		delivered[l.Feeder[strings.LastIndexByte(l.Feeder, '/')+1:]] += float64(l.Delivered)
	}
	for _, f := range s.sim.Truth().Feeders {
		got, want := delivered[string(f.Feeder)], f.TenantEnergy
		s.t.Logf("%s: %.0f J delivered by the server's account, %.0f J in truth", f.Feeder, got, want)
		if got < 0.9*want || got > 1.02*want {
			s.t.Errorf("%s: %.0f J delivered by the server's account, %.0f J in truth", f.Feeder, got, want)
		}
	}
}

// checkSecondServer starts another server on the same storage directory.
func (s *site) checkSecondServer() {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, configFile))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, addr := range s.listen {
		text = bytes.ReplaceAll(text, []byte(addr), []byte(freeAddress(s.t)))
	}
	second := filepath.Join(s.dir, "second.toml")
	if err := os.WriteFile(second, text, 0o600); err != nil {
		s.t.Fatal(err)
	}
	before := s.status().Pool
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, s.program, "serve", "--config", second).CombinedOutput()
	if err == nil || ctx.Err() != nil {
		s.t.Fatalf("a second server ended with %v:\n%s", err, out)
	}
	if !strings.Contains(string(out), "another process") || !strings.Contains(string(out), "book.db") {
		s.t.Errorf("a second server does not say what is in its way: %s", out)
	}
	if after := s.status().Pool; after.Channels != before.Channels {
		s.t.Errorf("%d channels before a second server, %d after", before.Channels, after.Channels)
	}
}

// checkDrain ends the server with SIGTERM while a lease holds machines down.
func (s *site) checkDrain(miners int) {
	s.t.Helper()
	s.eventually("every miner is back", 30*time.Second, func() bool { return s.sim.Stats().Mining == miners })
	s.eventually("a lease is ACTIVE", time.Minute, func() bool { return s.anyLease("ACTIVE") })
	sessions, before := s.sim.Stats().Sessions, s.sim.Stats().States["sleep"]
	if before == 0 {
		s.t.Error("a lease is ACTIVE and no machine sleeps")
	}
	began := time.Now()
	s.stop()
	if took := time.Since(began); took > drainLimit {
		s.t.Errorf("the drain took %v: %v is the limit", took, drainLimit)
	}
	// Another feeder's lease may have ended meanwhile and one or two come back; a server that lets go
	// of its orders would wake all.
	if after := s.sim.Stats().States["sleep"]; 2*after < before {
		s.t.Errorf("%d machines slept before SIGTERM, %d after", before, after)
	}
	s.startServer()
	s.eventually("every miner is back", 30*time.Second, func() bool {
		st := s.sim.Stats()
		return st.Mining == miners && st.Sessions >= sessions+uint64(miners)
	})
}

// Ensure that a full disk costs nothing that was acknowledged: shares are not acknowledged, the server says
// why and lives, and goes on when there is room.
func TestFaults_FullDiskAcknowledgesNothing(t *testing.T) {
	skipShort(t)
	t.Parallel()
	const miners = 16
	s := newTestSite(t, miners)
	dir := filepath.Join(s.dir, "data")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"); err != nil {
		t.Skipf("a disk that can be filled needs the right to mount one: %v", err)
	}
	t.Cleanup(func() {
		if s.server != nil {
			s.kill()
			s.server = nil
		}
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	fillShares(t, dir)
	ballast := filepath.Join(dir, "ballast")
	fill(t, ballast)
	if err := os.Truncate(ballast, sizeOf(t, ballast)-3<<20); err != nil { // the book's first pages
		t.Fatal(err)
	}
	s.startServer()
	s.runMiners()
	s.awaitAcked(2 * miners)
	fill(t, ballast+"2")
	s.eventually("the server says why", time.Minute, func() bool {
		return strings.Contains(s.logged(), "no space left")
	})
	time.Sleep(3 * time.Second) // what was durable before is acknowledged by now
	acked := s.sim.Stats().Acked
	time.Sleep(5 * time.Second) // nothing is to be acknowledged in this time
	if now := s.sim.Stats().Acked; now > acked {
		t.Errorf("%d shares were acknowledged on a full disk", now-acked)
	}
	if !s.answers() {
		t.Error("the operator's port does not answer on a full disk")
	}
	if n := strings.Count(s.logged(), "no space left"); n > 200 {
		t.Errorf("a full disk is told %d times in a few seconds", n)
	}
	if err := errors.Join(os.Remove(ballast), os.Remove(ballast+"2")); err != nil {
		t.Fatal(err)
	}
	s.awaitAcked(acked + miners)
	s.checkShares()
	s.stop()
	s.startServer()
	s.eventually("every miner is back", 30*time.Second, func() bool {
		return s.answers() && s.sim.Stats().Mining == miners
	})
	s.checkShares()
	s.stop()
	s.checkEvidence()
}

// fillShares makes a share journal in dir whose room, which is set aside in whole files, is used up
// but for some sixty commits.
func fillShares(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, sharesDir)
	j, err := wal.Open(path, wal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	room := sizeOf(t, filepath.Join(path, "0000000000000001.seg")) - 80*4096
	const step = 3<<16 + 4096 // a record and what is written about it
	for used := int64(step); used <= room; used += step {
		w := storage.Write{Stream: "filler", Expect: storage.Any, Records: [][]byte{make([]byte, 3<<16)}}
		if _, err := j.Append(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	// The next file, made ready ahead: it has nothing in it, and there will be no room for another.
	if err := os.Remove(filepath.Join(path, "0000000000000002.seg")); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
}

func sizeOf(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// awaitAcked waits until the miners have more than n shares acknowledged.
func (s *site) awaitAcked(n uint64) {
	s.t.Helper()
	s.eventually("shares are acknowledged", time.Minute, func() bool { return s.sim.Stats().Acked > n })
}

// fill writes to a file until the disk is full.
func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for chunk := make([]byte, 1<<20); len(chunk) > 0; {
		if _, err := f.Write(chunk); err != nil {
			chunk = chunk[:len(chunk)/2]
		}
	}
}
