package poolrpc_test

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/poolrpc"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

func prices() poolrpc.Prices {
	return poolrpc.Prices{
		List: func() []*hashleasev1.SitePrice {
			return []*hashleasev1.SitePrice{{Site: "sites/north", MsatPerKwh: 42_000}}
		},
		SetPin: func(context.Context, pool.WorkerID, bool) error { return nil },
		Pins:   func() []*hashleasev1.Pin { return []*hashleasev1.Pin{{Worker: "a.w1"}} },
		Release: func(_ context.Context, id pool.WorkerID) error {
			if id != "a.w2" {
				return poolrpc.As(poolrpc.ErrState, errors.New("not quarantined"))
			}
			return nil
		},
		Quarantined: func() []*hashleasev1.Quarantined {
			return []*hashleasev1.Quarantined{{Worker: "a.w2", Why: "woke by itself"}}
		},
	}
}

// Ensure that prices and pins are answered as the room gives them, and that a pin is of a worker with its
// full name.
func TestPrices_AreListedAndPinsChecked(t *testing.T) {
	cfg := config()
	var pinned []string
	cfg.Prices.SetPin = func(_ context.Context, id pool.WorkerID, pin bool) error {
		if id == "a.none" {
			return errors.New("no such worker")
		}
		if pin {
			pinned = append(pinned, string(id))
		}
		return nil
	}
	s, err := poolrpc.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ps, err := s.ListPrices(t.Context(), &hashleasev1.ListPricesRequest{})
	if err != nil || ps.GetSites()[0].GetMsatPerKwh() != 42_000 {
		t.Errorf("prices %v, %v", ps, err)
	}
	pins, err := s.ListPins(t.Context(), &hashleasev1.ListPinsRequest{})
	if err != nil || pins.GetPins()[0].GetWorker() != "a.w1" {
		t.Errorf("pins %v, %v", pins, err)
	}
	for worker, code := range map[string]codes.Code{
		"a.w1": codes.OK, "a": codes.InvalidArgument, "": codes.InvalidArgument,
		"a b.c": codes.InvalidArgument,
	} {
		_, err := s.SetPin(t.Context(), &hashleasev1.SetPinRequest{Worker: worker, Pinned: true})
		if status.Code(err) != code {
			t.Errorf("pinning %q: %v, want %v", worker, err, code)
		}
	}
	if _, err := s.SetPin(t.Context(), &hashleasev1.SetPinRequest{Worker: "a.none"}); err == nil {
		t.Error("the room's refusal was lost")
	}
	for worker, code := range map[string]codes.Code{
		"a.w2": codes.OK, "a.w1": codes.FailedPrecondition, "a": codes.InvalidArgument,
	} {
		_, err := s.ReleaseWorker(t.Context(), &hashleasev1.ReleaseWorkerRequest{Worker: worker})
		if status.Code(err) != code {
			t.Errorf("releasing %q: %v, want %v", worker, err, code)
		}
	}
	q, err := s.ListQuarantined(t.Context(), &hashleasev1.ListQuarantinedRequest{})
	if err != nil || q.GetWorkers()[0].GetWhy() != "woke by itself" {
		t.Errorf("quarantined %v, %v", q, err)
	}
	if len(pinned) != 1 || pinned[0] != "a.w1" {
		t.Errorf("pinned %v", pinned)
	}
}
