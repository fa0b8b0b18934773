package lease

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/hashlease/hashlease/pool/unit"
)

// EventKind says what happened.
type EventKind string

// The kinds of event: the first five are of a lease, the next three of a feeder.
const (
	Booked        EventKind = "booked"         // a lease was made
	Moved         EventKind = "moved"          // it changed its state
	Amended       EventKind = "amended"        // its watts or its slot changed, its state did not
	Noted         EventKind = "noted"          // something else about it changed
	Settled       EventKind = "settled"        // its charge is in the ledger
	CapacitySet   EventKind = "capacity"       // a feeder can deliver other watts
	ShortfallMade EventKind = "shortfall"      // a feeder can deliver less than is booked on it
	ShortfallOver EventKind = "shortfall_over" // it can deliver its bookings again
	Marked        EventKind = "mark"           // the time, nothing else
)

// Event is a change that a command made. A lease's event carries the whole lease after
// it, so that a fold needs no rule of its own.
type Event struct {
	Revision  Revision       `json:"rev"`
	At        time.Time      `json:"at"` // service time of the command
	Kind      EventKind      `json:"kind"`
	Lease     *Lease         `json:"lease,omitempty"`
	From      State          `json:"from,omitzero"`     // Moved: the state before
	Request   *Request       `json:"request,omitempty"` // the request that made it, for idempotency
	Feeder    FeederID       `json:"feeder,omitempty"`
	Steps     []CapacityStep `json:"steps,omitempty"`     // CapacitySet
	Basis     string         `json:"basis,omitempty"`     // CapacitySet
	Notice    time.Duration  `json:"notice,omitempty"`    // CapacitySet: as measured
	Shortfall *Shortfall     `json:"shortfall,omitempty"` // ShortfallMade
}

// Shortfall is a feeder whose bookings exceed what it can deliver.
type Shortfall struct {
	From  time.Time  `json:"from"`  // the first instant of it, not in the past
	Watts unit.Watts `json:"watts"` // how much is missing at the worst instant
}

// Request remembers a mutation by its id, so that a repeat gets the same answer.
type Request struct {
	Tenant TenantID  `json:"tenant"` // empty: the operator
	Method string    `json:"method"`
	ID     string    `json:"id"`
	Digest Digest    `json:"digest"`
	UID    UID       `json:"uid"`   // the lease that it was about
	Until  time.Time `json:"until"` // forgotten from then on
}

// Digest is a SHA-256 sum, hexadecimal in the journal.
type Digest [sha256.Size]byte

// MarshalText is the sum in hexadecimal.
func (d Digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText reads 64 hexadecimal digits.
func (d *Digest) UnmarshalText(b []byte) error {
	if len(b) != hex.EncodedLen(len(d)) {
		return fmt.Errorf("digest has %d characters: 64 hexadecimal digits are accepted", len(b))
	}
	if _, err := hex.Decode(d[:], b); err != nil {
		return fmt.Errorf("digest: %w", err)
	}
	return nil
}
