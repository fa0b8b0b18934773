package load

import (
	"context"
	"fmt"
	"time"

	"github.com/hashlease/hashlease/stratum"
)

// MeasureDepth is for Stratum V1 alone: acknowledged shares a second, a few unanswered on each connection.
const MeasureDepth = "depth"

// The dialects that a pool is measured in.
const (
	DialectV1 = "v1"
	DialectV2 = "v2"
)

// V1Measures are those that Stratum V1 has, in the order in which they are made.
func V1Measures() []string { return []string{MeasureMemory, MeasureTip, MeasureShares, MeasureDepth} }

// v1Depth is how many shares wait for their answer on each connection of a closed stream.
const v1Depth = 4

// V1Row is what was measured with so many connections of Stratum V1.
type V1Row struct {
	Connections int       `json:"connections"`
	Connect     V1Connect `json:"connect"`
	Memory      *Memory   `json:"memory,omitempty"`
	Tip         *V1Tip    `json:"tip,omitempty"`
	Shares      *Shares   `json:"shares,omitempty"`
	Depth       *V1Closed `json:"depth,omitempty"`
}

// V1Connect is how fast connections came to mine: subscribe, authorize and the first job of each.
type V1Connect struct {
	Window
	Rate  float64 `json:"connects_per_s"`
	AtOne int     `json:"at_one_time"`
	Took  Spread  `json:"dial_to_job"`
	CPU   float64 `json:"server_us_per_connect"` // CPU time
}

// V1Tip is how fast new tips reached connections: each figure is the median over the tips. The full template
// follows the tip at once.
type V1Tip struct {
	Window
	Connections int     `json:"connections"`
	Tips        int     `json:"tips"`
	First       float64 `json:"first_ms"`
	P50         float64 `json:"p50_ms"`
	P99         float64 `json:"p99_ms"`
	Last        float64 `json:"last_ms"`
	WorstLast   float64 `json:"worst_last_ms"`
	CPUPerConn  float64 `json:"server_us_per_connection"` // CPU time, full job included
	Messages    float64 `json:"messages_per_connection"`
}

// V1Closed is a closed stream: each connection sends its next share when one was answered.
type V1Closed struct {
	Window
	Connections int     `json:"connections"`
	Depth       int     `json:"depth"`
	Answered    float64 `json:"acknowledged_per_s"` // accepted ones
	CPUPerShare float64 `json:"server_us_per_share"`
	LoadPer     float64 `json:"generator_us_per_share"`
	Reply       Spread  `json:"share_to_reply"`
	Bad         int     `json:"bad"`
	Refused     int     `json:"refused"`
	Wrong       int     `json:"wrong"`
	Example     string  `json:"wrong_example,omitempty"`
}

// v1Rows measures Stratum V1, and nothing else.
func (c *Config) v1Rows(ctx context.Context, res *Result) error {
	for _, n := range c.Connections {
		row, err := c.v1Row(ctx, n)
		res.V1 = append(res.V1, row)
		if err != nil {
			return fmt.Errorf("with %d connections of Stratum V1: %w", n, err)
		}
	}
	return nil
}

// v1Row measures with one number of connections.
func (c *Config) v1Row(ctx context.Context, n int) (row V1Row, err error) {
	row.Connections = n
	err = c.with(ctx, stratum.DefaultConfig().AckEvery, 0, func(r *run) error {
		l, err := newV1Loop(r.crowd.address)
		if err != nil {
			return err
		}
		defer l.close()
		return (&v1Run{run: r, loop: l}).row(ctx, &row)
	})
	return row, err
}

// v1Run is one server with its connections of Stratum V1.
type v1Run struct {
	*run
	loop *v1Loop
}

func (r *v1Run) row(ctx context.Context, row *V1Row) (err error) {
	n := row.Connections
	var empty int64
	var before answer
	if r.child != nil {
		if err := r.warm(ctx); err != nil {
			return err
		}
		if empty, before, err = r.weighEmpty(); err != nil {
			return err
		}
	}
	r.say("%6d connections of Stratum V1: opening", n)
	if row.Connect, err = r.connect(ctx, n); err != nil {
		return err
	}
	if r.cfg.has(MeasureMemory) {
		r.say("%6d connections: idle for %v", n, r.cfg.Idle)
		m, err := r.weigh(ctx, n, empty, before)
		if row.Memory = &m; err != nil {
			return err
		}
	}
	if r.cfg.has(MeasureTip) {
		r.say("%6d connections: %d tips", n, r.cfg.Tips)
		t, err := r.tip(ctx, n)
		if row.Tip = &t; err != nil {
			return err
		}
	}
	if r.cfg.has(MeasureShares) {
		r.say("%6d connections: %.0f shares/s for %v", n, r.cfg.Rate, r.cfg.For)
		s, err := r.offer(ctx, n)
		if row.Shares = &s; err != nil {
			return err
		}
	}
	if r.cfg.has(MeasureDepth) {
		r.say("%6d connections: %d shares in flight on each for %v", n, v1Depth, r.cfg.For)
		d, err := r.closed(ctx, n)
		row.Depth = &d
		return err
	}
	return nil
}

// warm lets the server use every path once.
func (r *v1Run) warm(ctx context.Context) error {
	l, err := newV1Loop(r.crowd.address)
	if err != nil {
		return err
	}
	defer l.close()
	_, err = l.connect(ctx, 32, dialers)
	return err
}

// connect opens connections, as many at one time as the reference measurement did.
func (r *v1Run) connect(ctx context.Context, n int) (c V1Connect, err error) {
	c.AtOne = dialers
	if n > 1000 {
		c.AtOne = 4 * dialers
	}
	w, err := openWindow(r.pid())
	if err != nil {
		return c, err
	}
	took, err := r.loop.connect(ctx, n, c.AtOne)
	if err != nil {
		return c, err
	}
	if c.Window, err = w.close(); err != nil {
		return c, err
	}
	c.Rate, c.Took, c.CPU = float64(n)/c.Seconds, spread(took), c.ServerCPU*1e6/float64(n)
	return c, nil
}

// weigh waits with idle connections and weighs the server.
func (r *v1Run) weigh(ctx context.Context, n int, empty int64, before answer) (m Memory, err error) {
	m = Memory{Connections: n, Idle: r.cfg.Idle.Seconds(), Empty: empty}
	w, err := openWindow(r.pid())
	if err != nil {
		return m, err
	}
	if err := pause(ctx, r.cfg.Idle); err != nil {
		return m, err
	}
	if m.Window, err = w.close(); err != nil {
		return m, err
	}
	if err := r.run.weigh(&m, before); err != nil {
		return m, err
	}
	return m, r.loop.health()
}

// tip makes the server hear of new blocks, each with its full template right behind it.
func (r *v1Run) tip(ctx context.Context, n int) (t V1Tip, err error) {
	t = V1Tip{Connections: n, Tips: r.cfg.Tips}
	var spreads []Spread
	frames := 0
	w, err := openWindow(r.pid())
	if err != nil {
		return t, err
	}
	var cpu time.Duration
	for range r.cfg.Tips {
		r.loop.collect()
		before, err := CPUOf(r.pid())
		if err != nil {
			return t, err
		}
		s, err := r.oneTip(ctx, n)
		if err != nil {
			return t, err
		}
		spreads = append(spreads, s)
		if err := pause(ctx, time.Second); err != nil {
			return t, err
		}
		after, err := CPUOf(r.pid())
		if err != nil {
			return t, err
		}
		cpu += after - before
		frames += r.loop.collect().frames
	}
	if t.Window, err = w.close(); err != nil {
		return t, err
	}
	per := float64(t.Tips * n)
	of := func(value func(s *Spread) float64) float64 {
		all := make([]float64, len(spreads))
		for i := range spreads {
			all[i] = value(&spreads[i])
		}
		return median(all)
	}
	t.First = of(func(s *Spread) float64 { return s.Min })
	t.P50 = of(func(s *Spread) float64 { return s.P50 })
	t.P99, t.Last = of(func(s *Spread) float64 { return s.P99 }), of(func(s *Spread) float64 { return s.Max })
	for _, s := range spreads {
		t.WorstLast = max(t.WorstLast, s.Max)
	}
	t.CPUPerConn, t.Messages = float64(cpu.Microseconds())/per, float64(frames)/per
	return t, r.loop.health()
}

// oneTip asks for a tip with a template behind it, and returns how long after it the connections had it.
func (r *v1Run) oneTip(ctx context.Context, n int) (Spread, error) {
	l := r.loop
	l.mu.Lock()
	l.tips = 0
	l.mu.Unlock()
	a, err := r.child.ask(opWhole)
	if err != nil {
		return Spread{}, err
	}
	for deadline := time.Now().Add(tipWait); ; {
		l.mu.Lock()
		all := l.tips >= n
		l.mu.Unlock()
		if all {
			break
		}
		if time.Now().After(deadline) {
			return Spread{}, fmt.Errorf("not all of %d connections heard of a new tip within %v", n, tipWait)
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return Spread{}, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	took := make([]time.Duration, 0, n)
	for _, c := range l.conns {
		took = append(took, time.Duration(c.tip-a.At))
	}
	return spread(took), nil
}

// offer sends shares at a fixed rate, whatever comes back.
func (r *v1Run) offer(ctx context.Context, n int) (s Shares, err error) {
	trip, err := roundTrip()
	if err != nil {
		return s, err
	}
	s = Shares{Connections: n, AckEvery: 1, Offered: r.cfg.Rate, Loopback: float64(trip.Nanoseconds()) / 1000}
	seen, err := r.stream(ctx, v1Offer{rate: r.cfg.Rate}, &s.Window)
	if err != nil {
		return s, err
	}
	t, sent := seen.all, float64(seen.all.good+seen.all.bad)
	s.Sent, s.CPUPerShare = sent/s.Seconds, s.ServerCPU*1e6/max(1, sent)
	s.Answered = float64(seen.inTime.accepted+seen.inTime.refused) / s.Seconds
	s.Ack, s.Refusal, s.Late = spread(t.acks), spread(t.refusals), spread(seen.late)
	s.Skipped, s.Bad, s.Refused, s.Wrong, s.Example = t.skipped, t.bad, t.refused, seen.wrong, seen.example
	if r.child != nil {
		a, err := r.child.ask(opState)
		if err != nil {
			return s, err
		}
		s.Durable = a.Durable
	}
	return s, r.loop.health()
}

// closed keeps a few shares of each connection unanswered.
func (r *v1Run) closed(ctx context.Context, n int) (d V1Closed, err error) {
	d = V1Closed{Connections: n, Depth: v1Depth}
	seen, err := r.stream(ctx, v1Offer{depth: v1Depth}, &d.Window)
	if err != nil {
		return d, err
	}
	answered := float64(max(1, seen.inTime.accepted))
	d.Answered, d.CPUPerShare = answered/d.Seconds, d.ServerCPU*1e6/answered
	d.LoadPer, d.Reply = d.LoadCPU*1e6/answered, spread(seen.inTime.acks)
	d.Bad, d.Refused, d.Wrong, d.Example = seen.all.bad, seen.all.refused, seen.wrong, seen.example
	return d, r.loop.health()
}

// streamed is what was seen of a stream.
type streamed struct {
	inTime  tally // while shares still came
	all     tally // with the answers that came later
	wrong   int   // from the first share on
	example string
	late    []time.Duration
}

// stream sends shares for some time; those of its first part do not count.
func (r *v1Run) stream(ctx context.Context, o v1Offer, window *Window) (s streamed, err error) {
	r.loop.collect()
	r.loop.start(o)
	if err := pause(ctx, r.cfg.settle()); err != nil {
		return s, err
	}
	w, err := openWindow(r.pid())
	if err != nil {
		return s, err
	}
	early := r.loop.count()
	if err := pause(ctx, r.cfg.For); err != nil {
		return s, err
	}
	s.inTime, s.late = r.loop.finish()
	if *window, err = w.close(); err != nil {
		return s, err
	}
	if err := pause(ctx, settleFor); err != nil {
		return s, err
	}
	s.all = r.loop.collect()
	s.all.add(&s.inTime)
	s.wrong = s.all.wrong + early.wrong
	if s.example = early.example; s.example == "" {
		s.example = s.all.example
	}
	return s, nil
}
