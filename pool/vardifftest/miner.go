package vardifftest

import (
	"math"
	"math/rand/v2"
	"time"
)

const (
	latency = 100 * time.Millisecond // until a miner works under a new target
	second  = time.Second
	busiest = 2000 // shares a second that a connection carries
)

// Miner is a statistical miner: its shares are a Poisson process. Time is simulated.
type Miner struct {
	Algorithm Algorithm
	Hashrate  float64
	Refused   float64 // part of its shares that are refused for other reasons than difficulty
	Changes   int     // of the target
	Shares    int     // accepted

	rng     *rand.Rand
	now     time.Time
	tick    time.Time
	gap     float64 // expected shares until the next one
	work    float64 // it works on
	sent    float64 // work that was announced last
	arrives time.Time
}

var epoch = time.Unix(1.8e9, 0)

// NewMiner returns a miner that has just connected.
func NewMiner(seed uint64, make Maker, guess, sharesPerMinute float64) *Miner {
	m := &Miner{rng: rand.New(rand.NewPCG(seed, 1)), now: epoch, tick: epoch}
	m.now = epoch.Add(time.Duration(m.rng.Int64N(int64(second)))) // nobody's ticks wait for it
	m.Algorithm = make(guess, sharesPerMinute, m.now)
	m.work = m.Algorithm.Work()
	m.sent = m.work
	m.gap = m.rng.ExpFloat64()
	m.tick = m.now.Add(second)
	return m
}

// Run mines for a time, or until the condition, which is asked after every event, holds. It returns
// how long that took.
func (m *Miner) Run(span time.Duration, until func() bool) time.Duration {
	began := m.now
	end := began.Add(span)
	for {
		if until != nil && until() {
			return m.now.Sub(began)
		}
		if !m.step(end) {
			return span
		}
	}
}

// step goes to the next event, or to the end and reports that there was none.
func (m *Miner) step(end time.Time) bool {
	next := end
	if m.tick.Before(next) {
		next = m.tick
	}
	if m.work != m.sent && m.arrives.Before(next) {
		next = m.arrives
	}
	if m.Hashrate > 0 {
		if s := max(m.gap*m.work/m.Hashrate, 1.0/busiest); s < next.Sub(m.now).Seconds() {
			m.now = m.now.Add(time.Duration(s * 1e9))
			m.gap = m.rng.ExpFloat64()
			m.share()
			m.announce()
			return true
		}
	}
	m.gap -= m.Hashrate * next.Sub(m.now).Seconds() / m.work
	m.now = next
	switch {
	case m.work != m.sent && !m.now.Before(m.arrives):
		m.work = m.sent
	case !m.now.Before(m.tick):
		m.tick = m.tick.Add(second)
		m.Algorithm.Tick(m.now)
		m.announce()
	default:
		return false
	}
	return true
}

func (m *Miner) share() {
	if m.Refused > 0 && m.rng.Float64() < m.Refused {
		m.Algorithm.Rejected(m.now)
		return
	}
	m.Shares++
	m.Algorithm.Share(m.work, m.now)
}

// announce lets a new target travel.
func (m *Miner) announce() {
	if w := m.Algorithm.Work(); w != m.sent {
		m.sent = w
		m.arrives = m.now.Add(latency)
		m.Changes++
	}
}

// Command is a change that the pool ordered: it knows of it, and the miner obeys after a few seconds.
func (m *Miner) Command(hashrate float64, obeyed time.Duration) {
	m.Algorithm.Expect(hashrate, m.now)
	m.announce()
	m.Run(obeyed, nil)
	m.Hashrate = hashrate
}

// Off is by what factor the target is off what a hashrate asks for: 1 is right.
func (m *Miner) Off(hashrate, sharesPerMinute float64) float64 {
	return math.Exp(math.Abs(math.Log(m.sent / (hashrate * 60 / sharesPerMinute))))
}
