package pool

import (
	"testing"
	"time"
)

// Ensure that the target finds a hashrate that fell or rose unannounced, and one that was paused and
// resumed by order.
func TestSV2_138_ConvergesAfterSteps(t *testing.T) {
	const h = 1e14
	for _, step := range []struct {
		name   string
		to     float64
		within time.Duration
	}{
		{"half", h / 2, 10 * time.Minute},
		{"a tenth", h / 10, 5 * time.Minute},
		{"twice", 2 * h, 5 * time.Minute},
		{"ten times", 10 * h, time.Minute},
	} {
		d := newVardiff(simulated, h)
		now := mineEvenly(d, h, began, 30*time.Minute)
		mineEvenly(d, step.to, now, step.within)
		if !near(d, step.to, 20) {
			t.Errorf("%v after a step to %s a share takes %d hashes", step.within, step.name, d.Work())
		}
	}
	d := newVardiff(simulated, h)
	now := mineEvenly(d, h, began, 30*time.Minute)
	d.Expect(0, 0, now)
	now = mineEvenly(d, 0, now, time.Hour)
	d.Expect(h, 0, now)
	if _, changed := d.Retarget(now); changed {
		d.Mine(d.Work(), now)
	}
	if !near(d, h, 20) {
		t.Errorf("resumed by order, a share takes %d hashes", d.Work())
	}
	mineEvenly(d, h, now, 10*time.Minute)
	if !near(d, h, 20) {
		t.Errorf("10 minutes after it was resumed, a share takes %d hashes", d.Work())
	}
}
