package lease_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hashlease/hashlease/lease"
)

// Ensure that where it was measured how long watts take to be freed, no slot begins sooner: an exact one
// is refused with the time that is accepted, and one as soon as possible begins then. A restored book
// knows it too.
func TestBook_SellsTheMeasuredNotice(t *testing.T) {
	b := newBook(t, lease.DefaultLimits())
	give := func(notice time.Duration) {
		for _, f := range yard {
			c := lease.SetCapacity{Feeder: f.ID, Notice: notice}
			c.Steps = []lease.CapacityStep{{From: t0, Watts: 100}}
			if _, err := b.Step(c, t0); err != nil {
				t.Fatal(err)
			}
		}
	}
	give(0)
	ask := func(start time.Time) (*lease.Lease, error) {
		return b.Check(lease.Create{
			UID: "l", Tenant: "acme", Site: "yard", Watts: 10, Start: start, End: at(600),
		}, t0)
	}
	if l, err := ask(time.Time{}); err != nil || !l.Slot.Start.Equal(t0) {
		t.Errorf("nothing measured: %+v, error %v", l, err)
	}
	give(45 * time.Second)
	if l, err := ask(time.Time{}); err != nil || !l.Slot.Start.Equal(at(45)) || !l.OrderAt.Equal(t0) {
		t.Errorf("as soon as possible: %+v, error %v", l, err)
	}
	_, err := ask(at(44))
	if r, ok := errors.AsType[*lease.Refusal](err); !ok || r.Kind != lease.TimeOutOfRange ||
		!strings.Contains(r.Detail, at(45).Format(time.RFC3339)) {
		t.Errorf("too soon: %v", err)
	}
	if l, err := ask(at(45)); err != nil || !l.Slot.Start.Equal(at(45)) {
		t.Errorf("in time: %+v, error %v", l, err)
	}
	again := newBook(t, lease.DefaultLimits())
	if err := again.Restore(b.Snapshot()); err != nil || again.MeasuredNotice("north") != 45*time.Second {
		t.Errorf("restored: %v, error %v", again.MeasuredNotice("north"), err)
	}
	c := lease.SetCapacity{Feeder: "north", Notice: 25 * time.Hour, Steps: []lease.CapacityStep{{From: t0}}}
	if _, err := b.Step(c, t0); err == nil {
		t.Error("a notice of 25 h is taken")
	}
}
