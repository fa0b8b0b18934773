package main

import (
	"fmt"
	"strings"
	"time"
)

// moment is a point in time as people give it: RFC 3339, "now", or "+10m" from now.
type moment struct {
	at    time.Time
	after time.Duration // from now, if at is zero
}

// UnmarshalText reads a moment.
func (m *moment) UnmarshalText(b []byte) error {
	text := string(b)
	switch {
	case text == "now":
		*m = moment{}
		return nil
	case strings.HasPrefix(text, "+"):
		d, err := time.ParseDuration(text[1:])
		if err == nil && d >= 0 {
			*m = moment{after: d}
			return nil
		}
	default:
		if at, err := time.Parse(time.RFC3339, text); err == nil {
			*m = moment{at: at}
			return nil
		}
	}
	return fmt.Errorf("time %q: now, +10m, or RFC 3339 as 2026-11-22T15:04:05Z is accepted", text)
}

// isNow says that no other time was given.
func (m moment) isNow() bool { return m.at.IsZero() && m.after == 0 }

// from is the moment in whole seconds, rounded up, seen from now.
func (m moment) from(now time.Time) time.Time {
	at := m.at
	if at.IsZero() {
		at = now.Add(m.after)
	}
	if whole := at.Truncate(time.Second); whole.Before(at) {
		return whole.Add(time.Second)
	}
	return at
}

// span is a length of time in whole seconds, above zero.
type span time.Duration

// UnmarshalText reads a length of time with its unit.
func (s *span) UnmarshalText(b []byte) error {
	d, err := time.ParseDuration(string(b))
	if err != nil || d < time.Second || d%time.Second != 0 {
		return fmt.Errorf("duration %q: whole seconds from 1s on are accepted, as 90s, 2m or 1h30m", b)
	}
	*s = span(d)
	return nil
}
