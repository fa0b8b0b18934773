package sim

import (
	"fmt"
	"time"
)

// Fault is what is wrong with a device. The zero value is a healthy one.
type Fault struct {
	Ignore   bool    `json:"ignore,omitempty"`   // answers orders and does nothing
	Lie      bool    `json:"lie,omitempty"`      // as Ignore, and reports what was ordered
	Silent   bool    `json:"silent,omitempty"`   // neither follows, answers nor reports
	Dead     bool    `json:"dead,omitempty"`     // its own interface never answers
	SelfWake Span    `json:"self_wake,omitzero"` // wakes by itself after this much sleep
	Report   float64 `json:"report,omitempty"`   // factor on reported watts; 0 is 1
}

// Span is a time span that is written as "90s".
type Span time.Duration

// MarshalText is the span in Go's notation.
func (s Span) MarshalText() ([]byte, error) { return []byte(time.Duration(s).String()), nil }

// UnmarshalText reads a span.
func (s *Span) UnmarshalText(b []byte) error {
	d, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("time %q: a number with s, m or h is accepted, as 90s", b)
	}
	*s = Span(d)
	return nil
}
