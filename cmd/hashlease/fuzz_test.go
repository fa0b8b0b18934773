package main

import (
	"testing"
	"time"
)

// FuzzOpenEstate reads any text as what a running server hands over: without descriptors no port may come
// of it, and too many words are an error like too few.
func FuzzOpenEstate(f *testing.F) {
	for _, text := range []string{
		`{"pid":1,"ports":[]}`, `{"pid":1,"ports":[{"name":"stratum","listen":":3333"}]}`, `{}`, `null`, `[`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		h, err := openEstate(text, nil)
		if (h == nil) != (err != nil) || h != nil && len(h.ports) != 0 {
			t.Fatalf("%q became %+v (%v)", text, h, err)
		}
	})
}

// FuzzMoment reads any text as a time or a length of time on the command line.
func FuzzMoment(f *testing.F) {
	for _, text := range []string{"now", "+10m", "+-1s", "2026-11-22T15:04:05Z", "90s", "1.5s", "", "+"} {
		f.Add(text)
	}
	now := time.Unix(1_800_000_000, 0)
	f.Fuzz(func(t *testing.T, text string) {
		var m moment
		if m.UnmarshalText([]byte(text)) == nil {
			if at := m.from(now); at.Nanosecond() != 0 || m.at.IsZero() && at.Before(now) {
				t.Errorf("%q is %v, now %v", text, at, now)
			}
		}
		var s span
		err := s.UnmarshalText([]byte(text))
		if d := time.Duration(s); err == nil && (d < time.Second || d%time.Second != 0) {
			t.Errorf("%q is %v", text, time.Duration(s))
		}
	})
}
