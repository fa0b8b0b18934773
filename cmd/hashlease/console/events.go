package console

import (
	"fmt"
	"slices"

	"github.com/hashlease/hashlease/lease"
	"github.com/hashlease/hashlease/pool/governor"
)

// eventView is one line of the part "events", newest first.
type eventView struct {
	At    int64  `json:"at"`
	Level string `json:"level"` // info or warn
	From  string `json:"from"`  // power or lease
	About string `json:"about"` // feeder, worker or tenant
	Text  string `json:"text"`
}

// eventsOf merges what the governor and the lease book tell.
func eventsOf(f *frame) []eventView {
	out := make([]eventView, 0, len(f.powerEvents))
	for i := range f.powerEvents {
		out = append(out, powerEvent(&f.powerEvents[i]))
	}
	risk := map[lease.UID]bool{} // a note repeats it as long as it lasts
	for _, e := range f.leaseEvents {
		if v, ok := leaseEvent(e, risk); ok {
			out = append(out, v)
		}
	}
	slices.SortStableFunc(out, func(a, b eventView) int { return int(a.At - b.At) })
	slices.Reverse(out)
	return out[:min(len(out), shownEvents)]
}

func powerEvent(e *governor.Event) eventView {
	v := eventView{At: millis(e.At), Level: "info", From: "power", Text: e.Message}
	if e.Level == governor.Warn {
		v.Level = "warn"
	}
	switch {
	case e.Worker != "":
		v.About = string(e.Worker)
	case e.Feeder != "":
		v.About = string(e.Feeder)
	default:
		v.About = string(e.Site)
	}
	return v
}

// leaseEvent is what happened to a lease in words; false for what people need not see. risk holds what
// was said of the leases before.
func leaseEvent(e *lease.Event, risk map[lease.UID]bool) (eventView, bool) {
	v := eventView{At: millis(e.At), Level: "info", From: "lease"}
	switch {
	case e.Kind == lease.ShortfallMade:
		v.Level, v.About = "warn", string(e.Feeder)
		v.Text = fmt.Sprintf("%v less than is booked can be delivered", e.Shortfall.Watts)
		return v, true
	case e.Kind == lease.ShortfallOver:
		v.About, v.Text = string(e.Feeder), "what is booked can be delivered again"
		return v, true
	case e.Lease == nil:
		return v, false
	}
	l := e.Lease
	v.About = string(l.Tenant)
	switch e.Kind {
	case lease.Booked:
		v.Text = fmt.Sprintf("booked %v on %s for %v", l.Watts, l.Feeder, l.Slot.End.Sub(l.Slot.Start))
	case lease.Moved:
		v.Text = fmt.Sprintf("%v on %s is %v", l.Watts, l.Feeder, l.State)
		if l.Reason != "" {
			v.Text += ": " + l.Reason
		}
		if l.State == lease.Degraded || l.State == lease.Failed {
			v.Level = "warn"
		}
	case lease.Amended:
		v.Text = fmt.Sprintf("amended to %v on %s for %v", l.Watts, l.Feeder, l.Slot.End.Sub(l.Slot.Start))
	case lease.Noted:
		was := risk[l.UID]
		if risk[l.UID] = l.AtRisk; l.AtRisk == was {
			return v, false
		}
		v.Text = fmt.Sprintf("%v on %s: %s", l.Watts, l.Feeder, l.Reason)
		if l.AtRisk {
			v.Level = "warn"
		}
	case lease.Settled:
		v.Text = fmt.Sprintf("owes %v for %v on %s", l.Charge, l.Delivered, l.Feeder)
	default:
		return v, false
	}
	return v, true
}
