package chaos

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
)

// Rhythm of a phase.
const (
	dialers  = 64 // connections that are made at one time
	settle   = 2 * time.Second
	tipEvery = 2 * time.Second
	fillIn   = 300 * time.Millisecond // how long after a tip its full template comes
	answerIn = 10 * time.Second       // how long the last answers may take
)

// GoalRatio is how much slower honest peers may be served beside hostile ones than beside idle ones.
const GoalRatio = 2

// Spread is a distribution of times in milliseconds.
type Spread struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50_ms"`
	P99   float64 `json:"p99_ms"`
	Max   float64 `json:"max_ms"`
}

func spread(d []time.Duration) Spread {
	if len(d) == 0 {
		return Spread{}
	}
	slices.Sort(d)
	at := func(q float64) float64 {
		i := min(int(math.Ceil(q*float64(len(d))))-1, len(d)-1)
		return float64(d[max(0, i)].Microseconds()) / 1000
	}
	return Spread{Count: len(d), P50: at(0.5), P99: at(0.99), Max: at(1)}
}

// Phase is what honest peers saw beside others.
type Phase struct {
	Honest      int      `json:"honest"`
	Others      int      `json:"others"`
	Seconds     float64  `json:"seconds"`
	Ack         Spread   `json:"share_to_ack"`     // good shares, durable
	Refusal     Spread   `json:"share_to_refusal"` // bad ones: no journal is waited for
	Tip         Spread   `json:"tip_to_job"`       // from the server to each miner; not with --pool
	Sent        int      `json:"shares"`
	Overtaken   int      `json:"shares_overtaken"` // refused because a tip came first
	Lost        int      `json:"answers_lost"`
	Disconnects int      `json:"disconnects"`
	Reasons     []string `json:"reasons,omitempty"` // of disconnects, the first few
	ServerCPU   float64  `json:"server_cpu_s"`
	// ServerWaited is how long threads of the server could run and had no core, all together: what the
	// peers' own computing on the same machine does to it.
	ServerWaited float64   `json:"server_waited_s"`
	Resident     int64     `json:"server_resident_bytes"`
	Throttled    uint64    `json:"server_throttled_frames"`
	Failed       uint64    `json:"server_failed_handshakes"`
	Refused      uint64    `json:"server_refused_connections"`
	Kinds        []Outcome `json:"kinds,omitempty"`
}

// Result is both phases and what is to be thought of them.
type Result struct {
	Control      Phase    `json:"control"`     // beside idle peers
	Chaos        Phase    `json:"chaos"`       // beside hostile ones
	Nice         int      `json:"others_nice"` // the priority of the others' process, in both phases
	Goal         float64  `json:"goal_ratio"`
	AckRatio     float64  `json:"ack_p99_ratio"`
	RefusalRatio float64  `json:"refusal_p99_ratio"`
	TipRatio     float64  `json:"tip_p99_ratio"`
	Failures     []string `json:"failures"` // goals on counts that were missed
}

// Run measures both phases.
func Run(ctx context.Context, cfg Config) (res Result, err error) {
	if err := cfg.Validate(); err != nil {
		return res, err
	}
	if err := descriptors(uint64(2*cfg.Honest+2*cfg.Hostile)/2 + 500); err != nil {
		return res, err
	}
	if res.Control, err = cfg.phase(ctx, false); err != nil {
		return res, fmt.Errorf("beside idle peers: %w", err)
	}
	if res.Chaos, err = cfg.phase(ctx, true); err != nil {
		return res, fmt.Errorf("beside hostile peers: %w", err)
	}
	res.Goal, res.Nice = GoalRatio, cfg.Nice
	ratio := func(a, b Spread) float64 {
		if b.P99 == 0 {
			return 0
		}
		return math.Round(100*a.P99/b.P99) / 100
	}
	res.AckRatio = ratio(res.Chaos.Ack, res.Control.Ack)
	res.RefusalRatio = ratio(res.Chaos.Refusal, res.Control.Refusal)
	res.TipRatio = ratio(res.Chaos.Tip, res.Control.Tip)
	res.Failures = []string{}
	for name, p := range map[string]*Phase{"control": &res.Control, "chaos": &res.Chaos} {
		if p.Disconnects > 0 {
			res.Failures = append(res.Failures, fmt.Sprintf("%s: %d honest peers were disconnected (%s)",
				name, p.Disconnects, strings.Join(p.Reasons, "; ")))
		}
		if p.Lost > 0 {
			res.Failures = append(res.Failures, fmt.Sprintf("%s: %d shares of honest peers got no answer",
				name, p.Lost))
		}
	}
	slices.Sort(res.Failures)
	return res, nil
}

func (c *Config) say(format string, args ...any) {
	if c.Progress != nil {
		_, _ = fmt.Fprintf(c.Progress, format+"\n", args...)
	}
}

// phase measures the honest beside idle or hostile peers.
func (c *Config) phase(ctx context.Context, hostile bool) (out Phase, err error) {
	s, err := serve(ctx, c)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	k := &crowd{}
	c.say("connecting %d miners", c.Honest)
	all, err := k.gather(ctx, s, c.Honest, false)
	defer func() {
		k.ending.Store(true)
		for _, m := range all {
			_ = m.conn.Close()
		}
		k.wg.Wait()
	}()
	if err != nil {
		return out, err
	}
	c.say("letting %d others come, hostile: %t", c.Hostile, hostile)
	o, err := c.send(ctx, s.address, hostile)
	if err != nil {
		return out, err
	}
	defer func() {
		kinds, stopped := o.stop()
		out.Kinds, err = kinds, errors.Join(err, stopped)
	}()
	if err := pause(ctx, settle); err != nil {
		return out, err
	}
	out = Phase{Honest: c.Honest, Others: c.Hostile}
	cpu, _ := s.cost()
	waited := s.waited()
	began := time.Now()
	k.measured.Store(true)
	if err := c.tips(ctx, k, s, all); err != nil {
		return out, err
	}
	k.measured.Store(false)
	out.Seconds = time.Since(began).Seconds()
	after, resident := s.cost()
	out.ServerCPU, out.Resident = (after - cpu).Seconds(), resident
	out.ServerWaited = (s.waited() - waited).Seconds()
	if s.cmd != nil {
		a, err := s.ask("state")
		if err != nil {
			return out, err
		}
		out.Throttled, out.Failed, out.Refused =
			a.Stats.Throttled, a.Stats.HandshakesFailed, a.Stats.ConnectionsRefused
	}
	out.Lost = k.settleDown(ctx, all)
	k.mu.Lock()
	defer k.mu.Unlock()
	out.Ack, out.Refusal, out.Tip = spread(k.acks), spread(k.errs), spread(k.heard)
	out.Sent, out.Overtaken, out.Disconnects = k.sent, k.refused, len(k.lost)
	for _, e := range k.lost[:min(3, len(k.lost))] {
		out.Reasons = append(out.Reasons, e.Error())
	}
	return out, nil
}

// gather connects miners.
func (k *crowd) gather(ctx context.Context, s *server, n int, idle bool) (all []*miner, err error) {
	mining, cancel := context.WithCancel(ctx)
	k.stopMining = cancel
	var mu sync.Mutex
	var errs []error
	var wg sync.WaitGroup
	slots := make(chan struct{}, dialers)
	for i := range n {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			m, err := k.join(mining, s, fmt.Sprintf("h%d", i), idle)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
				return
			}
			all = append(all, m)
		})
	}
	wg.Wait()
	if len(errs) > 0 {
		return all, fmt.Errorf("%d of %d peers did not get in: %w", len(errs), n, errs[0])
	}
	return all, nil
}

// tips lets time pass, with a new tip every other second if the server is ours.
func (c *Config) tips(ctx context.Context, k *crowd, s *server, honest []*miner) error {
	c.say("measuring for %v", c.For)
	end := time.Now().Add(c.For)
	for time.Until(end) > 0 {
		if s.cmd == nil {
			return pause(ctx, c.For)
		}
		a, err := s.ask("tip")
		if err != nil {
			return err
		}
		if err := pause(ctx, min(fillIn, time.Until(end))); err != nil {
			return err
		}
		if _, err := s.ask("fill"); err != nil {
			return err
		}
		if err := pause(ctx, min(tipEvery-fillIn, time.Until(end))); err != nil {
			return err
		}
		k.notice(honest, time.Unix(0, a.At))
	}
	return nil
}

// settleDown stops the miners and waits for their last answers; it returns how many did not come.
func (k *crowd) settleDown(ctx context.Context, all []*miner) (lost int) {
	k.stopMining()
	for end := time.Now().Add(answerIn); ; {
		lost = 0
		for _, m := range all {
			lost += m.waiting()
		}
		if lost == 0 || time.Now().After(end) || pause(ctx, 50*time.Millisecond) != nil {
			return lost
		}
	}
}

// Text is the result for people.
func Text(res *Result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| p50 / p99 in ms | beside %d idle | beside %d hostile | p99 ratio (goal %v) |\n"+
		"|---|---:|---:|---:|\n",
		res.Control.Others, res.Chaos.Others, res.Goal)
	row := func(name string, idle, bad Spread, ratio float64) {
		fmt.Fprintf(&b, "| %s | %.2f / %.2f | %.2f / %.2f | %.2f |\n",
			name, idle.P50, idle.P99, bad.P50, bad.P99, ratio)
	}
	row("share to ack", res.Control.Ack, res.Chaos.Ack, res.AckRatio)
	row("bad share to refusal", res.Control.Refusal, res.Chaos.Refusal, res.RefusalRatio)
	row("tip to job", res.Control.Tip, res.Chaos.Tip, res.TipRatio)
	p, q := &res.Control, &res.Chaos
	fmt.Fprintf(&b, "| honest disconnects | %d | %d | |\n", p.Disconnects, q.Disconnects)
	fmt.Fprintf(&b, "| shares without an answer | %d of %d | %d of %d | |\n", p.Lost, p.Sent, q.Lost, q.Sent)
	fmt.Fprintf(&b, "| server CPU, s of %.0f s | %.1f | %.1f | |\n", q.Seconds, p.ServerCPU, q.ServerCPU)
	fmt.Fprintf(&b, "| its threads waited for a core, s | %.1f | %.1f | |\n", p.ServerWaited, q.ServerWaited)
	fmt.Fprintf(&b, "| nice of the others' process | %d | %d | |\n", res.Nice, res.Nice)
	fmt.Fprintf(&b, "| server resident, MiB | %d | %d | |\n\n", p.Resident>>20, q.Resident>>20)
	b.WriteString("| kind | peers | visits | handshakes | frames | answers | ended by the server |" +
		" open at the end |\n|---|" + strings.Repeat("---:|", 7) + "\n")
	for _, o := range q.Kinds {
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %d | %d | %d |\n",
			o.Kind, o.Peers, o.Visits, o.Handshakes, o.Frames, o.Answers, o.Ended, o.Open)
	}
	for _, f := range res.Failures {
		fmt.Fprintf(&b, "\nFAILED: %s\n", f)
	}
	return b.String()
}
