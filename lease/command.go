package lease

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/hashlease/hashlease/pool/unit"
)

// Command is what Book.Step takes: Create, Amend, Cancel, SetCapacity, Tick, Prove, Confirm, Restart or
// Settle.
type Command interface{ command() }

// Create books a slot.
type Create struct {
	UID       UID // of the new lease; made by the caller, random
	Tenant    TenantID
	RequestID string // empty: not idempotent
	Site      SiteID
	Feeder    FeederID // empty: the best fit is chosen
	Watts     unit.Watts
	Start     time.Time // zero: now
	End       time.Time
	Price     unit.Msat // a kWh; not part of what the tenant asked
	Penalty   unit.Msat // a kWh drawn beyond what the tenant holds; likewise
}

// Cancel ends a lease early. An empty tenant is the operator, who may end any.
type Cancel struct {
	UID       UID
	Tenant    TenantID
	RequestID string // empty: not idempotent
}

// SetCapacity says what a feeder can deliver from the first step on. It replaces every
// earlier word about that time.
type SetCapacity struct {
	Feeder FeederID
	Steps  []CapacityStep // by time, at least one
	Basis  string         // how it was found, for people
	Notice time.Duration  // that a start needs, as measured; 0: as the feeder declares
}

// CapacityStep is deliverable watts from an instant on.
type CapacityStep struct {
	From  time.Time  `json:"from"`
	Watts unit.Watts `json:"watts"`
}

// Tick fires what is due, ends before starts, at most MaxFire of them. With Mark the
// time itself is recorded too, so that service time survives a quiet hour.
type Tick struct{ Mark bool }

// Prove is what meters say of a lease.
type Prove struct {
	UID        UID
	At         time.Time  // when it was measured
	FirstOrder time.Time  // when the first order for it left; zero if there was none
	Watts      unit.Watts // that it is about; 0: whatever the lease holds
	Free       bool       // they are free, by the exact rule of the design
	Gone       bool       // the slot is over and the tenant's meter shows it off
	Drawn      unit.Watts
	Delivered  unit.Joules
	Overrun    unit.Joules // drawn beyond what the tenant held
	Freed      unit.Watts
	Reason     string // why Free is false
}

// Confirm is the operator's word that a tenant without a meter is off.
type Confirm struct{ UID UID }

// Restart forgets proofs that no lease has used yet: whoever gave them is gone.
type Restart struct{}

// Settle notes that a lease's charge is in the ledger.
type Settle struct{ UID UID }

func (Create) command()      {}
func (Cancel) command()      {}
func (SetCapacity) command() {}
func (Tick) command()        {}
func (Prove) command()       {}
func (Confirm) command()     {}
func (Restart) command()     {}
func (Settle) command()      {}

// Digest is the hash of what the tenant asked for: equal for a repeat, whatever the clock says.
func (c Create) Digest() [sha256.Size]byte {
	b := appendText(nil, "create", string(c.Tenant), string(c.Site), string(c.Feeder))
	b = binary.BigEndian.AppendUint64(b, uint64(c.Watts))
	b = appendTime(b, c.Start)
	return sha256.Sum256(appendTime(b, c.End))
}

// Digest is the hash of what was asked for.
func (c Cancel) Digest() [sha256.Size]byte {
	return sha256.Sum256(appendText(nil, "cancel", string(c.Tenant), string(c.UID)))
}

func appendText(b []byte, ss ...string) []byte {
	for _, s := range ss {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

// appendTime writes an instant; no time at all is distinct from every instant.
func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, 0)
	}
	b = binary.BigEndian.AppendUint64(append(b, 1), uint64(t.Unix()))
	return binary.BigEndian.AppendUint32(b, uint32(t.Nanosecond()))
}
