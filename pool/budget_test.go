package pool

import (
	"math"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool/unit"
)

// Ensure that a thousand channels that together want twice the budget keep to it, that they follow it
// one after the other, and that they get their wish back when others leave.
func TestShareBudget_BoundsTheFleetWithoutAStorm(t *testing.T) {
	const channels, h = 1000, 1e14
	cfg := &DifficultyConfig{
		SharesPerMinute: 20, OpeningShares: 120, Floor: TargetForHashes(1 << 32),
		Budget: NewShareBudget(channels * 20 / 60.0 / 2),
	}
	var fleet []*Vardiff
	rate := func() (sum float64) {
		for _, d := range fleet {
			sum += h / float64(d.Work())
		}
		return sum
	}
	now := began
	for range channels {
		d := new(Vardiff)
		d.Init(cfg, Declared{Nominal: unit.Hashrate(h), MaxTarget: MaxTarget}, now)
		d.Mine(d.Work(), now)
		fleet = append(fleet, d)
	}
	debt := make([]float64, channels)
	changes := 0 // in the worst second
	run := func(span time.Duration) (worst float64) {
		for range int(span / time.Second) {
			now = now.Add(time.Second)
			changed := 0
			for i, d := range fleet {
				for debt[i] += h / float64(d.Work()); debt[i] >= 1; debt[i]-- {
					d.Count(d.Work(), now)
				}
				if _, is := d.Retarget(now); is {
					d.Mine(d.Work(), now)
					changed++
				}
			}
			changes = max(changes, changed)
			worst = max(worst, rate())
		}
		return worst
	}
	run(30 * time.Minute)
	if r, bound := rate(), cfg.Budget.bound/60; r > bound || r < bound/2 {
		t.Errorf("%.0f shares/s under a bound of %.0f", r, bound)
	}
	for _, d := range fleet[:800] {
		d.Close()
		d.Close()
	}
	fleet, changes = fleet[800:], 0
	run(3 * time.Minute)
	if r := rate(); r < 200*20/60.0*0.9 {
		t.Errorf("%.0f shares/s of the 67 that 200 channels want and may have", r)
	}
	if changes > 20 {
		t.Errorf("%d of 200 channels changed in one second", changes)
	}
	if got := cfg.Budget.Wished(); math.Abs(got-200*20/60.0) > 0.1 {
		t.Errorf("%g shares/s are wished for by 200 channels", got)
	}
}
