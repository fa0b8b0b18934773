package audit

import (
	"time"

	"golang.org/x/sys/unix"
)

// clockRecord is what the system knows of its clock: how far it is off the time that NTP told it.
func clockRecord(now time.Time) Record {
	var t unix.Timex
	state, err := unix.Adjtimex(&t) // mode 0: only read
	if err != nil {
		return Record{At: now, Kind: ClockState, State: "unknown", Text: err.Error()}
	}
	r := Record{At: now, Kind: ClockState, State: "synchronised", Offset: t.Offset, Millis: t.Maxerror / 1000}
	if t.Status&unix.STA_NANO != 0 {
		r.Offset /= 1000
	}
	if state == unix.TIME_ERROR || t.Status&unix.STA_UNSYNC != 0 {
		r.State = "not synchronised"
	}
	return r
}
