package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
)

const (
	// freshFor is how long one look serves everybody.
	freshFor = 900 * time.Millisecond
	// window is what "a minute" of a rate means.
	window = time.Minute
	// maxMarks bounds the marks of a window: one for each look.
	maxMarks = 128
)

// part is one piece of the page. Its version changes with its content, so that a stream
// repeats nothing.
type part struct {
	name    string
	version uint64
	data    []byte
}

// frame is one look at the rooms with what the page gets of it. It is immutable.
type frame struct {
	*figures
	connected map[pool.WorkerID]int // channels of a worker, those of its proxies too
	rates     rates
	parts     []part
}

// mark is a point of the share counters.
type mark struct {
	at                            time.Time
	submitted, accepted, rejected uint64
}

// rates are shares over the last minute, or since somebody looks if that is shorter.
type rates struct {
	known           bool
	sharesPerMinute float64
	rejectPercent   float64
}

// view keeps the newest frame. However many look, the rooms are read about once a second.
type view struct {
	mu      sync.Mutex
	last    *frame // guarded by mu, as is everything below
	marks   []mark // oldest first
	version uint64
}

// frame is the newest look at the rooms, or a new one if that is too old.
func (c *Console) frame() *frame {
	v := &c.view
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.last != nil && time.Since(v.last.at) < freshFor {
		return v.last
	}
	f := &frame{figures: c.read.figures()}
	f.connected = make(map[pool.WorkerID]int, len(f.channels))
	for i := range f.channels {
		f.connected[f.channels[i].Worker]++
		for _, n := range f.channels[i].Named {
			f.connected[n.Worker]++
		}
	}
	f.rates = v.rateLocked(f.figures)
	for _, p := range []struct {
		name string
		body any
	}{
		{"now", c.snapshot(f)},
		{"leases", leasesOf(f)},
		{"blocks", blocksOf(f)},
		{"events", eventsOf(f)},
		{"firmware", c.firmwareOf(f)},
	} {
		f.parts = append(f.parts, v.partLocked(p.name, p.body))
	}
	v.last = f
	return f
}

// partLocked encodes a part. One that is as it was keeps its version.
func (v *view) partLocked(name string, body any) part {
	data, err := json.Marshal(body)
	if err != nil { // our own types: a figure that is no number
		data = fmt.Appendf(nil, `{"fault":%q}`, "these figures cannot be shown")
	}
	if v.last != nil {
		for _, old := range v.last.parts {
			if old.name == name && bytes.Equal(old.data, data) {
				return old
			}
		}
	}
	v.version++
	return part{name, v.version, data}
}

// rateLocked notes the share counters and compares them with a minute ago.
func (v *view) rateLocked(f *figures) rates {
	now := mark{at: f.at, submitted: f.stratum.Submitted, accepted: f.stratum.Accepted}
	for _, n := range f.stratum.Rejected {
		now.rejected += n
	}
	old := 0
	for old < len(v.marks) && (f.at.Sub(v.marks[old].at) > window || len(v.marks)-old >= maxMarks) {
		old++
	}
	v.marks = append(append(v.marks[:0], v.marks[old:]...), now)
	first := v.marks[0]
	elapsed := now.at.Sub(first.at)
	if elapsed < time.Second || now.submitted < first.submitted {
		return rates{}
	}
	r := rates{known: true, sharesPerMinute: float64(now.accepted-first.accepted) / elapsed.Minutes()}
	good, bad := float64(now.accepted-first.accepted), float64(now.rejected-first.rejected)
	if good+bad > 0 {
		r.rejectPercent = 100 * bad / (good + bad)
	}
	return r
}

// feederOf finds a feeder's place in the figures.
func (f *figures) hasFeeder(id fleet.FeederID) bool {
	for _, s := range f.power.Sites {
		for i := range s.Feeders {
			if s.Feeders[i].ID == id {
				return true
			}
		}
	}
	return false
}
