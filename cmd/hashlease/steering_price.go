package main

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/poolrpc"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

// prices is what power costs, and who is left alone.
func (s *server) prices() poolrpc.Prices {
	return poolrpc.Prices{
		List: s.listPrices, SetPin: s.setPin, Pins: s.pins, Release: s.release, Quarantined: s.quarantined,
	}
}

func (s *server) listPrices() []*hashleasev1.SitePrice {
	var out []*hashleasev1.SitePrice
	for _, p := range s.governor.Prices() {
		out = append(out, priceMessage(&p))
	}
	return out
}

func priceMessage(p *governor.PriceStatus) *hashleasev1.SitePrice {
	m := &hashleasev1.SitePrice{
		Site: siteName(string(p.Site)), Known: p.Known, MsatPerKwh: int64(p.Price), Source: p.Source,
		NextMsatPerKwh: int64(p.NextPrice), FeedFault: p.FeedFault, MsatPerExahash: p.HashPrice * 1e18,
		Running: int32(p.Running), Stopped: int32(p.Stopped), FreedWatts: int64(p.Freed),
		SavedMsatPerHour: int64(p.Saved),
	}
	if !p.Next.IsZero() {
		m.NextTime = timestamppb.New(p.Next)
	}
	if !p.FeedAt.IsZero() {
		m.FeedTime = timestamppb.New(p.FeedAt)
	}
	for _, k := range p.Models {
		m.Models = append(m.Models, &hashleasev1.ModelPrice{
			Model: k.Model, Workers: int32(k.Workers), Stopped: int32(k.Stopped),
			LeastMsatPerKwh: int64(k.Least), MostMsatPerKwh: int64(k.Most),
		})
	}
	for _, w := range p.Workers {
		m.Workers = append(m.Workers, string(w))
	}
	return m
}

func (s *server) setPin(ctx context.Context, id pool.WorkerID, pinned bool) error {
	return refusedByGovernor(s.governor.SetPin(ctx, id, pinned))
}

func (s *server) pins() []*hashleasev1.Pin {
	var out []*hashleasev1.Pin
	for _, p := range s.governor.Pins() {
		out = append(out, &hashleasev1.Pin{
			Worker: string(p.Worker), Feeder: feederName(p.Site, p.Feeder), ByHand: p.ByHand,
		})
	}
	return out
}

func (s *server) release(ctx context.Context, id pool.WorkerID) error {
	return refusedByGovernor(s.governor.Release(ctx, id))
}

func (s *server) quarantined() []*hashleasev1.Quarantined {
	var out []*hashleasev1.Quarantined
	for _, q := range s.governor.Quarantines() {
		out = append(out, &hashleasev1.Quarantined{
			Worker: string(q.Worker), Feeder: feederName(q.Site, q.Feeder), Time: timestamppb.New(q.At),
			Why: q.Why,
		})
	}
	return out
}
