package vardifftest

import (
	"math"
	"slices"
	"time"
)

// Right is how far a target may be off what the hashrate asks for and still count as right.
const Right = 1.5

const (
	hashrate = 1e14             // of a miner that is settled
	settling = 30 * time.Minute // before anything happens to it
	lasting  = 30 * time.Second // that a target has to be right to count: one that passes by is not
	longest  = 2 * time.Hour    // that a rule may take to be right
)

// Scenario is something that happens to a miner.
type Scenario struct {
	Name string
	// Cold draws first guess and hashrate of a miner that connects; nil: it is settled before.
	Cold func(m *Miner) (guess, hashrate float64)
	// Event is what happens to the settled miner; nil: nothing.
	Event func(m *Miner)
	// Refused is the part of shares that are refused all the time.
	Refused float64
	// Steady measures an hour at constant hashrate instead of the time to be right.
	Steady bool
}

// between draws a hashrate of 100 GH/s to 1 PH/s, every order of magnitude alike.
func between(m *Miner) float64 { return 1e11 * math.Pow(1e4, m.rng.Float64()) }

// always is one guess and one hashrate.
func always(guess, hashrate float64) func(*Miner) (float64, float64) {
	return func(*Miner) (float64, float64) { return guess, hashrate }
}

// times is an event after which the miner has so many times its hashrate.
func times(f float64) func(*Miner) {
	return func(m *Miner) { m.Hashrate *= f }
}

// pause is silence that nobody ordered, until the same or another hashrate comes back.
func pause(span time.Duration, back float64) func(*Miner) {
	return func(m *Miner) {
		h := m.Hashrate
		m.Hashrate = 0
		m.Run(span, nil)
		m.Hashrate = h * back
	}
}

// Scenarios are all there are.
func Scenarios() []Scenario {
	guessed := func(m *Miner) (float64, float64) { return between(m), between(m) }
	return []Scenario{
		{Name: "cold start, any guess", Cold: guessed},
		{Name: "cold start, no guess", Cold: func(m *Miner) (float64, float64) { return 0, between(m) }},
		{Name: "cold start, 1 PH/s called 100 GH/s", Cold: always(1e11, 1e15)},
		{Name: "cold start, 100 GH/s called 1 PH/s", Cold: always(1e15, 1e11)},
		{Name: "constant", Steady: true},
		{Name: "constant, 10 % refused", Steady: true, Refused: 0.1},
		{Name: "silent -50 %", Event: times(0.5)},
		{Name: "silent -90 %", Event: times(0.1)},
		{Name: "silent +100 %", Event: times(2)},
		{Name: "pause of 1 h, same hashrate", Event: pause(time.Hour, 1)},
		{Name: "pause of 1 h, a tenth comes back", Event: pause(time.Hour, 0.1)},
		{Name: "commanded -50 %", Event: func(m *Miner) { m.Command(m.Hashrate/2, 3*time.Second) }},
		{Name: "commanded pause and restore", Event: func(m *Miner) {
			h := m.Hashrate
			m.Command(0, 3*time.Second)
			m.Run(time.Hour, nil)
			m.Command(h, 90*time.Second)
		}},
		{Name: "proxy, 40 of 100 miners leave", Event: func(m *Miner) {
			for range 40 { // one after the other, over 20 s
				m.Hashrate -= hashrate / 100
				m.Run(second/2, nil)
			}
		}},
	}
}

// Rule is an algorithm under its name.
type Rule struct {
	Name  string
	Open  Maker
	Fixed float64 // shares a minute if it has but one
}

// Rules are ours and others'.
func Rules() []Rule {
	return []Rule{
		{Name: "ours", Open: Ours},
		{Name: "ours, 2^n", Open: OursInPowers},
		{Name: "sri ladder", Open: Ladder},
		{Name: "ckpool", Open: Average, Fixed: AverageShares},
	}
}

// Result is how a rule did in a scenario.
type Result struct {
	Scenario string  `json:"scenario"`
	Rule     string  `json:"rule"`
	Wanted   float64 `json:"shares_per_minute"`
	Runs     int     `json:"runs"`

	P50       float64 `json:"right_p50_s"` // time until right, seconds; steady scenarios have none
	P90       float64 `json:"right_p90_s"`
	P99       float64 `json:"right_p99_s"`
	First     float64 `json:"first_change_p50_s"` // time until the target moves at all
	First90   float64 `json:"first_change_p90_s"`
	Within    float64 `json:"right_within_60_s"` // part of the runs
	Missed    float64 `json:"missed"`            // part that was not right within two hours
	Overshoot float64 `json:"overshoot"`         // shares in the minute after, p90, of the wanted ones
	Changes   float64 `json:"changes_per_10_min"`
	Busy      float64 `json:"windows_above_one_change"` // part of windows of ten minutes
}

// Measure runs a rule through a scenario.
func Measure(s Scenario, r Rule, sharesPerMinute float64, runs int, seed uint64) Result {
	if r.Fixed > 0 {
		sharesPerMinute = r.Fixed
	}
	out := Result{Scenario: s.Name, Rule: r.Name, Wanted: sharesPerMinute, Runs: runs}
	var took, peaks, first []float64
	windows, changes, busy := 0, 0, 0
	for i := range runs {
		m := s.begin(r, sharesPerMinute, seed+uint64(i))
		if s.Steady {
			for range 6 {
				before := m.Changes
				m.Run(10*time.Minute, nil)
				windows++
				changes += m.Changes - before
				if m.Changes > before+1 {
					busy++
				}
			}
			continue
		}
		t, peak, moved := s.follow(m, sharesPerMinute)
		took, peaks, first = append(took, t), append(peaks, peak), append(first, moved)
	}
	if s.Steady {
		out.Changes, out.Busy = float64(changes)/float64(windows), float64(busy)/float64(windows)
		return out
	}
	slices.Sort(took)
	slices.Sort(peaks)
	slices.Sort(first)
	out.First, out.First90 = quantile(first, 0.5), quantile(first, 0.9)
	out.P50, out.P90, out.P99 = quantile(took, 0.5), quantile(took, 0.9), quantile(took, 0.99)
	out.Overshoot = quantile(peaks, 0.9) / sharesPerMinute
	within, _ := slices.BinarySearch(took, 60.000001)
	missed, _ := slices.BinarySearch(took, longest.Seconds())
	out.Within, out.Missed = float64(within)/float64(runs), 1-float64(missed)/float64(runs)
	return out
}

// begin is a miner at the moment that is measured from, before its event.
func (s Scenario) begin(r Rule, sharesPerMinute float64, seed uint64) *Miner {
	if s.Cold == nil {
		m := NewMiner(seed, r.Open, hashrate, sharesPerMinute)
		m.Hashrate, m.Refused = hashrate, s.Refused
		m.Run(settling, nil)
		return m
	}
	draw := NewMiner(seed, r.Open, hashrate, sharesPerMinute)
	guess, h := s.Cold(draw)
	m := NewMiner(seed, r.Open, guess, sharesPerMinute)
	m.Hashrate, m.Refused = h, s.Refused
	return m
}

// follow measures how long the rule takes to be right after the event, the shares of the first minute,
// and how long it takes to do anything.
func (s Scenario) follow(m *Miner, sharesPerMinute float64) (took, peak, first float64) {
	if s.Event != nil {
		s.Event(m)
	}
	shares, changes, from := m.Shares, m.Changes, m.now
	counted, moved := false, false
	var since time.Time // when it became right, and has been since
	t := m.Run(longest, func() bool {
		if !counted && m.now.Sub(from) >= time.Minute {
			peak, counted = float64(m.Shares-shares), true
		}
		if !moved && m.Changes > changes {
			first, moved = m.now.Sub(from).Seconds(), true
		}
		if m.Off(m.Hashrate, sharesPerMinute) >= Right {
			since = time.Time{}
			return false
		}
		if since.IsZero() {
			since = m.now
		}
		return m.now.Sub(since) >= lasting
	})
	if !since.IsZero() {
		t = since.Sub(from)
	}
	if !moved {
		first = t.Seconds() // it was right, or never
	}
	if !counted {
		m.Run(max(0, time.Minute-m.now.Sub(from)), nil)
		peak = float64(m.Shares - shares)
	}
	return t.Seconds(), peak, first
}

// quantile is of a sorted list.
func quantile(sorted []float64, p float64) float64 {
	return sorted[min(len(sorted)-1, int(math.Ceil(p*float64(len(sorted))))-1)]
}
