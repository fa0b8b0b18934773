package load

import (
	"context"
	"fmt"
	"time"
)

// Shares is how the server fared at one rate of shares.
type Shares struct {
	Window
	Connections int     `json:"connections"`
	AckEvery    int     `json:"ack_every"`
	Levels      int     `json:"merkle_levels,omitempty"` // that the server hashes for each share
	Offered     float64 `json:"offered_per_s"`
	Sent        float64 `json:"sent_per_s"`
	Answered    float64 `json:"answered_per_s"`
	CPUPerShare float64 `json:"server_us_per_share"` // CPU time
	Loopback    float64 `json:"loopback_us"`         // CPU time of a bare round trip, both ends
	Ack         Spread  `json:"share_to_ack"`
	Refusal     Spread  `json:"share_to_refusal"` // bad shares: a round trip through validation
	Late        Spread  `json:"generator_late"`
	Skipped     int     `json:"skipped"` // not sent, as too many were unanswered
	Bad         int     `json:"bad"`     // sent on purpose
	Refused     int     `json:"refused"` // of these, for the right reason
	Wrong       int     `json:"wrong"`   // answers that were not right
	Example     string  `json:"wrong_example,omitempty"`
	AckServer   Spread  `json:"share_to_ack_by_server"` // since its start
	Durable     uint64  `json:"durable"`                // shares in the ledger, since its start
}

// shares offers a rate for some time.
func (r *run) shares(ctx context.Context, o offered) (s Shares, err error) {
	k := r.crowd
	trip, err := roundTrip()
	if err != nil {
		return s, err
	}
	s.Loopback = float64(trip.Nanoseconds()) / 1000
	var w window
	k.collect()
	late, err := k.offer(ctx, o, func() error {
		t := k.collect()
		s.Wrong, s.Example = t.wrong, t.example
		w, err = openWindow(r.pid())
		return err
	})
	if err != nil {
		return s, err
	}
	if s.Window, err = w.close(); err != nil {
		return s, err
	}
	inTime := k.collect() // what was answered while shares still came
	if err := pause(ctx, settleFor); err != nil {
		return s, err
	}
	t := k.collect()
	t.add(&inTime)
	s.Connections, s.AckEvery, s.Offered = len(k.clients), r.ackEvery, o.rate
	s.Sent = float64(t.good+t.bad) / s.Seconds
	s.Answered = float64(inTime.accepted+inTime.refused) / s.Seconds
	s.CPUPerShare = s.ServerCPU * 1e6 / max(1, float64(t.good+t.bad))
	s.Ack, s.Refusal, s.Late = spread(t.acks), spread(t.refusals), spread(late)
	s.Skipped, s.Bad, s.Refused, s.Wrong = t.skipped, t.bad, t.refused, s.Wrong+t.wrong
	if s.Example == "" {
		s.Example = t.example
	}
	if n := k.lost.Load(); n > 0 {
		return s, fmt.Errorf("server ended %d connections while shares came", n)
	}
	if r.child == nil {
		return s, nil
	}
	a, err := r.child.ask(opState)
	l := a.Stats.ShareToAck
	s.AckServer = Spread{Count: int(l.Count), P50: millis(l.P50), P99: millis(l.P99), Max: millis(l.Max)}
	s.Durable = a.Durable
	return s, err
}

// settleFor is how long acknowledgements may be away after the last share.
const settleFor = 1500 * time.Millisecond

// Limits by which a rate is above the knee.
const (
	kneeLatency  = 50.0 // milliseconds: p99 of refusals, which nothing holds back
	kneeAnswered = 0.97 // of what was offered
)

// Knee is the highest rate that the server keeps up with.
type Knee struct {
	AckEvery int      `json:"ack_every"`
	Rate     float64  `json:"rate_per_s"` // 0: not even the lowest
	Limited  string   `json:"limited_by"` // what ended the ladder
	Steps    []Shares `json:"steps"`      // every rate that was tried
}

// knee raises the rate until the server, or the generator, no longer keeps up.
func (r *run) knee(ctx context.Context) (Knee, error) {
	k := Knee{AckEvery: r.ackEvery, Limited: "the ladder's end"}
	for _, rate := range r.cfg.Ladder {
		s, err := r.shares(ctx, offered{rate: rate, settle: time.Second / 2, measure: r.cfg.settle()})
		if err != nil {
			return k, err
		}
		k.Steps = append(k.Steps, s)
		switch {
		case s.Sent < kneeAnswered*rate && s.Skipped == 0:
			k.Limited = "the generator"
			return k, nil
		case s.Refusal.P99 > kneeLatency:
			k.Limited = "latency"
			return k, nil
		case s.Sent < kneeAnswered*rate:
			k.Limited = "unanswered shares"
			return k, nil
		}
		k.Rate = rate
	}
	return k, nil
}
