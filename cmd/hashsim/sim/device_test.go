package sim

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/fleet/fleettest"
	"github.com/hashlease/hashlease/pool/unit"
)

// drawDevice is a machine of one of ten models that has had some orders; t is when the last was given.
func drawDevice(r *rapid.T) (d *device, t time.Duration) {
	ms := fleettest.Models()
	m := ms[rapid.IntRange(0, len(ms)-1).Draw(r, "model")]
	d = newDevice(fleet.Worker{
		ID:     pool.WorkerID(fmt.Sprintf("a.%d", rapid.IntRange(0, 1000).Draw(r, "worker"))),
		Feeder: "f", Model: m.Name, Curve: m.Curve(curvePoints), Sleep: m.Sleep,
	})
	for range rapid.IntRange(0, 5).Draw(r, "orders") {
		t += time.Duration(rapid.IntRange(0, 20_000).Draw(r, "pause")) * time.Millisecond
		d.order(
			t, fleet.Mode(rapid.IntRange(0, 2).Draw(r, "mode")),
			unit.Watts(rapid.IntRange(0, 6000).Draw(r, "watts")), 0, 0,
		)
	}
	return d, t
}

// Ensure that no order leads out of what the machine can draw: between sleep and full, with its noise.
func TestDevice_StaysWithinItsPower(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		d, from := drawDevice(r)
		for step := range 200 {
			at := from + time.Duration(step)*time.Second/2
			w := d.watts(at)
			if w < d.asleep()*(1-noiseWatts)-1e-9 || w > d.full()*(1+noiseWatts)+1e-9 {
				r.Fatalf("%v W at %v, sleep %v, full %v", w, at, d.asleep(), d.full())
			}
		}
	})
}

// Ensure that power has no jump: between two moments it moves at most as fast as the firmware ramps.
func TestDevice_PowerIsContinuousAcrossOrders(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		d, at := drawDevice(r)
		before := d.planned(at)
		d.order(at, fleet.Paused, 0, 0, 0)
		if after := d.planned(at); math.Abs(after-before) > 1e-9 {
			r.Fatalf("%v W became %v W at once", before, after)
		}
	})
}

// Ensure that within its declared time a device is where the order said, and stays there.
func TestDevice_SettlesWithinItsDeclaredTime(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		d, at := drawDevice(r)
		before := d.planned(at)
		mode := fleet.Mode(rapid.IntRange(0, 2).Draw(r, "last mode"))
		watts := unit.Watts(rapid.IntRange(0, 6000).Draw(r, "last watts"))
		d.order(at, mode, watts, 0, 0)
		c := d.capability()
		declared := c.ReturnIn
		if d.goal(mode, watts) < before {
			declared = c.ShedIn
		}
		if got, want := d.planned(at+declared), d.goal(mode, watts); math.Abs(got-want) > 1e-9 {
			r.Fatalf("%v W after %v, want %v W", got, declared, want)
		}
		if s := d.state(at + declared); s != Mining && s != Sleep {
			r.Fatalf("state is %v after %v", s, declared)
		}
	})
}

// Ensure that a repeated order, under whatever command, neither delays nor restarts the transition, and that
// a lower cap on the way down starts at once.
func TestDevice_OrdersTheSameWayLoseNoTime(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		d, at := drawDevice(r)
		mode := fleet.Mode(rapid.IntRange(0, 2).Draw(r, "mode"))
		d.order(at, mode, 2500, 0, 0)
		end := d.end
		for d.end > at {
			at += time.Second
			if d.order(at, mode, 2500, 0, 0); d.end != end {
				r.Fatalf("a repetition moved the end from %v to %v", end, d.end)
			}
		}
		d.order(at, fleet.Free, 0, 0, 0)
		at += time.Hour
		d.order(at, fleet.Capped, unit.Watts(d.full()-300), 0, 0)
		middle := (d.begin + d.end) / 2
		d.order(middle, fleet.Paused, 0, 0, 0)
		if d.begin != middle {
			r.Fatalf("going on down begins at %v, ordered at %v", d.begin, middle)
		}
	})
}

// Ensure that a cap is kept to the watt: the device holds measured power, whatever its curve.
func TestDevice_CapsAreExactWithinItsRange(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		d, at := drawDevice(r)
		cap := unit.Watts(rapid.IntRange(int(d.lowest())+1, int(d.full())).Draw(r, "cap"))
		d.order(at, fleet.Capped, cap, 0, 0)
		if got := d.planned(at + time.Hour); got != float64(cap) {
			r.Fatalf("draws %v, capped at %v", got, cap)
		}
	})
}

// Ensure that hashrate follows power: none asleep, the plate's at full, never falling as power rises.
func TestDevice_HashrateFollowsPower(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		d, _ := drawDevice(r)
		if h := d.hashrate(d.asleep()); h != 0 {
			r.Fatalf("%v asleep", h)
		}
		if h := d.hashrate(d.full()); math.Abs(float64(h/d.worker.Curve.Full().Hashrate)-1) > 1e-9 {
			r.Fatalf("%v at full power, the plate says %v", h, d.worker.Curve.Full().Hashrate)
		}
		a := rapid.Float64Range(0, d.full()).Draw(r, "a")
		b := rapid.Float64Range(a, d.full()).Draw(r, "b")
		if d.hashrate(a) > d.hashrate(b) {
			r.Fatalf("%v at %v W, %v at %v W", d.hashrate(a), a, d.hashrate(b), b)
		}
	})
}

// Ensure that machines of one model differ by up to 3 % in power, and the same one never.
func TestDevice_JitterIsFixedByName(t *testing.T) {
	least, most := math.Inf(1), math.Inf(-1)
	for i := range 1000 {
		w := fleet.Worker{
			ID: pool.WorkerID(fmt.Sprintf("a.%d", i)), Curve: fleet.Curve{{Watts: 1000, Hashrate: 1}},
		}
		f := newDevice(w).factor
		if newDevice(w).factor != f {
			t.Fatal("the same machine differs from itself")
		}
		least, most = min(least, f), max(most, f)
	}
	if least < 0.97 || least > 0.972 || most > 1.03 || most < 1.028 {
		t.Fatalf("factors from %v to %v", least, most)
	}
}

// Ensure that the self-waking fault ends a sleep after its time and not before.
func TestDevice_WakesItselfWhenFaulty(t *testing.T) {
	m := fleettest.Models()[0]
	d := newDevice(fleet.Worker{ID: "a.b", Model: m.Name, Curve: m.Curve(curvePoints), Sleep: m.Sleep})
	d.fault.SelfWake = Span(time.Minute)
	d.order(0, fleet.Paused, 0, 0, 0)
	wake := d.end + time.Minute
	d.wakeIfDue(wake - 1)
	if d.state(wake-1) != Sleep {
		t.Fatalf("state is %v", d.state(wake-1))
	}
	d.wakeIfDue(wake)
	if got := d.planned(wake + time.Hour); got != d.full() {
		t.Fatalf("draws %v W, want full", got)
	}
}
