package pool_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/unit"
)

var rewrite = flag.Bool("rewrite", false, "write the transcripts anew")

// Ensure that channels behave as the transcripts in testdata say. A transcript is a list of blocks:
// commands, a line ----, what they say, an empty line. The commands are the methods of transcript.
func TestChannel_FollowsTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(raw))
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

// play runs a transcript and returns it with the output that it had.
func play(t *testing.T, text string) string {
	t.Helper()
	p := &transcript{t: t, a: newAssembler(t), now: start}
	p.rounds, p.jobs = map[string]*pool.Round{}, map[string]*pool.Job{}
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
	return strings.TrimSuffix(out.String(), "\n")
}

type transcript struct {
	t      *testing.T
	a      *pool.Assembler
	c      *pool.Channel
	now    time.Time
	last   *pool.Round
	rounds map[string]*pool.Round
	jobs   map[string]*pool.Job
	ids    [1000]*pool.Job
}

// args are the words of a command: plain ones by position, key=value ones by key.
type args struct {
	t     *testing.T
	words []string
	keys  map[string]string
}

func (a args) number(key string, def int64) int64 {
	s, ok := a.keys[key]
	if !ok {
		return def
	}
	n, err := strconv.ParseInt(s, 0, 64)
	if err != nil {
		a.t.Fatalf("%s=%s: %v", key, s, err)
	}
	return n
}

func (p *transcript) run(line string) string {
	a := args{t: p.t, keys: map[string]string{}}
	for w := range strings.FieldsSeq(line) {
		if k, v, ok := strings.Cut(w, "="); ok {
			a.keys[k] = v
		} else {
			a.words = append(a.words, w)
		}
	}
	do, ok := map[string]func(args) string{
		"channel": p.channel, "round": p.round, "fresh": p.fresh, "assign": p.assign, "activate": p.activate,
		"submit": p.submit, "mine": p.mine, "after": p.after, "expect": p.expect, "update": p.update,
		"retarget": p.retarget, "measured": p.measured,
	}[a.words[0]]
	if !ok {
		p.t.Fatalf("unknown command in %q", line)
	}
	a.words = a.words[1:]
	return do(a)
}

// channel KIND [floor=HASHES] [max=HASHES] [nominal=H/s] [mask=BITS]
func (p *transcript) channel(a args) string {
	kind := pool.Standard
	if a.words[0] == "extended" {
		kind = pool.Extended
	}
	cfg := easy(kind)
	cfg.Difficulty.Floor = pool.TargetForHashes(float64(a.number("floor", 2) - 1))
	cfg.MaxTarget = pool.TargetForHashes(float64(a.number("max", 1) - 1))
	cfg.Nominal = unit.Hashrate(a.number("nominal", 0))
	cfg.VersionMask = uint32(a.number("mask", int64(pool.VersionMask)))
	p.c = pool.NewChannel(cfg, p.now)
	return fmt.Sprintf("%d hashes a share\n", p.c.Target().Work())
}

// round NAME HEIGHT [txs=N] [partial=1] [fork=N] [bits=N] [value=N]: a template arrives
func (p *transcript) round(a args) string {
	height, err := strconv.Atoi(a.words[1])
	if err != nil {
		p.t.Fatal(err)
	}
	t := newTemplate(p.t, int32(height), int(a.number("txs", 0)))
	t.Prev[31] = byte(a.number("fork", 0))
	t.Bits = uint32(a.number("bits", hardBits))
	t.Partial = a.number("partial", 0) != 0
	t.Value = a.number("value", t.Value)
	r, err := p.a.Advance(p.last, t)
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	name := func(j *pool.Job) string {
		if j == nil {
			return "none"
		}
		return fmt.Sprintf("job %d height %d value %d", j.Seq, j.Height, j.Template.Value)
	}
	p.last, p.rounds[a.words[0]] = r, r
	out := fmt.Sprintf("round %d:", r.Seq)
	for i, j := range []*pool.Job{r.First, r.Full, r.Next} {
		role := []string{"first", "full", "next"}[i]
		p.jobs[a.words[0]+"."+role] = j
		out += fmt.Sprintf(" %s %s;", role, name(j))
	}
	return strings.TrimSuffix(out, ";") + "\n"
}

// fresh NAME JOB
func (p *transcript) fresh(a args) string {
	j := p.a.Fresh(p.jobs[a.words[1]])
	p.jobs[a.words[0]] = j
	return fmt.Sprintf("job %d\n", j.Seq)
}

// assign JOB ID [times=N] [future=1]: with times, ids count up
func (p *transcript) assign(a args) string {
	id := p.id(a.words[1])
	var out pool.Assignment
	for range a.number("times", 1) {
		if a.number("future", 0) != 0 {
			out = p.c.AssignFuture(p.jobs[a.words[0]], id)
		} else {
			out = p.c.Assign(p.jobs[a.words[0]], id, p.now)
		}
		if id < uint32(len(p.ids)) {
			p.ids[id] = out.Job
		}
		id++
	}
	if out.Future {
		return fmt.Sprintf("%d is a future job\n", out.JobID)
	}
	return fmt.Sprintf("%d is active from %d, %d hashes a share\n", out.JobID, out.MinTime, out.Target.Work())
}

func (p *transcript) id(s string) uint32 {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		p.t.Fatal(err)
	}
	return uint32(n)
}

// activate ID ROUND
func (p *transcript) activate(a args) string {
	if err := p.c.Activate(p.id(a.words[0]), &p.rounds[a.words[1]].Tip, p.now); err != nil {
		return "error: " + err.Error() + "\n"
	}
	return "active\n"
}

// share ID [nonce=N] [time=SECONDS from the tip's smallest] [flip=VERSION BITS] [size=BYTES] [roll=BYTE]
func (p *transcript) share(a args) pool.Share {
	id := p.id(a.words[0])
	tip, _ := p.c.Tip()
	s := pool.Share{JobID: id, Nonce: uint32(a.number("nonce", 0)), Version: uint32(a.number("flip", 0))}
	s.Time = uint32(int64(tip.MinTime) + a.number("time", 0))
	if id < uint32(len(p.ids)) && p.ids[id] != nil {
		s.Version ^= p.ids[id].Version
	}
	if n := a.number("size", int64(p.c.RollSize())); n > 0 {
		s.Extranonce = make([]byte, n)
		s.Extranonce[0] = byte(a.number("roll", 0))
	}
	return s
}

func (p *transcript) verdict(v pool.Verdict) string {
	out := v.Reject.String()
	if v.Reject == pool.RejectNone {
		out += fmt.Sprintf(", work %d", v.Work)
	}
	if v.Block != nil {
		out += fmt.Sprintf(", block at height %d", v.Block.Height)
	}
	if v.JobFull {
		out += ", job full"
	}
	return out
}

// submit ID [share] [times=N]: with times, the nonce counts up and the last verdict is told
func (p *transcript) submit(a args) string {
	s := p.share(a)
	var v pool.Verdict
	for range a.number("times", 1) {
		v = p.c.Submit(s, p.now)
		s.Nonce++
	}
	return p.verdict(v) + "\n"
}

// mine ID [share] [count=N]: submits until count shares were accepted
func (p *transcript) mine(a args) string {
	s := p.share(a)
	var v pool.Verdict
	for range a.number("count", 1) {
		s, v = mine(p.t, p.c, s, accepted)
		s.Nonce++
	}
	return fmt.Sprintf("nonce %d: %s\n", s.Nonce-1, p.verdict(v))
}

// after DURATION [retarget=DURATION]
func (p *transcript) after(a args) string {
	d, err := time.ParseDuration(a.words[0])
	if err != nil {
		p.t.Fatal(err)
	}
	p.now = p.now.Add(d)
	return ""
}

// expect H/s [spm=N]
func (p *transcript) expect(a args) string {
	h, err := unit.ParseHashrate(a.words[0])
	if err != nil {
		p.t.Fatal(err)
	}
	p.c.Expect(h, float64(a.number("spm", 0)), p.now)
	return fmt.Sprintf("%d hashes a share\n", p.c.Target().Work())
}

// update H/s [max=HASHES]
func (p *transcript) update(a args) string {
	h, err := unit.ParseHashrate(a.words[0])
	if err != nil {
		p.t.Fatal(err)
	}
	p.c.Update(h, pool.TargetForHashes(float64(a.number("max", 1)-1)), p.now)
	return fmt.Sprintf("%d hashes a share\n", p.c.Target().Work())
}

// retarget [every=SECONDS for=SECONDS]: looks at the evidence, once or over and over
func (p *transcript) retarget(a args) string {
	var out strings.Builder
	every, span := a.number("every", 1), a.number("for", 0)
	for at := int64(0); ; {
		if t, changed := p.c.Retarget(p.now); changed {
			fmt.Fprintf(&out, "+%ds %d hashes a share\n", at, t.Work())
		}
		if at += every; at > span {
			break
		}
		p.now = p.now.Add(time.Duration(every) * time.Second)
	}
	if out.Len() == 0 {
		return "unchanged\n"
	}
	return out.String()
}

func (p *transcript) measured(args) string { return p.c.Measured(p.now).String() + "\n" }
