package console

import (
	"math"
	"time"

	"github.com/hashlease/hashlease/lease"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/node"
)

// snapshot is the part "now": what changes every second. Power is in watts, times are Unix
// milliseconds, durations milliseconds, hashrates hashes a second already at the declared scale.
type snapshot struct {
	At      int64      `json:"at"`
	Scale   float64    `json:"scale"`
	Uptime  int64      `json:"uptime"`
	Trouble []string   `json:"trouble"` // why the pool is not well; empty when it is
	Node    nodeView   `json:"node"`
	Pool    poolView   `json:"pool"`
	Workers crowdView  `json:"workers"`
	Blocks  countView  `json:"blocks"`
	Power   powerView  `json:"power"`
	Leases  leaseCount `json:"leases"`
	Sites   []siteView `json:"sites"`
}

type nodeView struct {
	Ready  bool         `json:"ready"`
	State  string       `json:"state"`
	Height int32        `json:"height"` // of the block being mined
	Nodes  []nodeOfView `json:"nodes"`
}

type nodeOfView struct {
	Name  string `json:"name"`
	State string `json:"state"`
	Ready bool   `json:"ready"`
}

type poolView struct {
	Hashrate        float64           `json:"hashrate"`
	Measured        float64           `json:"measured"` // really ground
	Sessions        int               `json:"sessions"`
	Channels        int               `json:"channels"`
	SharesPerMinute *float64          `json:"shares_per_minute"` // null until it is known
	RejectPercent   *float64          `json:"reject_percent"`
	Accepted        uint64            `json:"accepted"`
	Rejected        map[string]uint64 `json:"rejected"`
	TipToLastJob    latencyView       `json:"tip_to_last_job"`
	ShareToAck      latencyView       `json:"share_to_ack"`
}

type latencyView struct {
	Count uint64  `json:"count"`
	P50   float64 `json:"p50"`
	P99   float64 `json:"p99"`
}

// crowdView counts machines: of the fleet, and those that mine here without being in it.
type crowdView struct {
	Total     int `json:"total"`
	Mining    int `json:"mining"`
	Curtailed int `json:"curtailed"` // below full power by order
	Returning int `json:"returning"` // told to run in full, and not there yet
	Away      int `json:"away"`
	Stuck     int `json:"stuck"`
	Strangers int `json:"strangers"`
}

type countView struct {
	Found    uint64 `json:"found"`
	Accepted uint64 `json:"accepted"`
	Pending  int    `json:"pending"`
	Last     int64  `json:"last"` // 0 before the first
}

type powerView struct {
	Limit    int64   `json:"limit"`
	Total    int64   `json:"total"`
	Mining   int64   `json:"mining"`
	Base     int64   `json:"base"`
	Tenant   int64   `json:"tenant"`
	Leased   int64   `json:"leased"` // what tenants hold or draw, whichever is more
	Full     int64   `json:"full"`
	Cost     float64 `json:"cost"` // sat an hour given up
	Orders   uint64  `json:"orders"`
	Failures uint64  `json:"failures"`
}

type leaseCount struct {
	Live   int            `json:"live"`
	States map[string]int `json:"states"` // those that are live
	Watts  int64          `json:"watts"`  // of the active ones
	Owed   int            `json:"owed"`
}

type siteView struct {
	ID      string       `json:"id"`
	Name    string       `json:"name"`
	Stop    *stopView    `json:"stop,omitempty"`  // the emergency stop in force
	Limit   *limitView   `json:"limit,omitempty"` // the lowest in force from outside
	Price   *priceView   `json:"price,omitempty"` // where a tariff is configured
	Feeders []feederView `json:"feeders"`

	Branches []branchView `json:"branches"`
}

type priceView struct {
	Msat    int64  `json:"msat"` // a kWh
	Source  string `json:"source"`
	Next    int64  `json:"next"` // 0: never, or a feed tells
	Then    int64  `json:"then"` // msat a kWh from there on
	Lost    bool   `json:"lost"` // the feed is
	Stopped int    `json:"stopped"`
	Saved   int64  `json:"saved"` // msat an hour
}

type stopView struct {
	At     int64  `json:"at"`
	Reason string `json:"reason,omitempty"`
}

type limitView struct {
	Watts  int64  `json:"watts"`
	Until  int64  `json:"until"`
	Reason string `json:"reason,omitempty"`
}

type feederView struct {
	ID        string `json:"id"`
	Arm       string `json:"arm"`
	State     string `json:"state"`
	OK        bool   `json:"ok"`
	Limit     int64  `json:"limit"`
	Reserve   int64  `json:"reserve"`
	Total     int64  `json:"total"`
	Mining    int64  `json:"mining"`
	Base      int64  `json:"base"`
	Tenant    int64  `json:"tenant"`
	Leased    int64  `json:"leased"`
	Bound     int64  `json:"bound"`
	Ordered   int64  `json:"ordered"`
	Full      int64  `json:"full"`
	Curtailed int    `json:"curtailed"`
	Workers   int    `json:"workers"`
	ReadingAt int64  `json:"reading_at"` // 0 before the first
	Grid      string `json:"grid"`       // two letters a worker: state, and tenths of its full power

	Headroom headroomView `json:"headroom"`
	Devices  devicesView  `json:"devices"`
}

// snapshot makes the part "now".
func (c *Console) snapshot(f *frame) snapshot {
	s := snapshot{
		At: f.at.UnixMilli(), Scale: c.cfg.Scale, Uptime: f.at.Sub(c.started).Milliseconds(),
		Trouble: troubles(f.figures), Node: nodeOf(f.figures), Pool: c.poolOf(f),
		Blocks: countView{
			Found: f.blockStats.Found, Accepted: f.blockStats.Accepted, Pending: f.relay.Pending,
		},
		Leases: leaseCountOf(f.figures),
	}
	if len(f.blocks) > 0 {
		s.Blocks.Last = f.blocks[0].At.UnixMilli()
	}
	known := 0
	for _, site := range f.power.Sites {
		sv := siteView{ID: string(site.ID), Name: site.Name}
		if site.Stop != nil {
			sv.Stop = &stopView{site.Stop.At.UnixMilli(), site.Stop.Reason}
		}
		if l := site.Limit; l != nil {
			sv.Limit = &limitView{int64(l.Watts), l.Until.UnixMilli(), l.Reason}
		}
		if p := &site.Price; p.Known {
			sv.Price = &priceView{
				int64(p.Price), p.Source, millis(p.Next), int64(p.NextPrice), p.FeedFault != "",
				p.Stopped, int64(p.Saved),
			}
		}
		for i := range site.Feeders {
			sv.Feeders = append(sv.Feeders, s.addFeeder(f, &site.Feeders[i], &known))
		}
		sv.Branches = branchesOf(&site)
		s.Sites = append(s.Sites, sv)
	}
	s.Power.Orders, s.Power.Failures = f.power.Orders, f.power.Failures
	s.Workers.Strangers = max(0, len(f.connected)-known)
	return s
}

// addFeeder adds a feeder to the sums and returns its view. known counts its connected workers.
func (s *snapshot) addFeeder(f *frame, fs *governor.FeederStatus, known *int) feederView {
	v := feederView{
		ID: string(fs.ID), Arm: fs.Arm.String(), State: fs.State, OK: fs.State == "ok",
		Limit: int64(fs.Limit), Reserve: int64(fs.Reserve), Total: int64(fs.Total),
		Mining: int64(fs.Mining), Base: int64(fs.Base), Tenant: int64(fs.Tenant),
		Leased: int64(fs.Claimed), Bound: int64(fs.Bound), Ordered: int64(fs.Ordered),
		Full: int64(fs.Full), Curtailed: fs.Curtailed, Workers: len(fs.Workers),
		ReadingAt: millis(fs.ReadingAt), Headroom: headroomOf(&fs.Headroom), Devices: devicesOf(fs),
	}
	grid := make([]byte, 0, 2*len(fs.Workers))
	for i := range fs.Workers {
		w := &fs.Workers[i]
		sessions := f.connected[w.ID]
		if sessions > 0 {
			*known++
		}
		code := codeOf(w, sessions > 0)
		grid = append(grid, byte(code), level(w))
		s.Workers.add(code, w.Mode)
	}
	v.Grid = string(grid)
	p := &s.Power
	p.Limit += v.Limit
	p.Total += v.Total
	p.Mining += v.Mining
	p.Base += v.Base
	p.Tenant += v.Tenant
	p.Leased += v.Leased
	p.Full += v.Full
	p.Cost += float64(fs.Cost) / 1000
	return v
}

// code is a worker's state in one letter.
type code byte

const (
	mining    code = 'm' // at full power
	capped    code = 'c' // below full power
	paused    code = 'p' // asleep
	moving    code = 't' // ordered, and not there yet
	stuck     code = 's' // does not do as ordered, whatever it says
	away      code = 'o' // has no session and takes no orders
	unsteered code = 'n' // mines, and takes no orders
)

func codeOf(w *governor.WorkerStatus, connected bool) code {
	off := w.Reported - w.Watts
	switch {
	case w.Stuck, w.Lying:
		return stuck
	case !w.Reachable && !connected:
		return away
	case !w.Reachable:
		return unsteered
	case w.Command > 0 && w.Reported >= 0 && max(off, -off) > max(50, w.Full/10):
		return moving
	case w.Mode == fleet.Paused:
		return paused
	case w.Mode == fleet.Capped:
		return capped
	}
	return mining
}

// level is how much of its full power a worker draws, '0' to '9', by its own word if it speaks.
func level(w *governor.WorkerStatus) byte {
	watts := w.Reported
	if watts < 0 {
		watts = w.Watts
	}
	if w.Full <= 0 || watts <= 0 {
		return '0'
	}
	return '0' + byte(min(9, 9*watts/w.Full))
}

func (v *crowdView) add(c code, ordered fleet.Mode) {
	v.Total++
	switch {
	case c == stuck:
		v.Stuck++
	case c == away:
		v.Away++
	case c == moving && ordered == fleet.Free:
		v.Returning++
	case c == moving, c == capped, c == paused:
		v.Curtailed++
	default:
		v.Mining++
	}
}

func nodeOf(f *figures) nodeView {
	v := nodeView{Ready: f.work.Phase == node.Ready, State: f.work.String(), Height: f.watch.Height}
	for _, n := range f.nodes {
		v.Nodes = append(v.Nodes, nodeOfView{n.Name, n.State.String(), n.State.Phase == node.Ready})
	}
	return v
}

func (c *Console) poolOf(f *frame) poolView {
	st := &f.stratum
	v := poolView{
		Hashrate: float64(st.Hashrate) * c.cfg.Scale, Measured: float64(st.Hashrate),
		Sessions: st.Sessions, Channels: st.Channels, Accepted: st.Accepted, Rejected: st.Rejected,
		TipToLastJob: latencyView{
			st.TipToLastJob.Count, ms(st.TipToLastJob.P50), ms(st.TipToLastJob.P99),
		},
		ShareToAck: latencyView{st.ShareToAck.Count, ms(st.ShareToAck.P50), ms(st.ShareToAck.P99)},
	}
	if f.rates.known {
		perMinute, percent := round(f.rates.sharesPerMinute), round(f.rates.rejectPercent)
		v.SharesPerMinute, v.RejectPercent = &perMinute, &percent
	}
	return v
}

func leaseCountOf(f *figures) leaseCount {
	v := leaseCount{Live: f.book.Live, States: map[string]int{}, Owed: f.book.Owed}
	for state, n := range f.book.Leases {
		if !state.Final() {
			v.States[state.String()] = n
		}
	}
	for _, l := range f.leases {
		if l.State == lease.Active {
			v.Watts += int64(l.Watts)
		}
	}
	return v
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func ms(d time.Duration) float64 { return round(float64(d) / float64(time.Millisecond)) }

// round keeps a figure for a screen short.
func round(v float64) float64 { return math.Round(v*1000) / 1000 }
