package shed

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// point is mining's true power at an instant.
type point struct {
	at    time.Duration
	watts float64
}

// series are points by time.
type series []point

// mean is the average from an instant on.
func (s series) mean(from time.Duration) float64 {
	sum, n := 0.0, 0
	for _, p := range s {
		if p.at >= from {
			sum += p.watts
			n++
		}
	}
	return sum / float64(max(1, n))
}

// least is the lowest power.
func (s series) least() float64 {
	low := math.Inf(1)
	for _, p := range s {
		low = min(low, p.watts)
	}
	return low
}

// reached is when the power was first at or below, NaN if never.
func (s series) reached(watts float64) float64 {
	for _, p := range s {
		if p.watts <= watts {
			return p.at.Seconds()
		}
	}
	return math.NaN()
}

// Result is what was measured. A time is null if it never came.
type Result struct {
	Devices    int     `json:"devices"`
	Fleet      string  `json:"fleet"`
	Faulty     int     `json:"faulty_devices"`
	KillServer bool    `json:"server_killed"`
	Governed   bool    `json:"governed"`
	Baseline   float64 `json:"baseline_watts"`
	Ordered    float64 `json:"ordered_watts"`
	Held       float64 `json:"held_watts"` // mean power over the last third of the order

	Half      *float64 `json:"half_s"`
	Most      *float64 `json:"most_s"`
	Nearly    *float64 `json:"nearly_s"` // 99 %
	Proven    *float64 `json:"server_says_proven_s"`
	Planned   int      `json:"devices_in_plan"`      // the first one
	Commanded int      `json:"devices_commanded"`    // until everything was drawn again
	Commands  *float64 `json:"commands_s"`           // until as many were told as the first plan names
	Error     float64  `json:"error_percent"`        // of the baseline
	ErrorW    float64  `json:"error_watts"`          // above 0: too little was freed
	Overshoot float64  `json:"overshoot_percent"`    // of what was ordered
	Return    *float64 `json:"return_s"`             // end of the order to 90 % drawn again
	Device    float64  `json:"largest_device_watts"` // a plan is as exact as that
	Refused   string   `json:"server_said,omitempty"`

	Times []Times `json:"times,omitempty"` // of each firmware
	Blip  *Blip   `json:"blip,omitempty"`  // in place of the times of an order

	Goals  Goals    `json:"goals"`
	Missed []string `json:"missed"` // empty: every goal was reached
}

// judge makes the result of what was recorded.
func (b *bench) judge(base, ordered float64, held, back series) *Result {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := &Result{
		Devices: b.cfg.Devices, Fleet: b.cfg.Fleet, Faulty: len(b.faults()),
		KillServer: b.cfg.KillServer, Governed: !b.cfg.NoGovernor,
		Baseline: base, Ordered: ordered, Held: held.mean(b.cfg.Hold * 2 / 3),
		Planned: len(b.preview), Goals: b.cfg.Goals, Refused: b.refused, Missed: []string{},
		Half: known(held.reached(base - 0.5*ordered)), Most: known(held.reached(base - 0.95*ordered)),
		Nearly: known(held.reached(base - 0.99*ordered)), Times: b.times(),
	}
	if b.cfg.KillServer {
		r.Refused = "" // its stream was cut with it
	}
	if b.proven > 0 {
		r.Proven = known(b.proven)
	}
	for _, d := range b.sim.Devices() {
		r.Device = max(r.Device, d.Full)
	}
	r.ErrorW = r.Held - (base - ordered)
	r.Error = 100 * math.Abs(r.ErrorW) / base
	r.Overshoot = 100 * max(0, (base-ordered-held.least())/ordered)
	enough := r.Held + comeBackShare*(base-r.Held)
	if len(back) > 0 && back[len(back)-1].watts >= enough && r.Half != nil {
		r.Return = known(back[len(back)-1].at.Seconds())
	}
	b.judgeCommands(r)
	r.Missed = append(r.Missed, r.misses()...)
	return r
}

// judgeCommands counts who was told, and how long it took until as many devices were told as the first plan
// names. Which they are may differ: the plan is made anew with the next reading.
func (b *bench) judgeCommands(r *Result) {
	var at []time.Duration
	for _, o := range b.told {
		at = append(at, o.first)
	}
	slices.Sort(at)
	r.Commanded = len(at)
	if r.Planned > 0 && r.Commanded >= r.Planned {
		r.Commands = known(at[r.Planned-1].Seconds())
	}
}

// known is nil for a time that never came.
func known(seconds float64) *float64 {
	if math.IsNaN(seconds) {
		return nil
	}
	return &seconds
}

// misses names every goal that was not reached.
func (r *Result) misses() (missed []string) {
	miss := func(format string, args ...any) { missed = append(missed, fmt.Sprintf(format, args...)) }
	within := func(what string, is *float64, goal float64) {
		switch {
		case goal == 0:
		case is == nil:
			miss("%s: never; the goal is %g s", what, goal)
		case *is > goal:
			miss("%s: %.2f s; the goal is %g s", what, *is, goal)
		}
	}
	within("half of the watts freed", r.Half, r.Goals.Half)
	within("95 % of the watts freed", r.Most, r.Goals.Most)
	within("99 % of the watts freed", r.Nearly, r.Goals.Nearly)
	within("commands at all devices", r.Commands, r.Goals.Commands)
	if r.Error > r.Goals.Error && math.Abs(r.ErrorW) > r.Device {
		miss("steady error: %.2f %% or %.0f W; the goal is %g %% or one device, %.0f W",
			r.Error, r.ErrorW, r.Goals.Error, r.Device)
	}
	if over := r.Overshoot / 100 * r.Ordered; r.Overshoot > r.Goals.Overshoot && over > r.Device {
		miss("overshoot: %.2f %% or %.0f W; the goal is %g %% or one device, %.0f W",
			r.Overshoot, over, r.Goals.Overshoot, r.Device)
	}
	if r.Return == nil {
		miss("90 %% drawn again after the order: never")
	}
	return missed
}
