package lease

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashlease/hashlease/pool/unit"
)

// ErrCorrupt says that an event does not follow from the ones before it: the journal is not
// this book's, or it is damaged.
var ErrCorrupt = errors.New("event does not follow from the book")

// RefusalKind is why a command was refused: stable codes that peers see.
type RefusalKind uint8

// The kinds of refusal.
const (
	InvalidField    RefusalKind = iota + 1 // a field's value is not accepted
	TimeOutOfRange                         // the slot begins in the past or ends past the horizon
	NoCapacity                             // the watts are not free all through the slot
	QuotaExceeded                          // the tenant has as much as it may
	UnknownSite                            // no such site or feeder
	UnknownLease                           // no such lease of this tenant
	StateForbids                           // the lease's state does not allow it
	RequestIDReused                        // the request id came before with another content
)

var refusalCodes = [...]string{
	"", "INVALID_FIELD", "TIME_OUT_OF_RANGE", "NO_CAPACITY", "QUOTA_EXCEEDED",
	"UNKNOWN_SITE", "UNKNOWN_LEASE", "STATE_FORBIDS", "REQUEST_ID_REUSED",
}

// String is the kind's stable code, UPPER_SNAKE.
func (k RefusalKind) String() string {
	if int(k) >= len(refusalCodes) {
		return fmt.Sprintf("RefusalKind(%d)", uint8(k))
	}
	return refusalCodes[k]
}

// Refusal says why a command was not done, and what would have been accepted. It is an
// error, so that Step has one way to say no; nothing was changed.
type Refusal struct {
	Kind   RefusalKind
	Field  string // path of the field at fault, as lease.watts; empty if none is
	Detail string // for people: what is accepted

	// NoCapacity only.
	Feeder        FeederID   // the best feeder that was tried
	FirstConflict time.Time  // first instant within the slot at which the watts are not free
	MaxFree       unit.Watts // watts that are free all through the slot
	EarliestStart time.Time  // first start at which the slot fits on any feeder asked for; zero: none found
	SearchedUntil time.Time  // how far it was looked for: short of the horizon, the hop budget ended

	// StateForbids only.
	State State
	Call  string // what it forbids: AMEND, CANCEL or CONFIRM
}

// Error is the refusal in one line.
func (r *Refusal) Error() string {
	if r.Field == "" {
		return r.Detail
	}
	return r.Field + ": " + r.Detail
}

func refuse(kind RefusalKind, field, format string, args ...any) *Refusal {
	return &Refusal{Kind: kind, Field: field, Detail: fmt.Sprintf(format, args...)}
}
