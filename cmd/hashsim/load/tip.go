package load

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// tipWait is how long the last connection may take to hear of a tip.
const tipWait = 10 * time.Second

// Tip is how fast new tips reached connections: each figure is the median over the tips.
type Tip struct {
	Window
	Connections int     `json:"connections"`
	Channels    int     `json:"channels"`
	Tips        int     `json:"tips"`
	First       float64 `json:"first_ms"`
	P50         float64 `json:"p50_ms"`
	Last        float64 `json:"last_ms"`
	WorstLast   float64 `json:"worst_last_ms"`
	CPUPerConn  float64 `json:"server_us_per_connection"` // CPU time
	Messages    float64 `json:"messages_per_connection"`
	ServerLast  float64 `json:"server_last_p50_ms"` // the server's own figure, since its start
}

// tip makes the server hear of new blocks and waits until every connection has.
func (r *run) tip(ctx context.Context, tips int) (t Tip, err error) {
	k := r.crowd
	t = Tip{Connections: len(k.clients), Channels: r.channels, Tips: tips}
	var first, middle, last []float64
	frames := 0
	var cpu time.Duration
	w, err := openWindow(r.pid())
	if err != nil {
		return t, err
	}
	for range tips {
		k.collect()
		before, err := CPUOf(r.pid())
		if err != nil {
			return t, err
		}
		s, err := r.oneTip(ctx, opTip)
		if err != nil {
			return t, err
		}
		first, middle, last = append(first, s.Min), append(middle, s.P50), append(last, s.Max)
		after, err := CPUOf(r.pid())
		if err != nil {
			return t, err
		}
		cpu += after - before
		frames += k.collect().frames
		if err := r.fill(ctx); err != nil {
			return t, err
		}
	}
	if t.Window, err = w.close(); err != nil {
		return t, err
	}
	per := float64(tips * len(k.clients))
	t.First, t.P50, t.Last, t.WorstLast = median(first), median(middle), median(last), slices.Max(last)
	t.CPUPerConn, t.Messages = float64(cpu.Microseconds())/per, float64(frames)/per
	a, err := r.child.ask(opState)
	t.ServerLast = millis(a.Stats.TipToLastJob.P50)
	return t, err
}

// fill lets the full template follow, and miners settle.
func (r *run) fill(ctx context.Context) error {
	if err := pause(ctx, 200*time.Millisecond); err != nil {
		return err
	}
	if _, err := r.child.ask(opFill); err != nil {
		return err
	}
	return pause(ctx, 800*time.Millisecond)
}

// oneTip asks for a tip and returns how long after it the connections had it.
func (r *run) oneTip(ctx context.Context, op string) (Spread, error) {
	r.crowd.tips.Store(0)
	a, err := r.child.ask(op)
	if err != nil {
		return Spread{}, err
	}
	return r.arrivals(ctx, a.At)
}

// arrivals waits until every connection has heard of a tip, and says how long after a moment.
func (r *run) arrivals(ctx context.Context, since int64) (Spread, error) {
	k := r.crowd
	deadline := time.Now().Add(tipWait)
	for k.tips.Load() < int64(len(k.clients)) || !k.allSince(since) {
		if time.Now().After(deadline) {
			return Spread{}, fmt.Errorf("not all of %d connections heard of a new tip within %v",
				len(k.clients), tipWait)
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return Spread{}, err
		}
	}
	took := make([]time.Duration, 0, len(k.clients))
	for _, c := range k.clients {
		took = append(took, time.Duration(c.tip.Load()-since))
	}
	return spread(took), nil
}

func (k *crowd) allSince(since int64) bool {
	for _, c := range k.clients {
		if c.tip.Load() < since {
			return false
		}
	}
	return true
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// Block is a block of ours: from its share to everybody on the next height.
type Block struct {
	Connections int     `json:"connections"`
	Share       float64 `json:"share_to_pool_ms"` // sent to handed over
	First       float64 `json:"first_ms"`         // since the share was sent
	Last        float64 `json:"last_ms"`
}

// block finds a block: half of all hashes are one, on a tip made for it.
func (r *run) block(ctx context.Context) (b Block, err error) {
	k := r.crowd
	b.Connections = len(k.clients)
	if _, err := r.oneTip(ctx, opEasy); err != nil {
		return b, err
	}
	if err := pause(ctx, 500*time.Millisecond); err != nil {
		return b, err
	}
	before, err := r.child.ask(opState)
	if err != nil {
		return b, err
	}
	for range 64 {
		k.tips.Store(0)
		at := time.Now()
		if err := k.clients[0].submit(0, false); err != nil {
			return b, fmt.Errorf("sending a share: %w", err)
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return b, err
		}
		a, err := r.child.ask(opState)
		if err != nil {
			return b, err
		}
		if a.FoundAt == before.FoundAt {
			continue // no block
		}
		s, err := r.arrivals(ctx, at.UnixNano())
		b.Share = millis(time.Duration(a.FoundAt - at.UnixNano()))
		b.First, b.Last = s.Min, s.Max
		return b, errors.Join(err, r.fill(ctx))
	}
	return b, errors.New("none of 64 shares was a block, where half should be")
}
