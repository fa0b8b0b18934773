package lease

import "fmt"

// State says where a lease is in its life.
type State uint8

// The states. Completed, Cancelled and Failed are final.
const (
	Scheduled State = iota + 1 // booked; its time has not come
	Preparing                  // miners are being throttled for it
	Active                     // a meter shows the watts free
	Degraded                   // the slot has begun and a meter does not show them all free
	Ending                     // the slot is over; the tenant's meter does not show it off yet
	Completed                  // over and priced
	Cancelled                  // ended before its start
	Failed                     // never became active
)

// States are all of them in order.
func States() []State {
	return []State{Scheduled, Preparing, Active, Degraded, Ending, Completed, Cancelled, Failed}
}

var stateNames = [...]string{
	"", "SCHEDULED", "PREPARING", "ACTIVE", "DEGRADED", "ENDING",
	"COMPLETED", "CANCELLED", "FAILED",
}

// String is the state's name in capitals.
func (s State) String() string {
	if s == 0 || int(s) >= len(stateNames) {
		return fmt.Sprintf("State(%d)", uint8(s))
	}
	return stateNames[s]
}

// MarshalText is the state's name: its form in the journal.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a state's name.
func (s *State) UnmarshalText(b []byte) error {
	for i, n := range stateNames {
		if i > 0 && n == string(b) {
			*s = State(i)
			return nil
		}
	}
	return fmt.Errorf("state %q: SCHEDULED, PREPARING, ACTIVE, DEGRADED, ENDING, "+
		"COMPLETED, CANCELLED or FAILED is accepted", b)
}

// Final says whether nothing moves the lease any more.
func (s State) Final() bool { return s == Completed || s == Cancelled || s == Failed }

// Trigger is what can move a lease to another state.
type Trigger uint8

// The triggers. Those of a kind differ by a guard that the book evaluates, so that the
// table stays a function: whether a proof was in hand, and whether the lease was ever ACTIVE.
const (
	OrderDue     Trigger = iota + 1 // start less notice has come
	StartProven                     // the start has come and the newest proof says free
	StartBare                       // the start has come without proof
	ProofFree                       // within the slot a meter shows the watts free
	ProofShort                      // within the slot a meter shows that they are not
	EndDue                          // the end has come and it was once ACTIVE
	EndBare                         // the end has come and it never was
	CancelCalled                    // its tenant or the operator ends it
	ProofGone                       // the tenant's meter shows it off and it was once ACTIVE
	GoneBare                        // the same, and it never was
	Grown                           // it was amended to more watts within its slot
)

// Triggers are all of them in order.
func Triggers() []Trigger {
	return []Trigger{
		OrderDue, StartProven, StartBare, ProofFree, ProofShort,
		EndDue, EndBare, CancelCalled, ProofGone, GoneBare, Grown,
	}
}

var triggerNames = [...]string{
	"", "order due", "start proven", "start bare", "proof free", "proof short",
	"end due", "end bare", "cancel", "proof gone", "gone bare", "grown",
}

// String is the trigger in words.
func (t Trigger) String() string {
	if int(t) >= len(triggerNames) {
		return fmt.Sprintf("Trigger(%d)", uint8(t))
	}
	return triggerNames[t]
}

// table is the whole life of a lease. A pair that is missing changes nothing. No
// row leads from a lease that was ACTIVE to FAILED (design decision 13): the
// bare triggers are given only to one that never was.
var table = map[State]map[Trigger]State{
	Scheduled: {
		OrderDue: Preparing, CancelCalled: Cancelled,
	},
	Preparing: {
		StartProven: Active, StartBare: Degraded, ProofFree: Active,
		EndBare: Failed, CancelCalled: Cancelled,
	},
	Active: {
		ProofShort: Degraded, EndDue: Ending, CancelCalled: Ending, Grown: Degraded,
	},
	Degraded: {
		ProofFree: Active, EndDue: Ending, EndBare: Failed, CancelCalled: Ending,
	},
	Ending: {
		ProofGone: Completed, GoneBare: Failed,
	},
}

// Next is the state that the trigger leads to, and whether the table has the pair.
func Next(s State, t Trigger) (State, bool) {
	n, ok := table[s][t]
	return n, ok
}
