package console

import (
	"cmp"
	"slices"
	"strings"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum"
)

// Bounds of the lists on the page.
const (
	shownBlocks   = 50
	shownEvents   = 120
	shownFirmware = 24
)

// leaseView is one lease of the part "leases", newest first.
type leaseView struct {
	UID       string `json:"uid"`
	Tenant    string `json:"tenant"`
	Site      string `json:"site"`
	Feeder    string `json:"feeder"`
	Watts     int64  `json:"watts"`
	State     string `json:"state"`
	Reason    string `json:"reason"`
	AtRisk    bool   `json:"at_risk"`
	Order     int64  `json:"order"`
	Start     int64  `json:"start"`
	End       int64  `json:"end"`
	Ordered   int64  `json:"ordered"` // 0: not yet
	Proven    int64  `json:"proven"`  // when a meter first showed the watts free
	Active    int64  `json:"active"`
	Gone      int64  `json:"gone"`
	Ended     int64  `json:"ended"`
	Drawn     int64  `json:"drawn"`
	Freed     int64  `json:"freed"`
	Delivered int64  `json:"delivered"` // joules
	Charge    int64  `json:"charge"`    // millisatoshi
	Shortfall int64  `json:"shortfall"` // milliseconds of the slot without proof, closed spans
}

func leasesOf(f *frame) []leaseView {
	out := make([]leaseView, 0, len(f.leases))
	for _, l := range f.leases {
		out = append(out, leaseView{
			UID: string(l.UID), Tenant: string(l.Tenant), Site: string(l.Site), Feeder: string(l.Feeder),
			Watts: int64(l.Watts), State: l.State.String(), Reason: l.Reason, AtRisk: l.AtRisk,
			Order: millis(l.OrderAt), Start: millis(l.Slot.Start), End: millis(l.Slot.End),
			Ordered: millis(l.OrderedAt), Proven: millis(l.ProvenAt), Active: millis(l.ActiveAt),
			Gone: millis(l.GoneAt), Ended: millis(l.EndedAt), Drawn: int64(l.Drawn), Freed: int64(l.Freed),
			Delivered: int64(l.Delivered), Charge: int64(l.Charge), Shortfall: l.Shortfall.Milliseconds(),
		})
	}
	return out
}

// blockView is one found block of the part "blocks", newest first.
type blockView struct {
	Hash    string `json:"hash"`
	Height  int32  `json:"height"`
	Worker  string `json:"worker"`
	Value   int64  `json:"value"` // satoshi
	At      int64  `json:"at"`
	Outcome string `json:"outcome"`
	State   string `json:"state"` // sending, accepted, refused or orphaned
}

func blocksOf(f *frame) []blockView {
	out := []blockView{}
	for _, b := range f.blocks[:min(len(f.blocks), shownBlocks)] {
		v := blockView{
			Hash: b.Hash.String(), Height: b.Height, Worker: string(b.Worker), Value: b.Value,
			At: millis(b.At), Outcome: b.Outcome, State: b.Outcome,
		}
		if state, _, explained := strings.Cut(b.Outcome, ":"); explained {
			v.State = state
		}
		out = append(out, v)
	}
	return out
}

// firmwareView sums the channels of one maker's firmware: the part "firmware", most rejects first.
type firmwareView struct {
	Vendor   string  `json:"vendor"`
	Firmware string  `json:"firmware"`
	Channels int     `json:"channels"`
	Hashrate float64 `json:"hashrate"`
	Accepted uint64  `json:"accepted"`
	Rejected uint64  `json:"rejected"`
	Steered  int     `json:"steered"` // channels of workers that take orders
}

func (f *firmwareView) share() float64 {
	return float64(f.Rejected) / float64(max(1, f.Accepted+f.Rejected))
}

func (c *Console) firmwareOf(f *frame) []firmwareView {
	type key struct{ vendor, firmware string }
	sums, takes := map[key]*firmwareView{}, steered(f)
	for i := range f.channels {
		ch := &f.channels[i]
		k := key{clip(ch.Device.Vendor), clip(ch.Device.Firmware)}
		v := sums[k]
		if v == nil {
			v = &firmwareView{Vendor: k.vendor, Firmware: k.firmware}
			sums[k] = v
		}
		v.add(ch, c.cfg.Scale)
		if takes(ch) {
			v.Steered++
		}
	}
	out := make([]firmwareView, 0, len(sums))
	for _, v := range sums {
		out = append(out, *v)
	}
	slices.SortFunc(out, func(a, b firmwareView) int {
		switch {
		case a.share() != b.share():
			return cmp.Compare(b.share(), a.share())
		case a.Channels != b.Channels:
			return b.Channels - a.Channels
		}
		return strings.Compare(a.Vendor+"\x00"+a.Firmware, b.Vendor+"\x00"+b.Firmware)
	})
	return out[:min(len(out), shownFirmware)]
}

func (f *firmwareView) add(ch *stratum.ChannelStats, scale float64) {
	f.Channels++
	f.Hashrate += float64(ch.Hashrate) * scale
	f.Accepted += ch.Accepted
	f.Rejected += ch.Rejected
}

// steered tells which channels the governor can order about, in whatever way: their connection speaks the
// power extension, an agent of their site does, or they are reached out of band. A channel of a proxy
// is of all who are known to mine behind it.
func steered(f *frame) func(*stratum.ChannelStats) bool {
	reached := map[pool.WorkerID]bool{}
	for s := range f.power.Sites {
		for i := range f.power.Sites[s].Feeders {
			for k := range f.power.Sites[s].Feeders[i].Workers {
				w := &f.power.Sites[s].Feeders[i].Workers[k]
				reached[w.ID] = w.Reachable
			}
		}
	}
	return func(ch *stratum.ChannelStats) bool {
		unreached := func(n stratum.WorkerStats) bool { return !reached[n.Worker] }
		return reached[ch.Worker] || len(ch.Named) > 0 && !slices.ContainsFunc(ch.Named, unreached)
	}
}

// maxShown is the longest text of a device that is shown, in bytes.
const maxShown = 64

// clip shortens what a device says of itself, to valid text.
func clip(s string) string {
	if len(s) > maxShown {
		s = s[:maxShown-1] + "…"
	}
	return strings.ToValidUTF8(s, "�")
}
