package governor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashlease/hashlease/pool/audit"
	"github.com/hashlease/hashlease/pool/unit"
)

// What the log says of a commissioning; docs/audit.md has the fields of each.
const (
	commissionBegun   = "begun"
	commissionGroup   = "group"
	commissionFound   = "found"
	commissionDone    = "done"
	commissionStopped = "stopped"
	commissionBroken  = "broken off"
)

// noteBegun notes that a commissioning begins to move machines.
func (r *commissionRun) noteBegun(p *CommissionPlan) {
	r.g.note(audit.Record{
		At: time.Now(), Kind: audit.Commission, Site: r.f.Site, Feeder: r.f.ID, State: commissionBegun,
		Watts: p.Step, Limit: p.Limit, Left: p.Groups,
		Text: fmt.Sprintf("%s; the meter's noise is %v", many(p.Workers, "worker", "workers"), p.Noise),
	})
}

// noteGroup notes what a step of one group has shown.
func (r *commissionRun) noteGroup(v *verdict, u *CommissionGroup) {
	workers := make([]string, 0, len(u.Workers))
	for _, id := range u.Workers {
		workers = append(workers, string(id))
	}
	one := audit.Record{
		At: time.Now(), Kind: audit.Commission, Site: r.f.Site, Feeder: r.f.ID, State: commissionGroup,
		Number: uint64(u.Number), Ordered: u.Ordered, Freed: u.Metered, Millis: u.Shed.Milliseconds(),
		Back: u.Return.Milliseconds(), Left: u.Left,
		Text: u.Verdict + ": " + strings.Join(workers, " "),
	}
	if v.spoken {
		one.Said = unit.Watts(v.word)
	}
	if u.Proven {
		one.Proven = len(workers)
	}
	r.g.note(one)
}

// noteFound notes one thing that is wrong.
func (r *commissionRun) noteFound(f *Finding) {
	r.g.note(audit.Record{
		At: f.At, Kind: audit.Commission, Site: r.f.Site, Feeder: f.Feeder, Worker: f.Worker,
		State: commissionFound, Text: string(f.Kind) + ": " + f.Message, Warn: true,
	})
}

// tell says to people and to the log how it ended: done, or why not. The caller holds mu.
func (r *commissionRun) tell(why error, now time.Time) {
	g, res := r.g, &r.result
	level, state, said := Info, commissionDone, "commissioned"
	var stop *errStopped
	switch {
	case errors.As(why, &stop):
		level, state, said = Warn, commissionStopped, "commissioning stopped: "+stop.why
	case errors.Is(why, context.Canceled):
		level, state, said = Warn, commissionBroken, "commissioning broken off by whoever began it"
	case why != nil:
		level, state, said = Warn, commissionBroken, "commissioning broken off: "+why.Error()
	}
	came := fmt.Sprintf("%s proven, %d not, %s", many(res.Proven, "worker", "workers"), res.Unproven,
		many(len(res.Findings), "finding", "findings"))
	g.note(audit.Record{
		At: now, Kind: audit.Commission, Site: r.f.Site, Feeder: r.f.ID, State: state, Text: said,
		Watts: res.Headroom.Firm, Proven: res.Proven, Left: res.Unproven, Found: len(res.Findings),
		Millis: res.Elapsed.Milliseconds(), Warn: level == Warn,
	})
	g.event(now, Event{Level: level, Feeder: r.f.ID, Message: said + "; " + came})
}
