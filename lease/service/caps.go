package service

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/hashlease/hashlease/lease"
	"github.com/hashlease/hashlease/pool/fleet"
)

// caps is the whole desired set: the watts of every lease that mining must leave free.
func (s *Service) caps() []fleet.Cap {
	claims := s.view.pick(func(v *view) map[lease.UID]*lease.Lease { return v.claims })
	out := make([]fleet.Cap, len(claims))
	for i, l := range claims {
		out[i] = fleet.Cap{
			Feeder: fleet.FeederID(l.Feeder), Claim: string(l.UID), Tenant: string(l.Tenant), Watts: l.Watts,
			Order: l.OrderAt, From: l.Slot.Start, Until: l.Slot.End,
		}
	}
	slices.SortFunc(out, func(x, y fleet.Cap) int {
		return cmp.Or(cmp.Compare(x.Feeder, y.Feeder), x.From.Compare(y.From), cmp.Compare(x.Claim, y.Claim))
	})
	return out
}

// sendCaps orders the set under a revision that no earlier process or call had.
func (s *Service) sendCaps(ctx context.Context) error {
	rev := fleet.Revision(s.cfg.Term)<<32 | fleet.Revision(s.capsCount.Add(1))
	if err := s.curtailer.SetCaps(ctx, rev, s.caps()); err != nil {
		s.stats.capsFailed.Add(1)
		return fmt.Errorf("ordering caps of revision %d: %w", rev, err)
	}
	s.stats.capsSent.Add(1)
	return nil
}

// runCaps orders the set whenever it changed, until the context ends. A set that was not
// taken is ordered again, as it is by then.
func (s *Service) runCaps(ctx context.Context) {
	for {
		select {
		case <-s.capsWake:
		case <-ctx.Done():
			return
		}
		for {
			cctx, cancel := context.WithTimeout(ctx, callTimeout)
			err := s.sendCaps(cctx)
			cancel()
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return
			}
			s.log.Warn("caps were not taken, trying again", slog.Any("err", err))
			if !sleep(ctx, retryAfter) {
				return
			}
		}
	}
}

// sleep waits and says whether the context still lives.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
