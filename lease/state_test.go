package lease_test

import (
	"testing"

	"github.com/hashlease/hashlease/lease"
)

// Ensure every pair of state and trigger leads where the design says, and nowhere else.
func TestNext_IsTheWholeTable(t *testing.T) {
	want := map[lease.State]map[lease.Trigger]lease.State{
		lease.Scheduled: {lease.OrderDue: lease.Preparing, lease.CancelCalled: lease.Cancelled},
		lease.Preparing: {
			lease.StartProven: lease.Active, lease.StartBare: lease.Degraded, lease.ProofFree: lease.Active,
			lease.EndBare: lease.Failed, lease.CancelCalled: lease.Cancelled,
		},
		lease.Active: {
			lease.ProofShort: lease.Degraded, lease.EndDue: lease.Ending, lease.CancelCalled: lease.Ending,
			lease.Grown: lease.Degraded,
		},
		lease.Degraded: {
			lease.ProofFree: lease.Active, lease.EndDue: lease.Ending,
			lease.EndBare: lease.Failed, lease.CancelCalled: lease.Ending,
		},
		lease.Ending:    {lease.ProofGone: lease.Completed, lease.GoneBare: lease.Failed},
		lease.Completed: {}, lease.Cancelled: {}, lease.Failed: {},
	}
	pairs := 0
	for _, s := range lease.States() {
		for _, tr := range lease.Triggers() {
			pairs++
			got, ok := lease.Next(s, tr)
			if exp, expOK := want[s][tr]; got != exp || ok != expOK {
				t.Errorf("%v on %v: %v %v, want %v %v", s, tr, got, ok, exp, expOK)
			}
			if ok && s.Final() {
				t.Errorf("%v is final and moves on %v", s, tr)
			}
		}
	}
	if pairs != 88 {
		t.Errorf("%d pairs were tried, want 88", pairs)
	}
}

// Ensure names are stable: they are in the journal.
func TestState_SurvivesItsText(t *testing.T) {
	for _, s := range lease.States() {
		b, err := s.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back lease.State
		if err := back.UnmarshalText(b); err != nil || back != s {
			t.Errorf("%s read back as %v: %v", b, back, err)
		}
	}
	var s lease.State
	if err := s.UnmarshalText([]byte("RUNNING")); err == nil {
		t.Error("an unknown state was accepted")
	}
}
