package lease

import (
	"time"

	"github.com/hashlease/hashlease/pool/unit"
)

// Names of things. All are 1 to 40 of a-z 0-9 - _ and begin with a letter or a
// digit; feeders are unique over all sites.
type (
	UID      string // one lease
	TenantID string // who may use it
	SiteID   string // a place
	FeederID string // one of its metered branches
)

// MaxName is the longest name in bytes.
const MaxName = 40

// ValidName says whether s may name a tenant, a site, a feeder or a lease.
func ValidName(s string) bool {
	if s == "" || len(s) > MaxName || s[0] == '-' || s[0] == '_' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// Revision is a position in the order of all events of a book. The first is 1.
type Revision uint64

// Slot is a window of whole seconds, [Start, End).
type Slot struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// Seconds is the length of the slot.
func (s Slot) Seconds() int64 { return s.End.Unix() - s.Start.Unix() }

// Lease is a tenant's right to a slot. Values are immutable once they are in an event.
type Lease struct {
	UID    UID        `json:"uid"`
	Tenant TenantID   `json:"tenant"`
	Site   SiteID     `json:"site"`
	Feeder FeederID   `json:"feeder"`
	Watts  unit.Watts `json:"watts"`
	Slot   Slot       `json:"slot"` // an early end cuts it

	State     State     `json:"state"`
	Reason    string    `json:"reason,omitempty"` // why it is in this state, for people
	Revision  Revision  `json:"rev"`              // of the event that made this value
	Created   Revision  `json:"created"`          // of the event that booked it: the order of leases
	CreatedAt time.Time `json:"created_at"`
	OrderAt   time.Time `json:"order_at"` // when ordering is due: Start less the feeder's notice

	OrderedAt time.Time `json:"ordered_at,omitzero"` // when the first order to a miner left
	ProvenAt  time.Time `json:"proven_at,omitzero"`  // when a meter first showed the watts free
	ActiveAt  time.Time `json:"active_at,omitzero"`  // when they were first the tenant's to draw
	GoneAt    time.Time `json:"gone_at,omitzero"`    // when the tenant's meter showed it off
	EndedAt   time.Time `json:"ended_at,omitzero"`   // when it reached its last state

	Proven     bool          `json:"proven,omitempty"` // what the newest proof said
	Drawn      unit.Watts    `json:"drawn,omitempty"`
	Delivered  unit.Joules   `json:"delivered,omitempty"` // at the tenant's meter, within the slot
	Overrun    unit.Joules   `json:"overrun,omitempty"`   // drawn beyond what it held, also after the slot
	Freed      unit.Watts    `json:"freed,omitempty"`     // mining freed for it, at the meter
	MeasuredAt time.Time     `json:"measured_at,omitzero"`
	ReadAt     time.Time     `json:"read_at,omitzero"`     // of the reading that last moved it
	ShortSince time.Time     `json:"short_since,omitzero"` // start of the open shortfall span
	Shortfall  time.Duration `json:"shortfall,omitempty"`  // sum of the closed spans
	AtRisk     bool          `json:"at_risk,omitempty"`    // the feeder's capacity is below its bookings

	Granted   unit.Watts  `json:"granted,omitempty"`   // DEGRADED by growth: may be drawn until ShortSince
	Promised  unit.Joules `json:"promised,omitempty"`  // up to ChangedAt
	ChangedAt time.Time   `json:"changed_at,omitzero"` // when its watts last changed within the slot

	Price   unit.Msat `json:"price,omitempty"`   // a kWh, fixed at booking
	Penalty unit.Msat `json:"penalty,omitempty"` // a kWh of Overrun, fixed at booking
	Charge  unit.Msat `json:"charge,omitempty"`  // owed, known once COMPLETED
	Settled bool      `json:"settled,omitempty"` // the charge is in the ledger
}

// ShortfallAt is how much of the slot passed by t without proof, with the open span.
func (l *Lease) ShortfallAt(t time.Time) time.Duration {
	if l.ShortSince.IsZero() {
		return l.Shortfall
	}
	if t.After(l.Slot.End) {
		t = l.Slot.End
	}
	return l.Shortfall + max(0, t.Sub(l.ShortSince))
}

// Claims says whether mining must leave the lease's watts free: from its order on until the
// tenant's meter shows it off. A FAILED lease claims too, because a tenant that
// was never granted the watts may draw them all the same.
func (l *Lease) Claims() bool {
	switch l.State {
	case Preparing, Active, Degraded, Ending:
		return true
	case Failed:
		return l.GoneAt.IsZero()
	default:
		return false
	}
}

// EnergyBound is the most energy that is billed: what was promised over the whole slot, amendments included.
func (l *Lease) EnergyBound() unit.Joules { return l.promisedBy(l.Slot.End) }
