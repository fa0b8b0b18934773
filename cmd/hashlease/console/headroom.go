package console

import "github.com/hashlease/hashlease/pool/governor"

// headroomView is what a feeder can deliver to tenants.
type headroomView struct {
	Firm     int64  `json:"firm"`
	Notice   int64  `json:"notice"` // milliseconds
	State    string `json:"state"`
	Reason   string `json:"reason"`  // why there is none, or not all
	Command  string `json:"command"` // what to run about it
	Counted  int    `json:"counted"` // workers
	Findings int    `json:"findings"`
	// Terms are what is taken off the limit: reserve and margin, base load, not counted on, asleep, not
	// freed, source of watts (and more for machines that mine elsewhere), failures, N-1.
	Terms []int64 `json:"terms"`
}

func headroomOf(h *governor.Headroom) headroomView {
	return headroomView{
		Firm: int64(h.Firm), Notice: h.Notice.Milliseconds(), State: h.State.String(), Reason: h.Reason,
		Command: h.Command, Counted: h.Counted, Findings: len(h.Findings),
		Terms: []int64{
			int64(h.Reserve + h.Margin), int64(h.Base), int64(h.NotCounted + h.Heat), int64(h.Asleep),
			int64(h.NotFreed), int64(h.Source + h.Elsewhere), int64(h.Failures), int64(h.Domain),
		},
	}
}
