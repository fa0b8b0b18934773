package pool

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool/unit"
)

// simulation is a statistical miner: shares are a Poisson process. Time goes in steps.
type simulation struct {
	d       vardiff
	rng     *rand.Rand
	now     time.Time
	job     uint64  // work of the job being mined
	gap     float64 // expected shares until the next one
	changes int
	shares  int
}

func simulate(seed uint64, nominal unit.Hashrate, cfg DifficultyConfig) *simulation {
	s := &simulation{rng: rand.New(rand.NewPCG(seed, 1)), now: time.Unix(1.8e9, 0)}
	s.d.init(cfg, nominal, MaxTarget, s.now)
	s.gap = s.rng.ExpFloat64()
	s.newJob()
	return s
}

func (s *simulation) newJob() {
	s.job = s.d.work
	s.d.mine(s.job, s.now)
}

// run mines at a hashrate, asking for a new target four times a second, until the time is
// over or the condition holds. It returns how long it took.
func (s *simulation) run(h unit.Hashrate, span time.Duration, until func() bool) time.Duration {
	const step = 250 * time.Millisecond
	for t := time.Duration(0); t < span; t += step {
		s.now = s.now.Add(step)
		for s.gap -= float64(h) * step.Seconds() / float64(s.job); s.gap < 0; s.gap += s.rng.ExpFloat64() {
			s.shares++
			s.d.count(s.job, s.now)
		}
		if _, changed := s.d.retarget(s.now); changed {
			s.changes++
			s.newJob()
		}
		if until != nil && until() {
			return t + step
		}
	}
	return span
}

func TestExplore(t *testing.T) {
	cfg := DifficultyConfig{SharesPerMinute: 6, Floor: TargetForHashes(1000)}
	for _, f := range []float64{1, 1000, 100, 10, 4, 2, 1.5, 0.7, 0.5, 0.25, 0.1, 0.01, 0.001} {
		var tt []float64
		var ch, err, first float64
		bad := 0
		const N = 100
		for seed := range uint64(N) {
			h := unit.Hashrate(1e12)
			s := simulate(seed, h*unit.Hashrate(f), cfg)
			d := s.run(h, time.Hour, func() bool { return math.Abs(math.Log(s.d.hashrate/float64(h))) < math.Log(1.5) })
			tt = append(tt, d.Seconds())
			first += float64(s.shares)
			s.changes = 0
			s.run(h, 2*time.Hour, nil)
			ch += float64(s.changes)
			e := math.Abs(math.Log(s.d.hashrate / float64(h)))
			err += e
			if e > math.Log(1.5) {
				bad++
			}
		}
		sum, mx := 0.0, 0.0
		for _, x := range tt {
			sum += x
			mx = max(mx, x)
		}
		t.Logf("guess x%-6g  time to within 1.5: mean %5.0f max %5.0f s, shares till then %6.1f; then changes/10min %.2f, err %.2f bad %d",
			f, sum/N, mx, first/N, ch/N/12, err/N, bad)
	}
}
