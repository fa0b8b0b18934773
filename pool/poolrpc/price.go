package poolrpc

import (
	"context"

	"github.com/hashlease/hashlease/pool"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

// Prices is what power costs, and who is left alone.
type Prices struct {
	// List is what power costs at the sites now, and whom that stops.
	List func() []*hashleasev1.SitePrice
	// SetPin leaves a worker alone, or no longer, durably; Pins are those that are.
	SetPin func(ctx context.Context, worker pool.WorkerID, pinned bool) error
	Pins   func() []*hashleasev1.Pin
	// Release lets a quarantined worker take part again, durably; Quarantined are those that do not.
	Release     func(ctx context.Context, worker pool.WorkerID) error
	Quarantined func() []*hashleasev1.Quarantined
}

func (p *Prices) check(need func(field string, set bool)) {
	need("Prices.List", p.List != nil)
	need("Prices.SetPin", p.SetPin != nil)
	need("Prices.Pins", p.Pins != nil)
	need("Prices.Release", p.Release != nil)
	need("Prices.Quarantined", p.Quarantined != nil)
}

// ListPrices says what power costs at the sites now, and whom that stops.
func (s *Service) ListPrices(
	context.Context, *hashleasev1.ListPricesRequest,
) (*hashleasev1.ListPricesResponse, error) {
	return &hashleasev1.ListPricesResponse{Sites: s.cfg.Prices.List()}, nil
}

// SetPin leaves a worker alone, or no longer.
func (s *Service) SetPin(
	ctx context.Context, req *hashleasev1.SetPinRequest,
) (*hashleasev1.SetPinResponse, error) {
	_, id, err := pool.ParseIdentity(req.GetWorker())
	if err != nil || string(id) != req.GetWorker() {
		var v invalid
		v.add("worker", `"account.worker" is accepted, as the configuration names it`)
		return nil, v.err()
	}
	if err := s.cfg.Prices.SetPin(ctx, id, req.GetPinned()); err != nil {
		return nil, answer(ctx, "SetPin", err)
	}
	return &hashleasev1.SetPinResponse{}, nil
}

// ListPins gives the workers that are left alone.
func (s *Service) ListPins(
	context.Context, *hashleasev1.ListPinsRequest,
) (*hashleasev1.ListPinsResponse, error) {
	return &hashleasev1.ListPinsResponse{Pins: s.cfg.Prices.Pins()}, nil
}
