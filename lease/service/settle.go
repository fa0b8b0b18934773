package service

import (
	"context"
	"fmt"
	"log/slog"
	"math/bits"

	"github.com/hashlease/hashlease/lease"
	"github.com/hashlease/hashlease/pool/ledger"
	"github.com/hashlease/hashlease/pool/unit"
)

const million = 1_000_000

// entry is a finished lease's charge: the tenant owes it to the site, which passes a share of it
// on to those whose miners gave way. Equal leases make equal entries, so that posting again
// after a crash changes nothing.
func entry(l *lease.Lease, share int64) ledger.Entry {
	e := ledger.Entry{
		ID: "lease/" + string(l.UID), At: l.EndedAt,
		Memo:  memo(l),
		Lines: []ledger.Line{{Account: "tenant/" + string(l.Tenant), Amount: -l.Charge}},
	}
	given := portion(l.Charge, share)
	if rest := l.Charge - given; rest > 0 {
		e.Lines = append(e.Lines, ledger.Line{Account: "site/" + string(l.Site), Amount: rest})
	}
	if given > 0 {
		e.Lines = append(e.Lines, ledger.Line{Account: "curtailed/" + string(l.Feeder), Amount: given})
	}
	return e
}

// memo says what a charge is for.
func memo(l *lease.Lease) string {
	text := fmt.Sprintf("lease %s: %d J at %d msat/kWh on feeder %s", l.UID,
		int64(min(l.Delivered, l.EnergyBound())), int64(l.Price), l.Feeder)
	if l.Overrun > 0 {
		text += fmt.Sprintf(", %d J of overrun at %d msat/kWh", int64(l.Overrun), int64(l.Penalty))
	}
	return text
}

// portion is the share of an amount in parts of a million, rounded down.
func portion(m unit.Msat, share int64) unit.Msat {
	hi, lo := bits.Mul64(uint64(max(0, m)), uint64(min(max(0, share), million)))
	q, _ := bits.Div64(hi, lo, million) // share is at most a million: the quotient is at most m
	return unit.Msat(q)
}

// runSettle posts what is owed, until the context ends. The book notes it after the ledger
// has it; in between, a crash only makes it post the same entry again.
func (s *Service) runSettle(ctx context.Context) {
	for {
		select {
		case <-s.owedWake:
		case <-ctx.Done():
			return
		}
		for !s.settle(ctx) {
			if !sleep(ctx, 5*retryAfter) {
				return
			}
		}
	}
}

// settle posts every owed charge and says whether that went well.
func (s *Service) settle(ctx context.Context) bool {
	for _, l := range s.view.pick(func(v *view) map[lease.UID]*lease.Lease { return v.owed }) {
		if err := s.settleOne(ctx, l); err != nil {
			if ctx.Err() == nil {
				s.stats.postsFailed.Add(1)
				s.log.Warn("charge is not in the ledger yet",
					slog.String("lease_id", string(l.UID)), slog.Any("err", err))
			}
			return false
		}
	}
	return true
}

func (s *Service) settleOne(ctx context.Context, l *lease.Lease) error {
	cctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := s.poster.Post(cctx, entry(l, s.cfg.Share)); err != nil {
		return fmt.Errorf("posting the charge: %w", err)
	}
	s.stats.posted.Add(1)
	if _, err := s.ask(cctx, call{command: lease.Settle{UID: l.UID}}); err != nil {
		return fmt.Errorf("noting the charge: %w", err)
	}
	return nil
}
