package console

import (
	"fmt"
	"math"
	"time"

	"github.com/hashlease/hashlease/lease"
	"github.com/hashlease/hashlease/lease/service"
	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/ledger"
	"github.com/hashlease/hashlease/pool/node"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/stratum"
)

const (
	fakeFeeders = 4
	fakeWorkers = 50 // of a feeder
	fakeFull    = unit.Watts(3500)
	fakeLimit   = unit.Watts(190_000)
	fakeBase    = unit.Watts(11_400)
	fakeLeased  = unit.Watts(60_000)
	hostile     = `<img src=x onerror=alert(1)>"'&`
)

// fakeRooms are rooms that read as if a site had been running since start: feeder f1 has an active
// lease, the others mine. Everything follows from the time, so that nothing has to run.
type fakeRooms struct{ start time.Time }

func (r fakeRooms) reader() reader {
	return reader{
		figures: func() *figures { return r.figures(time.Now()) },
		history: func(id fleet.FeederID) []governor.Sample { return r.history(id, time.Now()) },
		totals: func() []ledger.WorkerTotal {
			return []ledger.WorkerTotal{{Worker: workerID(0, 0), Account: "north", Shares: 4321}}
		},
	}
}

func workerID(feeder, i int) pool.WorkerID {
	return pool.WorkerID(fmt.Sprintf("north.asic-%03d", i*fakeFeeders+feeder+1))
}

// asleep is how many workers of a feeder give way at a moment: f1 for its lease, which cycles.
func (r fakeRooms) asleep(feeder int, at time.Time) int {
	if feeder != 0 {
		return 0
	}
	switch phase := math.Mod(at.Sub(r.start).Seconds(), 240); {
	case phase < 100:
		return 0
	case phase < 110:
		return int(1.7 * (phase - 100))
	case phase < 180:
		return 17
	default:
		return int(max(0, 17-(phase-180)/2))
	}
}

func (r fakeRooms) drawn(feeder int, at time.Time) unit.Watts {
	phase := math.Mod(at.Sub(r.start).Seconds(), 240)
	if feeder == 0 && phase >= 112 && phase < 178 {
		return fakeLeased - 800
	}
	return 0
}

func (r fakeRooms) history(id fleet.FeederID, now time.Time) []governor.Sample {
	feeder := -1
	for i := range fakeFeeders {
		if id == feederID(i) {
			feeder = i
		}
	}
	if feeder < 0 {
		return nil
	}
	var out []governor.Sample
	for at := now.Add(-20 * time.Minute).Truncate(time.Second); at.Before(now); at = at.Add(time.Second) {
		out = append(out, r.sample(feeder, at))
	}
	return out
}

func feederID(i int) fleet.FeederID { return fleet.FeederID(fmt.Sprintf("f%d", i+1)) }

func (r fakeRooms) sample(feeder int, at time.Time) governor.Sample {
	noise := unit.Watts(120 * math.Sin(float64(at.Unix()+int64(feeder*7))/9))
	s := governor.Sample{
		At: at, Limit: fakeLimit, Base: fakeBase + noise, Tenant: r.drawn(feeder, at),
		Mining: unit.Watts(fakeWorkers-r.asleep(feeder, at))*fakeFull - noise/2,
	}
	if r.asleep(feeder, at) > 0 {
		s.Claimed = fakeLeased
	}
	s.Total = s.Base + s.Tenant + s.Mining
	s.Bound = s.Limit - s.Limit/125 - s.Base - s.Claimed
	return s
}

func (r fakeRooms) figures(now time.Time) *figures {
	f := &figures{
		at: now, work: node.State{Phase: node.Ready}, watch: node.WatchStats{Rounds: 31, Height: 214},
		nodes: []node.NodeState{{Name: "btcd-1", State: node.State{Phase: node.Ready}}},
		relay: node.RelayStats{Found: 12, Accepted: 11, Pending: 1},
		power: governor.Status{At: now, Ready: true, Revision: 3, Orders: 61, Refreshes: 20},
		book: service.Stats{Live: 2, Leases: map[lease.State]int{
			lease.Active: 1, lease.Scheduled: 1, lease.Completed: 1,
		}},
		shares:     ledger.SharesStats{Workers: 200, Shares: 4321},
		blockStats: ledger.BlocksStats{Found: 12, Accepted: 11, Kept: 12},
	}
	r.addPower(f)
	addChannels(f, r.start)
	r.addLeases(f)
	r.addEvents(f)
	for i := range 12 {
		b := ledger.FoundBlock{
			Height: int32(213 - i), Worker: workerID(i%4, i*3%50), Value: 50_0000_0000,
			At: now.Add(-time.Duration(i*9+4) * time.Second), Outcome: ledger.OutcomeAccepted,
		}
		b.Hash[0], b.Hash[1] = byte(i), 7
		f.blocks = append(f.blocks, b)
	}
	f.blocks[0].Outcome = ledger.OutcomeSending
	return f
}

func (r fakeRooms) addPower(f *figures) {
	site := governor.SiteStatus{ID: "north", Name: "North yard"}
	for i := range fakeFeeders {
		s := r.sample(i, f.at)
		fs := governor.FeederStatus{
			ID: feederID(i), Arm: fleet.Act, Limit: s.Limit, Reserve: s.Limit / 125,
			Total: s.Total, Base: s.Base, Mining: s.Mining, Tenant: s.Tenant, Claimed: s.Claimed,
			Bound: s.Bound,
			Full:  fakeWorkers * fakeFull, State: "ok", Fresh: true,
			ReadingAt: f.at.Add(-300 * time.Millisecond),
		}
		for k := range fakeWorkers {
			w := governor.WorkerStatus{
				ID: workerID(i, k), Model: "Antminer S21", Watts: fakeFull, Full: fakeFull,
				Reported: fakeFull - unit.Watts(k), State: "free", Reachable: true,
			}
			switch asleep := r.asleep(i, f.at); {
			case k < asleep:
				w.Mode, w.Watts, w.Reported, w.State, w.Command = fleet.Paused, 40, 43, "paused", 1
				w.Evidence = fleet.MeterConfirmed
				fs.Curtailed++
			case k == asleep && asleep > 0:
				w.Mode, w.Watts, w.Reported, w.State, w.Command = fleet.Capped, 2200, 2210, "capped", 2
				fs.Curtailed++
			case i == 2 && k == 7:
				w.Reachable, w.Reported, w.State = false, -1, "out of reach, counted in full"
				fs.Unknown++
			case i == 3 && k == 9:
				w.Stuck, w.State = true, "stuck"
				fs.Stuck++
			}
			fs.Ordered += w.Watts
			fs.Workers = append(fs.Workers, w)
		}
		if fs.Stuck > 0 {
			fs.State = "1 worker does not do as ordered"
		}
		site.Feeders = append(site.Feeders, fs)
	}
	site.Branches = []governor.BranchStatus{
		{
			ID: "north-grid", Kind: fleet.Import, Limit: 3_000_000, Total: 2_800_000, Base: 90_000,
			Mining: 2_000_000, Bound: 2_100_000, Fresh: true, State: "ok",
			Meters: []governor.MeterStatus{{Name: "north-grid total", Watts: 2_800_000}},
		},
		{
			ID: "north-p1", Kind: fleet.PDU, Feeder: "f1", Limit: 90_000,
			State: "80 W more than mining may draw",
		},
	}
	f.power.Sites = []governor.SiteStatus{site}
}

func addChannels(f *figures, start time.Time) {
	makers := []stratum.Device{
		{Vendor: "Braiins", Hardware: "Antminer S21", Firmware: "BOS+ 26.04"},
		{Vendor: "Luxor", Hardware: "Antminer S19k Pro", Firmware: "LuxOS 2026.6"},
		{Vendor: hostile, Hardware: hostile, Firmware: hostile},
	}
	elapsed := uint64(f.at.Sub(start).Seconds())
	for i := range fakeFeeders * fakeWorkers {
		feeder, k := i%fakeFeeders, i/fakeFeeders
		if feeder == 2 && k == 7 {
			continue
		}
		d := makers[min(i%7/4, 1)]
		d.Address = fmt.Sprintf("10.0.%d.%d:40000", feeder, k)
		if i == fakeFeeders*fakeWorkers-1 {
			d = makers[2]
		}
		f.channels = append(f.channels, stratum.ChannelStats{
			Session: uint64(i), Worker: workerID(feeder, k), Device: d, Since: start, Power: true,
			Dialect:   stratum.V2,
			LastShare: f.at.Add(-time.Duration(i%13) * time.Second),
			Accepted:  20 + elapsed/5, Rejected: uint64(i % 3), Difficulty: 1.9e-6, Hashrate: 5000,
		})
	}
	guest := stratum.ChannelStats{Session: 999, Worker: "guest.<b>bold</b>", Hashrate: 3000}
	f.channels = append(f.channels, guest)
	st := &f.stratum
	st.Sessions, st.Channels = len(f.channels), len(f.channels)
	st.Submitted, st.Accepted = 4100+elapsed*40, 4000+elapsed*40
	st.Rejected = map[string]uint64{"stale-share": 90 + elapsed/10, "difficulty-too-low": 10}
	st.Ports = []stratum.PortStats{
		fakePort(":3333", 7, 200, 1), fakePort(":0", 1, 0, 2), fakePort(":0", 2, 0, 3),
	}
	for i := range f.channels {
		st.Hashrate += f.channels[i].Hashrate
	}
	st.TipToLastJob = stratum.Latency{Count: 31, P50: 2100 * time.Microsecond, P99: 7300 * time.Microsecond}
	st.ShareToAck = stratum.Latency{Count: 4000, P50: 420 * time.Millisecond, P99: 1010 * time.Millisecond}
}

func fakePort(name string, v1, v2 int64, failed uint64) stratum.PortStats {
	return stratum.PortStats{
		Name: name, Live: map[stratum.Dialect]int64{stratum.V1: v1, stratum.V2: v2}, Failed: failed,
		Opened: map[stratum.Dialect]uint64{stratum.V1: uint64(v1) * 10, stratum.V2: uint64(v2) * 10},
	}
}

// addLeases adds one over, one as the cycle has it, and one to come, newest first.
func (r fakeRooms) addLeases(f *figures) {
	cycle := r.start.Add(f.at.Sub(r.start).Truncate(240 * time.Second))
	slot := func(from, to int) lease.Slot {
		return lease.Slot{
			Start: cycle.Add(time.Duration(from) * time.Second),
			End:   cycle.Add(time.Duration(to) * time.Second),
		}
	}
	now := lease.Lease{
		UID: "b2active", Tenant: "acme-ai", Site: "north", Feeder: "f1", Watts: fakeLeased,
		Slot: slot(112, 178), OrderAt: cycle.Add(100 * time.Second), State: lease.Scheduled,
	}
	switch {
	case f.at.After(now.Slot.End):
		now.State, now.GoneAt, now.EndedAt = lease.Completed, now.Slot.End.Add(2*time.Second), now.Slot.End
	case f.at.After(now.Slot.Start):
		now.State, now.Drawn, now.Freed, now.Proven = lease.Active, 59_200, 59_900, true
		now.ProvenAt, now.ActiveAt = now.Slot.Start, now.Slot.Start
		now.Delivered = now.Drawn.Over(int64(f.at.Sub(now.Slot.Start).Seconds()))
	case f.at.After(now.OrderAt):
		now.State = lease.Preparing
	}
	if now.State != lease.Scheduled {
		now.OrderedAt = now.OrderAt
	}
	past := lease.Lease{
		UID: "a1over", Tenant: "acme-ai", Site: "north", Feeder: "f1", Watts: fakeLeased,
		Slot: slot(-128, -62), State: lease.Completed,
		OrderAt: cycle.Add(-140 * time.Second), OrderedAt: cycle.Add(-140 * time.Second),
		ProvenAt: cycle.Add(-130 * time.Second), ActiveAt: cycle.Add(-128 * time.Second),
		GoneAt:  cycle.Add(-60 * time.Second),
		EndedAt: cycle.Add(-60 * time.Second), Delivered: 3_900_000, Freed: 59_900,
	}
	next := lease.Lease{
		UID: "c3next", Tenant: "tensorfarm", Site: "north", Feeder: "f3", Watts: 25_000,
		Slot: slot(300, 420), OrderAt: cycle.Add(290 * time.Second), State: lease.Scheduled,
	}
	f.leases = []*lease.Lease{&next, &now, &past}
}

func (r fakeRooms) addEvents(f *figures) {
	for i := range 6 {
		f.powerEvents = append(f.powerEvents, governor.Event{
			Seq: uint64(i), At: r.start.Add(time.Duration(i) * time.Minute),
			Site: "north", Feeder: feederID(i % 4),
			Message: "mining can be kept below its bound again",
		})
	}
	f.powerEvents[3].Level, f.powerEvents[3].Worker = governor.Warn, pool.WorkerID(hostile)
	f.powerEvents[3].Message = "stuck: it does not do as ordered"
	for i, l := range f.leases {
		f.leaseEvents = append(f.leaseEvents,
			&lease.Event{Revision: lease.Revision(2*i + 1), At: r.start, Kind: lease.Booked, Lease: l},
			&lease.Event{
				Revision: lease.Revision(2*i + 2), At: r.start.Add(5 * time.Second),
				Kind: lease.Moved, Lease: l,
			})
	}
}
