package pool

import (
	"math"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/hashlease/hashlease/pool/unit"
)

var (
	simulated = &DifficultyConfig{SharesPerMinute: 20, OpeningShares: 120, Floor: TargetForHashes(1000)}
	began     = time.Unix(1.8e9, 0)
)

func newVardiff(cfg *DifficultyConfig, h unit.Hashrate) *Vardiff {
	d := new(Vardiff)
	d.Init(cfg, Declared{Nominal: h, MaxTarget: MaxTarget}, began)
	d.Mine(d.Work(), began)
	return d
}

// mineEvenly lets a miner without luck mine for a time and returns when that is over.
func mineEvenly(d *Vardiff, h float64, from time.Time, span time.Duration) time.Time {
	const step = 100 * time.Millisecond
	done := 0.0
	for now := from; now.Before(from.Add(span)); {
		now = now.Add(step)
		for done += h * step.Seconds(); done >= float64(d.Work()); {
			done -= float64(d.Work())
			d.Count(d.Work(), now)
			if _, changed := d.Retarget(now); changed {
				d.Mine(d.Work(), now)
			}
		}
		if _, changed := d.Retarget(now); changed {
			d.Mine(d.Work(), now)
		}
	}
	return from.Add(span)
}

// near reports whether the target asks about the wanted shares of a hashrate.
func near(d *Vardiff, h, perMinute float64) bool {
	return math.Abs(math.Log(float64(d.Work())*perMinute/60/h)) < math.Log(1.5)
}

// Ensure that easing on silence is bounded, that ordered silence eases nothing, and that a miner
// which comes back, with a thousandth of what it had, gets shares within seconds.
func TestSV2_137_EasingOnSilenceIsBounded(t *testing.T) {
	d := newVardiff(simulated, 1e14)
	now := mineEvenly(d, 1e14, began, 30*time.Minute)
	was := d.Work()
	now = mineEvenly(d, 0, now, 24*time.Hour)
	if ratio := float64(was) / float64(d.Work()); ratio < 1000 || ratio > 6*easeMost*1.01 {
		// Six times more, because it is looked at more closely.
		t.Errorf("a day of silence eased the target by %g, want a bounded part of %d", ratio, 6*easeMost)
	}
	if wait := float64(d.Work()) / 1e11; wait > 60 {
		t.Errorf("a miner with 100 GH/s waits %g s for a share", wait)
	}
	now = mineEvenly(d, 1e11, now, time.Minute)
	if !near(d, 1e11, 20) && !near(d, 1e11, 120) {
		t.Errorf("a minute after it came back a share takes %d hashes", d.Work())
	}
	now = mineEvenly(d, 1e11, now, 30*time.Minute)
	was = d.Work()
	d.Expect(0, 0, now)
	mineEvenly(d, 0, now, 24*time.Hour)
	if d.Work() != was {
		t.Errorf("ordered silence moved the work of a share from %d to %d", was, d.Work())
	}
}

// Ensure that a commanded change is followed in the same moment, and that a device which does not obey
// is found out.
func TestVardiff_FollowsOrdersAtOnce(t *testing.T) {
	d := newVardiff(simulated, 1e14)
	now := mineEvenly(d, 1e14, began, 10*time.Minute)
	d.Expect(3e13, 0, now)
	if got, changed := d.Retarget(now); !changed || got != TargetForHashrate(3e13, 20) {
		t.Fatalf("target %v, changed %v", got, changed)
	}
	d.Mine(d.Work(), now)
	now = mineEvenly(d, 1e14, now, 5*time.Second) // it takes a while to obey
	now = mineEvenly(d, 3e13, now, 10*time.Minute)
	if d.Target() != TargetForHashrate(3e13, 20) {
		t.Errorf("the target became %v though the order was obeyed", d.Target())
	}
	d.Expect(1e12, 0, now)
	d.Retarget(now)
	d.Mine(d.Work(), now)
	mineEvenly(d, 3e13, now, time.Minute)
	if !near(d, 3e13, 20) && !near(d, 3e13, 120) {
		t.Errorf("an order that is not obeyed leaves the work at %d", d.Work())
	}
}

// Ensure that a client which rounds to powers of two gets nothing else above difficulty 1, within
// floor and ceiling.
func TestVardiff_GivesPowersOfTwoWhereTheClientRounds(t *testing.T) {
	cfg := &DifficultyConfig{
		SharesPerMinute: 20, OpeningShares: 120,
		Floor: TargetForDifficulty(3), Ceiling: TargetForDifficulty(5000),
	}
	for _, h := range []float64{1e6, 1e9, 3e9, 1e10, 1e11, 4e12, 1e15, 1e18} {
		var d Vardiff
		d.Init(cfg, Declared{Nominal: unit.Hashrate(h), MaxTarget: MaxTarget, Powers: true}, began)
		d.Mine(d.Work(), began)
		mineEvenly(&d, min(h, 1e13), began, time.Minute)
		log := math.Log2(d.Target().Difficulty())
		if log != math.Round(log) || log < 2 || log > 12 {
			t.Errorf("%g H/s: difficulty %v", h, d.Target().Difficulty())
		}
	}
}

// Ensure that fractions of a difficulty are kept, down to a millionth (SV2-136).
func TestSV2_136_DifficultyKeepsFractions(t *testing.T) {
	for _, want := range []float64{1e-6, 0.00015, 0.3, 1, 2887.25, 16383.75, 1e9 + 0.5} {
		got := TargetForDifficulty(want).Difficulty()
		if math.Abs(got/want-1) > 1e-12 {
			t.Errorf("difficulty %v became %v", want, got)
		}
	}
	if got := TargetForDifficulty(1); got != (Target{3: 0xffff0000}) {
		t.Errorf("difficulty 1 is %v", got)
	}
	for _, d := range []float64{0, -1, math.NaN(), 1e-30} {
		if TargetForDifficulty(d) != MaxTarget {
			t.Errorf("difficulty %v is %v", d, TargetForDifficulty(d))
		}
	}
	cfg := &DifficultyConfig{SharesPerMinute: 20, OpeningShares: 120, Floor: TargetForDifficulty(1e-6)}
	d := newVardiff(cfg, 0)
	mineEvenly(d, 50_000, began, 5*time.Minute) // a microcontroller that declares nothing
	if !near(d, 50_000, 20) {
		t.Errorf("difficulty %v for 50 kH/s", d.Target().Difficulty())
	}
}

// Ensure that a ceiling which is the floor pins the target, whatever is mined: there every hash counts, or
// nearly every one where difficulties are told in three digits.
func TestVardiff_StaysWhereItIsPinned(t *testing.T) {
	for _, decimal := range []bool{false, true} {
		cfg := &DifficultyConfig{
			SharesPerMinute: 6000, OpeningShares: 150, Floor: MaxTarget, Ceiling: MaxTarget,
		}
		var d Vardiff
		d.Init(cfg, Declared{MaxTarget: MaxTarget, Decimal: decimal}, began)
		d.Mine(d.Work(), began)
		pinned := d.Target()
		if share := float64(pinned[3]) / 0x1p64; share < 0.999 {
			t.Fatalf("decimal %v: %v of all hashes count", decimal, share)
		}
		now := began
		for _, h := range []float64{1e5, 10, 1e6, 0, 3e5} {
			now = mineEvenly(&d, h, now, 3*time.Second)
			if d.Target() != pinned {
				t.Fatalf("decimal %v: target went from %v to %v at %v H/s", decimal, pinned, d.Target(), h)
			}
		}
	}
}

// Ensure that no declaration leads past the ceiling, where work would not fit.
func TestVardiff_StaysBelowTheCeiling(t *testing.T) {
	for _, h := range []unit.Hashrate{1e18, 1e24, unit.Hashrate(math.Inf(1)), 1e300} {
		if w := newVardiff(simulated, h).Work(); w > 1<<63+1<<11 {
			t.Errorf("%g H/s: %d hashes a share", float64(h), w)
		}
	}
}

// Ensure that a channel's difficulty takes at most 250 bytes.
func TestVardiff_IsSmall(t *testing.T) {
	size := unsafe.Sizeof(Vardiff{})
	t.Logf("%d bytes", size)
	if size > 250 {
		t.Errorf("%d bytes, want at most 250", size)
	}
}

// Ensure that faults of a configuration are all named.
func TestDifficultyConfig_NamesEveryFault(t *testing.T) {
	def := DefaultDifficulty()
	if err := def.Validate(); err != nil {
		t.Error(err)
	}
	c := DifficultyConfig{SharesPerMinute: math.NaN(), OpeningShares: -1}
	err := c.Validate()
	for _, want := range []string{"shares per minute NaN", "opening shares -1", "floor is missing"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	c = DifficultyConfig{SharesPerMinute: 6, Floor: TargetForDifficulty(8), Ceiling: TargetForDifficulty(2)}
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "easier than the floor") {
		t.Errorf("got %v", err)
	}
}
