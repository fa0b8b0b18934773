package config

import (
	"bytes"
	"fmt"
	"strconv"
	"time"
)

// Duration is a length of time written with its unit: "30s", "2m", "1h30m", "30d". A bare
// number is refused, because it does not say of what. A day is 24 hours.
type Duration time.Duration

// UnmarshalText reads what time.ParseDuration accepts, not negative.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if days, ok := bytes.CutSuffix(b, []byte("d")); ok {
		var n uint16
		_, err = fmt.Sscan(string(days), &n)
		v = time.Duration(n) * 24 * time.Hour
		if strconv.Itoa(int(n)) != string(days) { // no sign, no fraction, nothing beside it
			v = -1
		}
	}
	if err != nil || v < 0 {
		return fmt.Errorf("duration %q: a number with its unit is accepted, as 30s, 2m, 1h30m or 30d", b)
	}
	*d = Duration(v)
	return nil
}

// String is the duration without zero parts: "2m", not "2m0s".
func (d Duration) String() string {
	v := time.Duration(d)
	switch {
	case v > 24*time.Hour && v%(24*time.Hour) == 0:
		return fmt.Sprintf("%dd", v/(24*time.Hour))
	case v != 0 && v%time.Hour == 0:
		return fmt.Sprintf("%dh", v/time.Hour)
	case v != 0 && v%time.Minute == 0 && v < time.Hour:
		return fmt.Sprintf("%dm", v/time.Minute)
	}
	return v.String()
}

// NodeKind says what program a node is.
type NodeKind string

// Kinds of nodes.
const (
	Btcd NodeKind = "btcd"
	Core NodeKind = "core"
)

// UnmarshalText reads "btcd" or "core".
func (k *NodeKind) UnmarshalText(b []byte) error {
	switch v := NodeKind(b); v {
	case Btcd, Core:
		*k = v
		return nil
	}
	return fmt.Errorf("node kind %q: btcd or core is accepted", b)
}
