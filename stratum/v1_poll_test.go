package stratum

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool"
)

// pieces is a socket of the poller: reads give what has come, and never wait.
type pieces struct {
	net.Conn
	come, said []byte
}

func (c *pieces) Read(p []byte) (int, error) {
	if len(c.come) == 0 {
		return 0, syscall.EAGAIN
	}
	n := copy(p, c.come)
	c.come = c.come[n:]
	return n, nil
}

func (c *pieces) tryWrite(p []byte) (int, error) {
	c.said = append(c.said, p...)
	return len(p), nil
}

// pollV1 is a session with a channel that the poller calls.
func pollV1(t *testing.T) (*bench, *v1, *pieces) {
	t.Helper()
	b := newBench(t, func(c *Config) { c.MaxDifficulty = c.MinDifficulty }) // the target stays
	b.publish(template(100, 1, false))
	d, wire := b.v1Session(), new(pieces)
	d.out.conn, d.in, d.ownPoll = wire, newLines(wire, nil), true
	return b, d, wire
}

// submitText is a share of the newest job, by its nonce.
func submitText(d *v1, id, user string, nonce uint32) string {
	job := d.channels[d.channelID.Load()].group.best()
	return fmt.Sprintf(`{"id":%s,"method":"mining.submit","params":[%q,%q,"0000000000000000","%08x","%08x"]}`,
		id, user, d.srv.v1.appendID(nil, job), time.Now().Unix(), nonce) + "\n"
}

// commitV1 makes durable and answers what was accepted.
func commitV1(t *testing.T, d *v1) {
	t.Helper()
	batch := d.shard.swapAccepted(nil)
	d.shard.commitBatch(t.Context(), batch, &credits{index: map[pool.WorkerID]int{}})
	d.shard.settle(batch)
}

// Ensure that shares are judged where the poller reads them, though they come in pieces, and that a refusal
// is answered there.
func TestV1_JudgesSharesInThePoll(t *testing.T) {
	b, d, wire := pollV1(t)
	text := submitText(d, "3", "a.b", 1) + submitText(d, "4", "nobody", 1) + submitText(d, "5", "a.b", 1)
	for i := range text {
		wire.come = []byte(text[i : i+1])
		if !d.poll() {
			t.Fatalf("byte %d is left to a goroutine", i)
		}
		if waits := text[i] != '\n'; d.begun.Load() != 0 != waits {
			t.Fatalf("after byte %d a line is timed: %v, want %v", i, !waits, waits)
		}
	}
	for _, want := range []string{`{"id":4,"result":null,`, `{"id":5,"result":null,`} {
		if got := string(wire.said); strings.Count(got, "\n") != 2 || !strings.Contains(got, want) {
			t.Errorf("refused with %s", got)
		}
	}
	wire.said = nil
	if commitV1(t, d); !strings.Contains(string(wire.said), `{"id":3,"result":true,`) {
		t.Errorf("durable, and answered with %q", wire.said)
	}
	if n := b.server.counts.accepted.Load(); n != 1 {
		t.Errorf("%d shares were accepted", n)
	}
}

// Ensure that a poll leaves to serve what may be waited for, with all that follows it: what is no share, what
// has no channel yet, what an escape hides, more than a turn's worth, and a peer that has to pay.
func TestV1_PollLeavesTheRest(t *testing.T) {
	_, d, wire := pollV1(t)
	good := func(n int) (s string) {
		for i := range n {
			s += submitText(d, "3", "a.b", uint32(1000+i))
		}
		return s
	}
	for name, text := range map[string]string{
		"another method": good(2) + `{"id":9,"method":"mining.authorize","params":["a.b"]}` + "\n" + good(1),
		"no request":     "{nonsense}\n" + good(1),
		"an escape":      `{"id":9,"method":"mining.s\u0075bmit","params":[]}` + "\n",
		"a long turn":    good(pollFrames + 1),
	} {
		wire.come = []byte(text)
		if d.poll() {
			t.Errorf("%s: nothing is left", name)
		}
		if !d.serve() || len(d.in.held) > 0 {
			t.Errorf("%s: ended with %v, %d bytes are left", name, d.why(), len(d.in.held))
		}
	}
	wire.come, d.debt = []byte(good(1)), time.Nanosecond
	if d.poll() || len(d.in.held) == 0 {
		t.Error("a peer that has to pay is heard")
	}
	d.shard.mu.Lock()
	d.debt, d.unsure = 0, unsureLimit
	d.shard.mu.Unlock()
	if d.poll() || len(d.in.held) == 0 {
		t.Error("a share that has to wait is judged")
	}
	d.unsure, d.in.held = 0, nil
	wire.come = []byte(good(1))
	channel := d.channelID.Swap(0)
	if d.poll() {
		t.Error("a share without a channel is judged")
	}
	d.channelID.Store(channel)
	wire.come, d.in.held = bytes.Repeat([]byte("x"), lineLimit+1), nil
	if d.poll() || d.serve() {
		t.Error("a line without an end is read on")
	}
}

// Ensure that it makes no difference to a peer who reads its lines, and in what pieces they come.
func TestV1_PollAnswersLikeServe(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 2))
		var text string
		var heard [2]string
		for way := range heard {
			_, d, wire := pollV1(t)
			if way == 0 {
				text = storyOf(d, rng)
			}
			for rest := text; rest != ""; {
				n := min(len(rest), 1+rng.IntN(600))
				wire.come, rest = []byte(rest[:n]), rest[n:]
				if way == 1 && d.poll() {
					continue
				}
				if !d.serve() {
					t.Fatalf("seed %d: ended with %v", seed, d.why())
				}
			}
			commitV1(t, d)
			heard[way] = string(wire.said)
		}
		if heard[0] != heard[1] {
			t.Errorf("seed %d: %q\nis answered with %s\nin polls with %s", seed, text, heard[0], heard[1])
		}
	}
}

// storyOf is what a peer may say: shares of all kinds, and everything else in between.
func storyOf(d *v1, rng *rand.Rand) (text string) {
	others := []string{
		`{"id":7,"method":"mining.ping"}` + "\n",
		`{"id":7,"method":"mining.authorize","params":["a.c","x"]}` + "\r\n",
		`{"id":"a\"b","method":"mining.submit","params":["a.b"]}` + "\n",
		"\n \n", `{"id":7,"result":"agent"}` + "\n", `{"id":7,"method":"mining.su\u0062mit"}` + "\n",
		`{"id":7,"method":"x","params":["mining.submit"]}` + "\n",
	}
	for n := range uint32(60) {
		switch rng.IntN(6) {
		case 0:
			text += others[rng.IntN(len(others))]
		case 1:
			text += submitText(d, `"odd"`, "a.c", n)
		case 2:
			text += submitText(d, "-1", "a.b", n/8) // twice
		case 3:
			text += strings.Replace(submitText(d, "5", "a.b", n), `"]}`, `","00000001"]}`, 1)
		default:
			text += submitText(d, fmt.Sprint(n), "a.b", n)
		}
	}
	return text
}
