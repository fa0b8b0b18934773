package sim

import (
	"hash/fnv"
	"math"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// State is where a device is in its life.
type State uint8

// Mining is settled at some power, RampDown and RampUp are on the way, Sleep is paused.
const (
	Mining State = iota
	RampDown
	Sleep
	RampUp
)

// String is the state's name.
func (s State) String() string {
	return [...]string{"mining", "ramp-down", "sleep", "ramp-up"}[s&3]
}

// How devices of one model differ (docs/hashsim.md).
const (
	jitterWatts = 0.03  // of the curve's watts, fixed for a device's life
	jitterPace  = 0.2   // of the firmware's times
	noiseWatts  = 0.003 // of the present watts, slowly
)

// device is the physics of one ASIC. It knows no clock: every method takes the time
// since the simulation began. It is guarded by its site's mutex.
type device struct {
	worker   fleet.Worker
	firmware Firmware
	factor   float64 // true watts for a nameplate watt
	sheds    float64 // true seconds for a nominal one, on the way down
	returns  float64 // and up
	phase    float64 // of its noise
	period   float64 // of its noise, seconds
	fault    Fault
	booted   time.Duration
	told     float64 // watts that a device which lies was last ordered to; 0: none yet

	mode      fleet.Mode
	from, to  float64 // watts
	begin     time.Duration
	end       time.Duration
	energy    float64       // joules drawn so far
	least     float64       // lowest watts since the last mark, without noise
	sleepSelf time.Duration // when a self-waking device will wake; 0 never
}

// newDevice is a machine at full power. What is particular to it follows from
// its name, so that the same site is the same in every run and every process.
func newDevice(w fleet.Worker) *device { return newDeviceWith(w, firmwareOf(w.Model)) }

// newDeviceWith is newDevice with a firmware that is not its model's usual one.
func newDeviceWith(w fleet.Worker, f Firmware) *device {
	d := &device{worker: w, firmware: f}
	d.factor = 1 + jitterWatts*spread(w, "watts")
	d.sheds, d.returns = 1+jitterPace*spread(w, "pace"), 1+jitterPace*spread(w, "pace")
	if f.ShedMost > 0 {
		d.sheds = tailed(f.ShedDelay+f.ShedRamp, f.ShedMost, spread(w, "shed"))
		d.returns = tailed(f.ReturnDelay+f.ReturnRamp, f.ReturnMost, spread(w, "return"))
	}
	d.phase = math.Pi * spread(w, "phase")
	d.period = 30 + 25*spread(w, "period")
	d.from, d.to, d.least = d.full(), d.full(), d.full()
	return d
}

// spread is a number in [-1, 1) that depends on the worker and the purpose only.
func spread(w fleet.Worker, purpose string) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(purpose + "/" + string(w.ID))) // never fails
	x := h.Sum64()
	x ^= x >> 33 // FNV leaves its high bits weak on short names
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return float64(x>>11)/(1<<52) - 1
}

// tailed is the factor on a median of a machine at u, -1 to 1, in the lognormal distribution that has this
// 95th percentile. Nobody takes longer than twice that.
func tailed(median, most time.Duration, u float64) float64 {
	sigma := math.Log(float64(most)/float64(median)) / 1.645
	x := math.Exp(sigma * math.Sqrt2 * math.Erfinv(u))
	return min(x, 2*float64(most)/float64(median))
}

func (d *device) full() float64   { return d.factor * float64(d.worker.Curve.Full().Watts) }
func (d *device) lowest() float64 { return d.factor * float64(d.worker.Curve[0].Watts) }
func (d *device) asleep() float64 { return float64(d.worker.Sleep) }

// planned is the power at t without noise.
func (d *device) planned(t time.Duration) float64 {
	switch {
	case t <= d.begin:
		return d.from
	case t >= d.end:
		return d.to
	}
	return d.from + (d.to-d.from)*float64(t-d.begin)/float64(d.end-d.begin)
}

// watts is the true power at t.
func (d *device) watts(t time.Duration) float64 {
	return d.planned(t) * (1 + noiseWatts*math.Sin(2*math.Pi*t.Seconds()/d.period+d.phase))
}

// hashrate is what the device hashes at a power: its curve read backwards. Below
// the curve's lowest point it falls to nothing at sleep.
func (d *device) hashrate(watts float64) unit.Hashrate {
	lower := fleet.Point{Watts: d.worker.Sleep}
	at := watts / d.factor
	if at <= float64(lower.Watts) || watts <= d.asleep() {
		return 0
	}
	for _, p := range d.worker.Curve {
		if at <= float64(p.Watts) {
			return lower.Hashrate + (p.Hashrate-lower.Hashrate)*
				unit.Hashrate((at-float64(lower.Watts))/float64(p.Watts-lower.Watts))
		}
		lower = p
	}
	return lower.Hashrate
}

// state is where the device is at t.
func (d *device) state(t time.Duration) State {
	switch {
	case t < d.end && d.to < d.from:
		return RampDown
	case t < d.end && d.to > d.from:
		return RampUp
	case d.mode == fleet.Paused:
		return Sleep
	}
	return Mining
}

// goal is the power that an order leads to: within what the device can do.
func (d *device) goal(mode fleet.Mode, watts unit.Watts) float64 {
	switch mode {
	case fleet.Paused:
		return d.asleep()
	case fleet.Capped:
		return min(max(float64(watts), d.lowest()), d.full())
	case fleet.Free:
	}
	return d.full()
}

// order starts a transition at t. An order for what the device is doing already changes nothing, one
// that goes further the same way loses no time, and one that turns around stops the old transition at once.
func (d *device) order(t time.Duration, mode fleet.Mode, watts unit.Watts, wait, ramp time.Duration) {
	from, to := d.planned(t), d.goal(mode, watts)
	if to == d.to {
		d.mode = mode
		return
	}
	delay, own := paced(d.firmware.ReturnDelay, d.returns), paced(d.firmware.ReturnRamp, d.returns)
	if to < from {
		delay, own = paced(d.firmware.ShedDelay, d.sheds), paced(d.firmware.ShedRamp, d.sheds)
	}
	begin := t + wait + delay
	if t < d.end && (to < from) == (d.to < d.from) {
		begin = max(t+wait, min(d.begin, begin))
	}
	d.from, d.to, d.mode = from, to, mode
	d.begin, d.end = begin, begin+max(ramp, own)
	if from == to {
		d.begin, d.end = t, t
	}
	d.sleepSelf = 0
	if mode == fleet.Paused && d.fault.SelfWake > 0 {
		d.sleepSelf = d.end + time.Duration(d.fault.SelfWake)
	}
}

// wakeIfDue is the self-waking fault.
func (d *device) wakeIfDue(t time.Duration) {
	if d.sleepSelf > 0 && t >= d.sleepSelf {
		d.order(d.sleepSelf, fleet.Free, 0, 0, 0)
	}
}

func paced(t time.Duration, by float64) time.Duration { return time.Duration(float64(t) * by) }

// capability is what the device declares: the times with the slack that a vendor's data sheet has.
func (d *device) capability() fleet.Capability {
	declared := func(t, most time.Duration) time.Duration {
		if most > 0 {
			return most
		}
		return time.Duration(float64(t) * (1 + jitterPace)).Round(time.Millisecond)
	}
	f := d.firmware
	return fleet.Capability{
		Min: unit.Watts(math.Round(d.lowest())), Max: unit.Watts(math.Round(d.full())), Step: 1,
		CanCap: true, CanPause: true, HoldsAlone: true,
		ShedIn:   declared(f.ShedDelay+f.ShedRamp, f.ShedMost),
		ReturnIn: declared(f.ReturnDelay+f.ReturnRamp, f.ReturnMost),
	}
}
