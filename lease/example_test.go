package lease_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashlease/hashlease/lease"
)

// A book sells what a feeder was said to deliver, and says what would fit instead.
func ExampleNewBook() {
	book, err := lease.NewBook([]lease.Feeder{{ID: "north", Site: "yard"}}, lease.DefaultLimits())
	if err != nil {
		fmt.Println(err)
		return
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []lease.Command{
		lease.SetCapacity{Feeder: "north", Steps: []lease.CapacityStep{{From: now, Watts: 1_000_000}}},
		lease.Create{UID: "a", Tenant: "acme", Site: "yard", Watts: 600_000, End: now.Add(time.Hour)},
		lease.Create{UID: "b", Tenant: "acme", Site: "yard", Watts: 600_000, End: now.Add(time.Hour)},
	} {
		events, err := book.Step(c, now)
		if err != nil {
			if r, ok := errors.AsType[*lease.Refusal](err); ok {
				fmt.Println(r.Kind, r.MaxFree, r.EarliestStart.Format(time.TimeOnly))
			}
			continue
		}
		fmt.Println(events[0].Kind)
	}
	// Output:
	// capacity
	// booked
	// NO_CAPACITY 400 kW 13:00:00
}
