package main

import (
	"testing"
	"time"
)

// Ensure that a moment is read in each of its forms and rounded up to whole seconds.
func TestMoment_ReadsEveryForm(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 500, time.UTC)
	for text, want := range map[string]time.Time{
		"now":                         time.Date(2026, 11, 22, 10, 0, 1, 0, time.UTC),
		"+10m":                        time.Date(2026, 11, 22, 10, 10, 1, 0, time.UTC),
		"2026-11-22T15:04:05Z":        time.Date(2026, 11, 22, 15, 4, 5, 0, time.UTC),
		"2026-11-22T16:04:05.2+01:00": time.Date(2026, 11, 22, 15, 4, 6, 0, time.UTC),
	} {
		var m moment
		if err := m.UnmarshalText([]byte(text)); err != nil {
			t.Errorf("%q: %v", text, err)
		} else if got := m.from(now); !got.Equal(want) {
			t.Errorf("%q is %v, want %v", text, got, want)
		}
	}
	for _, text := range []string{"", "+", "-5m", "10m", "+-5m", "yesterday", "2026-11-22 10:00:00"} {
		var m moment
		if err := m.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as %v", text, m)
		}
	}
}

// Ensure that satoshi are shown exactly.
func TestBitcoins_KeepsEverySatoshi(t *testing.T) {
	for sats, want := range map[int64]string{
		0: "0.00000000 BTC", 1: "0.00000001 BTC", 5_000_012_345: "50.00012345 BTC",
		-1: "-0.00000001 BTC", -1 << 63: "-92233720368.54775808 BTC",
	} {
		if got := bitcoins(sats); got != want {
			t.Errorf("%d is %q, want %q", sats, got, want)
		}
	}
}
