package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashlease/hashlease/cmd/hashsim/sim"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/stratum/stratumtest"
)

// handOver starts another server that takes over, ends the running one and waits for that.
func (s *site) handOver() {
	s.t.Helper()
	before := strings.Count(s.logged(), "ready to take over")
	old := s.server
	s.server = exec.Command(s.program, "serve", "--take-over", "--config", filepath.Join(s.dir, configFile))
	s.server.Stdout, s.server.Stderr = s.output, s.output
	if err := s.server.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.eventually("the next server is ready to take over", 20*time.Second, func() bool {
		return strings.Count(s.logged(), "ready to take over") > before
	})
	if err := old.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	if err := old.Wait(); err != nil {
		s.t.Errorf("the server before ended with %v", err)
	}
}

// knocker connects as miners do, again and again, and notes how it was received.
type knocker struct {
	connect func(context.Context) (io.Closer, error)

	refused int // connections that the system refused
	cut     int // connections that ended before the handshake did
	served  int
	longest time.Duration // from the connect to the end of the handshake
}

func (k *knocker) run(ctx context.Context) {
	for ctx.Err() == nil {
		began := time.Now()
		c, err := k.connect(ctx)
		switch {
		case err == nil:
			k.served++
			k.longest = max(k.longest, time.Since(began))
			_ = c.Close()
		case errors.Is(err, syscall.ECONNREFUSED):
			k.refused++
		case ctx.Err() == nil:
			k.cut++
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// Ensure that several hand-overs in a row, in the middle of a lease and with miners submitting all the while,
// refuse no connection, lose no acknowledged share, credit none twice, wake no machine and end no lease.
func TestTakeOver_LosesNothingInSeveralHandOvers(t *testing.T) {
	skipShort(t)
	t.Parallel()
	const miners, times = 40, 4
	s := newTestSite(t, miners)
	s.startServer()
	s.runSite(sim.Demand{
		Site: "north", Feeder: "f2", Watts: 12 * unit.Kilowatt,
		After: 4 * time.Second, Notice: 12 * time.Second, For: 45 * time.Second,
	})
	s.eventually("every miner has work", time.Minute, func() bool { return s.sim.Stats().Mining == miners })
	s.sim.MarkTruth()
	s.eventually("the lease is active", time.Minute, func() bool { return s.lease().State == "ACTIVE" })
	knocks := &knocker{connect: func(ctx context.Context) (io.Closer, error) {
		return stratumtest.Dial(ctx, s.listen[0], &s.authority)
	}}
	ctx, cancel := context.WithCancel(t.Context())
	var knocking sync.WaitGroup
	knocking.Go(func() { knocks.run(ctx) })
	for range times {
		old := s.mineOneShare()
		st := s.sim.Stats()
		s.handOver()
		asleep := s.sim.Stats().States["sleep"]
		if s.lease().State == "ACTIVE" && asleep < st.States["sleep"] {
			t.Errorf("%d machines slept before a hand-over, %d after", st.States["sleep"], asleep)
		}
		s.eventually("every miner is back", 30*time.Second, func() bool {
			now := s.sim.Stats()
			return now.Mining == miners && now.Sessions >= st.Sessions+miners
		})
		s.refuseOldShare(old)
		s.awaitAcked(s.sim.Stats().Acked + miners)
		s.checkShares()
	}
	cancel()
	knocking.Wait()
	t.Logf("%d connections: %d refused, %d cut, the longest waited %v",
		knocks.served, knocks.refused, knocks.cut, knocks.longest.Round(time.Millisecond))
	if knocks.refused != 0 {
		t.Errorf("%d connections were refused in %d hand-overs", knocks.refused, times)
	}
	s.eventually("the lease is over", 2*time.Minute, func() bool { return finalState(s.lease().State) })
	if l := s.lease(); l.State != "COMPLETED" {
		t.Errorf("the lease ended as %s: %s", l.State, l.Reason)
	}
	if truth := s.sim.Truth(); truth.SecondsOverLimit != 0 {
		t.Errorf("the limit was passed for %.2f s: %+v", truth.SecondsOverLimit, truth.Feeders)
	}
	s.checkShares()
	s.stop()
	for line := range strings.Lines(s.logged()) {
		if strings.Contains(line, "took over") || strings.Contains(line, "journals are closed") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

// Ensure that waiting for a server that does not end is bounded, says what it waits for, and changes nothing.
func TestTakeOver_WaitIsBoundedAndSaysWhy(t *testing.T) {
	skipShort(t)
	t.Parallel()
	s := newTestSite(t, 8)
	s.startServer()
	s.runMiners()
	s.eventually("every miner has work", time.Minute, func() bool { return s.sim.Stats().Mining == 8 })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, s.program, "serve", "--take-over", "--within", "2s",
		"--config", filepath.Join(s.dir, configFile)).CombinedOutput()
	if err == nil || ctx.Err() != nil {
		t.Fatalf("it ended with %v:\n%s", err, out)
	}
	for _, want := range []string{
		fmt.Sprintf("(process %d)", s.server.Process.Pid), "send it SIGTERM", "did not end within 2s",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("it does not say %q: %s", want, out)
		}
	}
	if n := s.sim.Stats(); n.Mining != 8 || n.Sessions != 8 {
		t.Errorf("%d miners have work after %d sessions", n.Mining, n.Sessions)
	}
	s.awaitAcked(s.sim.Stats().Acked + 8)
	s.stop()
}

// Ensure that ports change hands as they are: a connection made while nobody accepts is served by the heir.
func TestGiver_HandsOverPortsWithTheirQueue(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 20), strings.Repeat("path", 20))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if h, err := inherit(dir); h != nil || err != nil {
		t.Fatalf("where nobody serves there is %v, %v", h, err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := estatePort{"stratum", "127.0.0.1:0"}
	silent := slog.New(slog.DiscardHandler)
	g, err := newGiver(dir, estate{Ports: []estatePort{port}}, []net.Listener{ln}, silent)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { _ = g.run() })
	h, err := inherit(dir)
	if err != nil || h == nil {
		t.Fatalf("inherited %v, %v", h, err)
	}
	if h.pid != os.Getpid() {
		t.Errorf("process %d is named, this is %d", h.pid, os.Getpid())
	}
	if err := errors.Join(g.close(), ln.Close()); err != nil {
		t.Error(err)
	}
	running.Wait()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatalf("between two servers: %v", err)
	}
	defer conn.Close()
	if h.take(estatePort{"stratum", "127.0.0.1:1"}) != nil {
		t.Error("a port is given for another address")
	}
	mine := h.take(port)
	far, err := mine.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if far.RemoteAddr().String() != conn.LocalAddr().String() {
		t.Errorf("%v is accepted, %v had connected", far.RemoteAddr(), conn.LocalAddr())
	}
	_ = far.Close()
	if err := errors.Join(mine.Close(), h.close()); err != nil {
		t.Error(err)
	}
	if left, err := inherit(dir); left != nil || err != nil {
		t.Errorf("after the end there is %v, %v", left, err)
	}
}

// Ensure that ports which are configured by the same words are all handed over, and that those which nobody
// takes are closed.
func TestOpenEstate_KeepsPortsOfTheSameWords(t *testing.T) {
	port := estatePort{"stratum.port", "127.0.0.1:0"}
	var lns []net.Listener
	for range 3 {
		ln, err := net.Listen("tcp", port.Listen)
		if err != nil {
			t.Fatal(err)
		}
		lns = append(lns, ln)
	}
	text, err := json.Marshal(estate{PID: 1, Ports: []estatePort{port, port, port}})
	if err != nil {
		t.Fatal(err)
	}
	var h *heir
	err = withDescriptors(lns, nil, func(fds []int) error {
		sent := make([]int, len(fds))
		for i, fd := range fds {
			dup, err := syscall.Dup(fd)
			if err != nil {
				return err
			}
			sent[i] = dup
		}
		h, err = openEstate(text, syscall.UnixRights(sent...))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, ln := range lns {
		_ = ln.Close()
	}
	for i, ln := range lns[:2] {
		got := h.take(port)
		if got == nil || got.Addr().String() != ln.Addr().String() {
			t.Fatalf("port %d is %v, want %v", i, got, ln.Addr())
		}
		_ = got.Close()
	}
	last := lns[2].Addr().String()
	if conn, err := net.Dial("tcp", last); err != nil {
		t.Errorf("the third is lost: %v", err)
	} else {
		_ = conn.Close()
	}
	if err := h.close(); err != nil {
		t.Error(err)
	}
	if conn, err := net.Dial("tcp", last); err == nil {
		_ = conn.Close()
		t.Error("a port that nobody took stays open")
	}
	if got := h.take(port); got != nil {
		t.Errorf("after the end there is %v", got)
	}
}

// Ensure that a text or descriptors that do not fit are refused and nothing stays open.
func TestOpenEstate_RefusesWhatDoesNotFit(t *testing.T) {
	for name, text := range map[string]string{
		"no text": "", "not JSON": "{", "ports that did not come": `{"pid":1,"ports":[{"name":"stratum"}]}`,
	} {
		if h, err := openEstate([]byte(text), nil); err == nil {
			t.Errorf("%s gives %v", name, h)
		}
	}
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	fd, err := syscall.Dup(int(file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	text := []byte(`{"pid":1,"ports":[{"name":"stratum","listen":":1"}]}`)
	if h, err := openEstate(text, syscall.UnixRights(fd)); err == nil {
		t.Errorf("a descriptor that is no socket gives %v", h)
	}
	if err := syscall.Fstat(fd, new(syscall.Stat_t)); !errors.Is(err, syscall.EBADF) {
		t.Errorf("a descriptor of no use stays open: %v", err)
	}
}

// Ensure that a wait that cannot be meant is refused with what is accepted.
func TestServe_RefusesAWaitOutOfRange(t *testing.T) {
	var stderr bytes.Buffer
	s := newConfigured(t)
	args := []string{"serve", "--take-over", "--within", "0s", "--config", s}
	if code := Main(t.Context(), args, strings.NewReader(""), &stderr, &stderr); code != exitUsage {
		t.Errorf("exit status %d: %s", code, &stderr)
	}
	if !strings.Contains(stderr.String(), "is accepted, as 10m") {
		t.Errorf("%s does not say what is accepted", &stderr)
	}
}

// newConfigured is a configuration that init wrote.
func newConfigured(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	var out bytes.Buffer
	args := []string{
		"init", "--dir", dir, "--network", "regtest",
		"--payout", "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
	}
	if code := Main(t.Context(), args, strings.NewReader(""), &out, &out); code != exitOK {
		t.Fatal(out.String())
	}
	return filepath.Join(dir, configFile)
}
