package load

import (
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// waiting is a client that has sent shares of these kinds.
func waiting(kinds ...pool.Reject) *client {
	c := &client{came: time.Now(), ring: make([]sent, ringSize)}
	for _, k := range kinds {
		c.ring[c.sequence] = sent{at: c.came.Add(-time.Millisecond), bad: k, counted: true}
		c.sequence++
	}
	return c
}

// Ensure that the server's difficulty is one that no rate of shares can move.
func TestServerConfig_PinsTheDifficulty(t *testing.T) {
	cfg := serverConfig(16)
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	if cfg.MinDifficulty != cfg.MaxDifficulty ||
		pool.TargetForHashes(cfg.MaxDifficulty*0x1p32) != pool.MaxTarget {
		t.Errorf("difficulty is %v to %v", cfg.MinDifficulty, cfg.MaxDifficulty)
	}
}

// Ensure that right answers count as such, each once, with its latency.
func TestClient_CountsAnswers(t *testing.T) {
	c := waiting(pool.RejectNone, pool.RejectTime, pool.RejectNone, pool.RejectNone)
	c.refusalLocked(sv2.SubmitSharesError{Sequence: 1, Code: pool.RejectTime.Code()})
	c.ackLocked(sv2.SubmitSharesSuccess{LastSequence: 2, Accepted: 2})
	c.ackLocked(sv2.SubmitSharesSuccess{LastSequence: 3, Accepted: 1})
	g := c.tally
	if g.accepted != 3 || g.refused != 1 || g.wrong != 0 || len(g.acks) != 3 || len(g.refusals) != 1 {
		t.Errorf("tally is %+v", g)
	}
	if s := spread(c.tally.acks); s.P50 != 1 || s.Count != 3 {
		t.Errorf("spread is %+v", s)
	}
}

// Ensure that a server which does not judge is noticed.
func TestClient_NoticesWrongAnswers(t *testing.T) {
	for name, answer := range map[string]func(c *client){
		"a good share refused": func(c *client) {
			c.refusalLocked(sv2.SubmitSharesError{Sequence: 0, Code: pool.RejectDuplicate.Code()})
		},
		"a bad share refused for another reason": func(c *client) {
			c.refusalLocked(sv2.SubmitSharesError{Sequence: 1, Code: pool.RejectDuplicate.Code()})
		},
		"a bad share acknowledged": func(c *client) {
			c.ackLocked(sv2.SubmitSharesSuccess{LastSequence: 1, Accepted: 2})
		},
		"a share acknowledged twice": func(c *client) {
			c.ackLocked(sv2.SubmitSharesSuccess{LastSequence: 0, Accepted: 1})
			c.ackLocked(sv2.SubmitSharesSuccess{LastSequence: 0, Accepted: 1})
		},
	} {
		c := waiting(pool.RejectNone, pool.RejectTime)
		if answer(c); c.tally.wrong != 1 || c.tally.example == "" {
			t.Errorf("%s: tally is %+v", name, c.tally)
		}
	}
}

// Ensure that /proc is understood: this process has memory, and uses CPU time.
func TestProc_IsRead(t *testing.T) {
	w, err := openWindow(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for now := w.server; now < w.server+tick; {
		if now, err = CPUOf(os.Getpid()); err != nil {
			t.Fatal(err)
		}
	}
	got, err := w.close()
	// Both are this process, read one after the other: a tick may fall between.
	apart := time.Duration(math.Abs(got.LoadCPU-got.ServerCPU) * float64(time.Second)).Round(tick)
	if err != nil || got.ServerCPU <= 0 || apart > tick {
		t.Errorf("window is %+v, %v", got, err)
	}
	if n, err := residentOf(os.Getpid()); err != nil || n < 1<<20 {
		t.Errorf("resident memory is %d, %v", n, err)
	}
	if _, err := CPUOf(1 << 30); err == nil || !strings.Contains(err.Error(), "reading CPU time") {
		t.Errorf("a process that is not there: %v", err)
	}
	if m := describe(); m.Cores < 1 || m.Memory < 1<<20 || m.Kernel == "" {
		t.Errorf("machine is %+v", m)
	}
	if err := descriptors(1 << 40); err == nil || !strings.Contains(err.Error(), "are needed") {
		t.Errorf("more files than there can be: %v", err)
	}
}
