package pool

import (
	"math"
	"math/rand/v2"
	"strings"
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

// within reports whether the estimate is nearer to a hashrate than a factor.
func (s *simulation) within(h unit.Hashrate, factor float64) bool {
	return math.Abs(math.Log(s.d.hashrate/float64(h))) < math.Log(factor)
}

var simulated = DifficultyConfig{SharesPerMinute: 6, Floor: TargetForHashes(1000)}

// Ensure that the target finds any hashrate from any guess, in bounded time and without a flood of
// shares on the way, and then stays: on average less than one change in ten minutes.
func TestVardiff_ConvergesAndStays(t *testing.T) {
	const (
		seeds = 40
		h     = unit.Hashrate(1e12)
	)
	for _, c := range []struct {
		guess  unit.Hashrate // of the true hashrate
		mean   time.Duration // until within a factor of two, on average over the seeds
		shares float64       // until then, on average
	}{
		{guess: 1, mean: 1 * time.Second, shares: 2},
		{guess: 0.001, mean: 5 * time.Second, shares: 60},
		{guess: 0.01, mean: 30 * time.Second, shares: 60},
		{guess: 0.1, mean: 60 * time.Second, shares: 60},
		{guess: 0.4, mean: 240 * time.Second, shares: 60},
		{guess: 2.5, mean: 400 * time.Second, shares: 60},
		{guess: 10, mean: 400 * time.Second, shares: 60},
		{guess: 100, mean: 400 * time.Second, shares: 60},
		{guess: 1000, mean: 400 * time.Second, shares: 60},
	} {
		var took time.Duration
		var shares, changes, far int
		for seed := range uint64(seeds) {
			s := simulate(seed, h*c.guess, simulated)
			took += s.run(h, time.Hour, func() bool { return s.within(h, 2) })
			shares += s.shares
			s.changes = 0
			s.run(h, time.Hour, nil)
			changes += s.changes
			if !s.within(h, 1.5) {
				far++
			}
		}
		t.Logf("guess x%-5g: %4.0f s and %4.1f shares to within a factor of 2, then %.2f changes in 10 min",
			float64(c.guess), took.Seconds()/seeds, float64(shares)/seeds, float64(changes)/seeds/6)
		if mean := took / seeds; mean > c.mean {
			t.Errorf("guess x%g: %v on average, want at most %v", float64(c.guess), mean, c.mean)
		}
		if n := float64(shares) / seeds; n > c.shares {
			t.Errorf("guess x%g: %.1f shares on average, want at most %g", float64(c.guess), n, c.shares)
		}
		if n := float64(changes) / seeds / 6; n > 1 {
			t.Errorf("guess x%g: then %.2f changes in ten minutes", float64(c.guess), n)
		}
		if far > seeds/5 {
			t.Errorf("guess x%g: %d of %d are off by half after an hour", float64(c.guess), far, seeds)
		}
	}
}

// Ensure that a miner whose hashrate changes by itself is followed.
func TestVardiff_FollowsSteps(t *testing.T) {
	const seeds = 30
	for _, c := range []struct {
		step unit.Hashrate
		mean time.Duration // until within a factor of 1.5 of the new hashrate
	}{
		{step: 0.1, mean: 10 * time.Minute},
		{step: 0.5, mean: 15 * time.Minute},
		{step: 3, mean: 5 * time.Minute},
		{step: 50, mean: 2 * time.Minute},
	} {
		var took time.Duration
		for seed := range uint64(seeds) {
			s := simulate(seed, 1e12, simulated)
			s.run(1e12, time.Hour, nil)
			h := 1e12 * c.step
			took += s.run(h, time.Hour, func() bool { return s.within(h, 1.5) })
		}
		t.Logf("step x%-4g: %4.0f s", float64(c.step), took.Seconds()/seeds)
		if mean := took / seeds; mean > c.mean {
			t.Errorf("step x%g: %v on average, want at most %v", float64(c.step), mean, c.mean)
		}
	}
}

// Ensure that a commanded change is followed at once and does not confuse the estimator: the shares
// of the old hashrate that still come in are no evidence.
func TestVardiff_FollowsOrdersAtOnce(t *testing.T) {
	changes := 0
	const seeds = 30
	for seed := range uint64(seeds) {
		s := simulate(seed, 1e12, simulated)
		s.run(1e12, 30*time.Minute, nil)
		s.d.expect(2e11, 0, s.now)
		if got, changed := s.d.retarget(s.now); !changed || got != TargetForHashrate(2e11, 6) {
			t.Fatalf("target %v, changed %v", got, changed)
		}
		s.newJob()
		s.run(1e12, 5*time.Second, nil) // it takes a while to obey
		if !s.within(2e11, 1.01) {
			t.Errorf("seed %d: estimate %g after the transition", seed, s.d.hashrate)
		}
		s.changes = 0
		s.run(2e11, 20*time.Minute, nil)
		changes += s.changes
	}
	if n := float64(changes) / seeds / 2; n > 1 {
		t.Errorf("%.2f changes in ten minutes after an order that was obeyed", n)
	}
}

// Ensure that a device which does not obey is found out.
func TestVardiff_SeesThroughOrdersThatAreNotObeyed(t *testing.T) {
	s := simulate(1, 1e12, simulated)
	s.d.expect(1e10, 0, s.now)
	s.newJob()
	if took := s.run(1e12, time.Hour, func() bool { return s.within(1e12, 2) }); took > time.Minute {
		t.Errorf("after %v the estimate is %g", took, s.d.hashrate)
	}
	s.d.expect(0, 0, s.now)
	s.run(0, time.Hour, nil)
	if !s.within(1e12, 2) {
		t.Errorf("ordered silence moved the estimate to %g", s.d.hashrate)
	}
	s.run(1e11, time.Hour, nil) // it mines although nobody told it to
	if s.d.paused || !s.within(1e11, 2) {
		t.Errorf("an hour after it resumed by itself: paused %v, estimate %g", s.d.paused, s.d.hashrate)
	}
}

// Ensure that silence eases the target in bounded steps to a bound, not to nothing, and that the
// machine's return is then met at once.
func TestVardiff_EasesOnSilenceWithinBounds(t *testing.T) {
	s := simulate(1, 1e12, simulated)
	s.run(1e12, 30*time.Minute, nil)
	was := s.d.hashrate
	last := was
	s.run(0, 24*time.Hour, func() bool {
		if s.d.hashrate < last/easeStep*0.999 {
			t.Errorf("eased from %g to %g in one step", last, s.d.hashrate)
		}
		last = s.d.hashrate
		return false
	})
	least := s.d.anchor / easeMost
	if s.d.hashrate < least || s.d.hashrate > least*1.001 || s.d.anchor < was/easeMost {
		t.Errorf("after a day of silence %g, of %g and before it %g", s.d.hashrate, s.d.anchor, was)
	}
	before := s.shares
	if took := s.run(1e12, time.Hour, func() bool { return s.within(1e12, 2) }); took > 30*time.Second {
		t.Errorf("the return takes %v", took)
	}
	if n := s.shares - before; n > 2000 {
		t.Errorf("%d shares on the way", n)
	}
}

// Ensure that a target at its easiest is left alone, however silent the device is.
func TestVardiff_StaysAtTheFloor(t *testing.T) {
	cfg := DifficultyConfig{SharesPerMinute: 6, Floor: TargetForHashes(1 << 40)}
	s := simulate(1, 1, cfg)
	if s.d.target != cfg.Floor {
		t.Fatalf("target %v, want the floor", s.d.target)
	}
	s.run(1e6, 10*time.Hour, nil)
	if s.changes != 0 || s.d.target != cfg.Floor {
		t.Errorf("%d changes, target %v", s.changes, s.d.target)
	}
}

// Ensure that faults of a configuration are all named.
func TestDifficultyConfig_NamesEveryFault(t *testing.T) {
	if err := DefaultDifficulty().Validate(); err != nil {
		t.Error(err)
	}
	err := DifficultyConfig{SharesPerMinute: math.NaN()}.Validate()
	for _, want := range []string{"shares per minute NaN", "floor is missing"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
