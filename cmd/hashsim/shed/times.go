package shed

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"
)

// orders is what a device was told and when it had done it, since the order to the site. 0: not yet.
type orders struct {
	first, down time.Duration // told to yield, and done
	back, up    time.Duration // told to return, and done
}

// Times are how long machines of one firmware took, each its own: seconds.
type Times struct {
	Firmware string `json:"firmware"`
	Devices  int    `json:"devices"` // that were told to yield
	Told     Spread `json:"told_s"`  // order to the site until the device was told
	Shed     Spread `json:"shed_s"`  // told until down
	Return   Spread `json:"return_s"`
}

// Spread is the middle and the end of what was measured; N is of how many devices.
type Spread struct {
	N      int     `json:"n"`
	Median float64 `json:"median"`
	Most   float64 `json:"p95"`
	Last   float64 `json:"max"`
}

// look notes who has come down, and who is back, by the truth.
func (b *bench) look() {
	b.mu.Lock()
	began := b.ordered
	b.mu.Unlock()
	if began.IsZero() {
		return
	}
	devices := b.sim.Devices()
	b.mu.Lock()
	defer b.mu.Unlock()
	at := time.Since(began)
	for i := range devices {
		d := &devices[i]
		o := b.told[d.Worker]
		if o == nil {
			continue
		}
		rests := d.State == "sleep" || d.State == "mining"
		switch {
		case o.down == 0 && rests && d.Watts < 0.95*d.Full:
			o.down = at
		case o.down > 0 && o.back > 0 && o.up == 0 && d.Watts >= 0.95*d.Full:
			o.up = at
		}
	}
}

// allBack says whether whoever was told to return has.
func (b *bench) allBack() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, o := range b.told {
		if o.down > 0 && o.up == 0 {
			return false
		}
	}
	return true
}

// times sums up what devices took, by firmware. The caller holds mu.
func (b *bench) times() (list []Times) {
	type all struct{ told, shed, back []time.Duration }
	by := map[string]*all{}
	for _, d := range b.sim.Devices() {
		o := b.told[d.Worker]
		if o == nil {
			continue
		}
		a := by[d.Firmware]
		if a == nil {
			a = &all{}
			by[d.Firmware] = a
		}
		a.told = append(a.told, o.first)
		if o.down > 0 {
			a.shed = append(a.shed, o.down-o.first)
		}
		if o.up > 0 {
			a.back = append(a.back, o.up-o.back)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(by)) {
		a := by[name]
		list = append(list, Times{
			Firmware: name, Devices: len(a.told),
			Told: spreadOf(a.told), Shed: spreadOf(a.shed), Return: spreadOf(a.back),
		})
	}
	return list
}

func spreadOf(d []time.Duration) Spread {
	if len(d) == 0 {
		return Spread{}
	}
	slices.SortFunc(d, func(a, b time.Duration) int { return cmp.Compare(a, b) })
	at := func(share float64) float64 { return d[int(math.Ceil(share*float64(len(d))))-1].Seconds() }
	return Spread{N: len(d), Median: at(0.5), Most: at(0.95), Last: at(1)}
}
