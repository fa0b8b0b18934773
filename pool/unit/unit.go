// Package unit holds the typed numbers that every room shares: watts, joules,
// hashrate, millisatoshi and work. Values that carry money or safety are
// integers; only Hashrate, a statistic, is a float. What people write can be parsed,
// what people read can be formatted; in JSON a unit is a plain number, and the written
// form is taken too.
//
// Arithmetic beyond the language's own, and every rule about the values, belongs to the rooms.
package unit

import (
	"fmt"
	"math"
	"math/big"
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
	v, ok := parseScaled(s, "W", "kMG")
	if !ok || v.Cmp(big.NewRat(1e12, 1)) > 0 {
		return 0, fmt.Errorf("power %q: up to 1 TW in W, kW, MW or GW is accepted, as 100kW", clip(s))
	}
	if !v.IsInt() {
		return 0, fmt.Errorf("power %q is not a whole number of watts", clip(s))
	}
	return Watts(v.Num().Int64()), nil
}

// String has three significant digits or all before the point: "950 W", "3.25 kW", "1.2 MW".
func (w Watts) String() string { return formatScaled(float64(w), "W", "kMG") }

// UnmarshalText reads what ParseWatts accepts.
func (w *Watts) UnmarshalText(b []byte) (err error) {
	*w, err = ParseWatts(string(b))
	return err
}

// UnmarshalJSON reads a number of watts, or a string that ParseWatts accepts.
func (w *Watts) UnmarshalJSON(b []byte) error { return w.UnmarshalText(unquote(b)) }

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
	v, ok := parseScaled(s, "H/s", "kMGTPE")
	if !ok || v.Cmp(new(big.Rat).SetFloat64(1e21)) > 0 {
		return 0, fmt.Errorf("hashrate %q: up to 1000 EH/s in H/s .. EH/s is accepted, as 200TH/s", clip(s))
	}
	f, _ := v.Float64()
	return Hashrate(f), nil
}

// String is the hashrate with a prefix: "5 kH/s", "200 TH/s".
func (h Hashrate) String() string { return formatScaled(float64(h), "H/s", "kMGTPE") }

// UnmarshalText reads what ParseHashrate accepts.
func (h *Hashrate) UnmarshalText(b []byte) (err error) {
	*h, err = ParseHashrate(string(b))
	return err
}

// UnmarshalJSON reads a number of hashes a second, or a string that ParseHashrate accepts.
// A number may have an exponent here, as programs write large ones so.
func (h *Hashrate) UnmarshalJSON(b []byte) error {
	if f, err := strconv.ParseFloat(string(b), 64); err == nil && f >= 0 && f <= 1e21 {
		*h = Hashrate(f)
		return nil
	}
	return h.UnmarshalText(unquote(b))
}

// unquote is the text of a JSON string without escapes, or of a number.
func unquote(b []byte) []byte {
	if n := len(b); n >= 2 && b[0] == '"' && b[n-1] == '"' {
		return b[1 : n-1]
	}
	return b
}

// maxText is the longest number with unit that is read, in bytes.
const maxText = 40

// clip shortens what is quoted in an error.
func clip(s string) string {
	if len(s) > maxText {
		return s[:maxText] + "..."
	}
	return s
}

// parseScaled reads a decimal number of at most maxText bytes without sign or exponent, then
// optional space, prefix and suffix. Prefixes rise by thousands. The result is exact.
func parseScaled(s, suffix, prefixes string) (*big.Rat, bool) {
	t := strings.TrimSuffix(strings.TrimSpace(s), suffix)
	if len(t) > maxText {
		return nil, false
	}
	end := strings.LastIndexAny(t, "0123456789") + 1
	number, prefix := t[:end], strings.TrimSpace(t[end:])
	if number == "" || strings.Trim(number, "0123456789.") != "" {
		return nil, false
	}
	v, ok := new(big.Rat).SetString(number)
	if !ok {
		return nil, false
	}
	if prefix == "" {
		return v, true
	}
	i := strings.Index(prefixes, prefix)
	if i < 0 || len(prefix) != 1 {
		return nil, false
	}
	for range i + 1 {
		v.Mul(v, big.NewRat(1000, 1))
	}
	return v, true
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
