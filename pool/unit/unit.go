// Package unit holds the typed numbers that every room shares: watts, joules,
// hashrate, millisatoshi and work. Values that carry money or safety are
// integers; only Hashrate, a statistic, is a float. Each type parses what people write
// and formats what people read.
//
// Arithmetic beyond the language's own, and every rule about the values, belongs to the rooms.
package unit

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Watts is electric power in whole watts.
type Watts int64

// Joules is energy in whole joules (watt-seconds).
type Joules int64

// Msat is money in millisatoshi, a thousandth of 1e-8 bitcoin.
type Msat int64

// Hashrate is hashes a second.
type Hashrate float64

// Multiples of the units.
const (
	Kilowatt Watts    = 1e3
	Megawatt Watts    = 1e6
	KWh      Joules   = 3.6e6
	Sat      Msat     = 1e3
	TeraHash Hashrate = 1e12
)

// ParseWatts reads power: "3250", "3250W", "100kW", "1.5MW". A fraction of a
// watt is refused, as is anything negative or above 1 TW.
func ParseWatts(s string) (Watts, error) {
	v, err := parseScaled(s, "W", map[string]float64{"": 1, "k": 1e3, "M": 1e6, "G": 1e9})
	if err != nil || v > 1e12 {
		return 0, fmt.Errorf("power %q: a number with W, kW, MW or GW up to 1 TW is accepted, as 100kW", s)
	}
	if v != math.Trunc(v) {
		return 0, fmt.Errorf("power %q is not a whole number of watts", s)
	}
	return Watts(v), nil
}

// String is the shortest form with three significant digits or more: "950 W", "3.25 kW", "1.2 MW".
func (w Watts) String() string { return formatScaled(float64(w), "W", "kMG") }

// UnmarshalText reads what ParseWatts accepts.
func (w *Watts) UnmarshalText(b []byte) (err error) {
	*w, err = ParseWatts(string(b))
	return err
}

// String is energy as "12 J", "3.6 MJ", or kWh from one kWh on.
func (j Joules) String() string {
	if j >= KWh || j <= -KWh {
		return strconv.FormatFloat(float64(j)/float64(KWh), 'f', 2, 64) + " kWh"
	}
	return formatScaled(float64(j), "J", "kM")
}

// Over is the energy of w watts for s seconds.
func (w Watts) Over(s int64) Joules { return Joules(int64(w) * s) }

// String is money as whole satoshi, with the thousandths if there are any: "12.345 sat".
func (m Msat) String() string {
	sign := ""
	u := uint64(m)
	if m < 0 {
		sign, u = "-", -u
	}
	if u%1000 == 0 {
		return fmt.Sprintf("%s%d sat", sign, u/1000)
	}
	return fmt.Sprintf("%s%d.%03d sat", sign, u/1000, u%1000)
}

// ParseHashrate reads a hashrate: "5kH/s", "200TH/s", "1.2PH/s", or plain hashes a second.
func ParseHashrate(s string) (Hashrate, error) {
	v, err := parseScaled(s, "H/s", map[string]float64{
		"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
	})
	if err != nil || v > 1e21 {
		return 0, fmt.Errorf("hashrate %q: a number with H/s, kH/s .. EH/s is accepted, as 200TH/s", s)
	}
	return Hashrate(v), nil
}

// String is the hashrate with a prefix: "5 kH/s", "200 TH/s".
func (h Hashrate) String() string { return formatScaled(float64(h), "H/s", "kMGTPE") }

// UnmarshalText reads what ParseHashrate accepts.
func (h *Hashrate) UnmarshalText(b []byte) (err error) {
	*h, err = ParseHashrate(string(b))
	return err
}

// parseScaled reads a non-negative number, optional space, prefix and suffix.
func parseScaled(s, suffix string, prefixes map[string]float64) (float64, error) {
	t := strings.TrimSuffix(strings.TrimSpace(s), suffix)
	i := len(t)
	for i > 0 && !(t[i-1] >= '0' && t[i-1] <= '9') {
		i--
	}
	scale, ok := prefixes[strings.TrimSpace(t[i:])]
	if !ok || i == 0 || strings.ContainsAny(t[:i], "xXpP_eE+-") {
		return 0, strconv.ErrSyntax
	}
	v, err := strconv.ParseFloat(t[:i], 64)
	if err != nil {
		return 0, err
	}
	// Multiply in a way that keeps decimal fractions exact where a float can: 1.1kW is 1100 W.
	return math.Round(v*scale*1e6) / 1e6, nil
}

// formatScaled writes v with the largest prefix that keeps it at 1 or above.
func formatScaled(v float64, suffix, prefixes string) string {
	p := ""
	for _, c := range prefixes {
		if math.Abs(v) < 999.5 {
			break
		}
		v /= 1000
		p = string(c)
	}
	digits := 0
	if p != "" {
		digits = max(0, 2-int(math.Log10(math.Max(1, math.Abs(v)))))
	}
	n := strconv.FormatFloat(v, 'f', digits, 64)
	if strings.Contains(n, ".") {
		n = strings.TrimRight(strings.TrimRight(n, "0"), ".")
	}
	return n + " " + p + suffix
}
