package pool

import (
	"strconv"
	"strings"
)

const (
	// LeastDifficulty is the least that a miner may ask for: what a microcontroller can find.
	LeastDifficulty = 1e-6
	// MostDifficulty is the most: work above it would not fit 64 bits.
	MostDifficulty = 1 << 31

	maxPassword = 256 // bytes that are looked at
	maxNumber   = 32  // bytes
)

// Wish is what a miner asks for in its password, because Stratum V1 has no other place for it. Zero says
// that it does not ask.
type Wish struct {
	Difficulty float64 // to begin with: d=, diff=
	Least      float64 // never easier work: md=
	Clamped    bool    // a number was out of range, and the nearest that is not was taken
}

// ParsePassword reads the options of a password: d=, diff= and md= with a number above 0, between commas,
// semicolons, spaces or ampersands, in any case. The rest is somebody's password and ignored, and so is
// what is no number. The last of two counts. Only the first 256 bytes are looked at.
func ParsePassword(password string) Wish {
	var w Wish
	if len(password) > maxPassword {
		password = password[:maxPassword]
	}
	for _, option := range strings.FieldsFunc(password, func(r rune) bool {
		return r == ',' || r == ';' || r == ' ' || r == '&' || r == '\t'
	}) {
		name, text, _ := strings.Cut(option, "=")
		d, ok := parseDifficulty(text)
		if !ok {
			continue
		}
		switch strings.ToLower(name) {
		case "d", "diff":
			w.Difficulty = w.clamp(d)
		case "md":
			w.Least = w.clamp(d)
		}
	}
	return w
}

// parseDifficulty reads a decimal number above 0, with an exponent perhaps. What is too large or too small
// for a float64 is as large or as small as that allows.
func parseDifficulty(text string) (float64, bool) {
	if text == "" || len(text) > maxNumber || strings.Trim(text, "0123456789.eE+-") != "" {
		return 0, false
	}
	d, err := strconv.ParseFloat(text, 64)
	if err != nil && d == 0 {
		return 0, false // no number; one that is out of range is infinite
	}
	return d, d > 0
}

func (w *Wish) clamp(d float64) float64 {
	c := min(max(d, LeastDifficulty), MostDifficulty)
	w.Clamped = w.Clamped || c != d
	return c
}
