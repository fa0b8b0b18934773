package unit_test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hashlease/hashlease/pool/unit"
)

// Ensure that what people write for power is read exactly.
func TestParseWatts_ReadsWhatPeopleWrite(t *testing.T) {
	for in, want := range map[string]unit.Watts{
		"3250": 3250, "3250W": 3250, "100kW": 100_000, "100 kW": 100_000, " 1.5MW ": 1_500_000, "0": 0,
		"1.1kW": 1100, "0.3kW": 300, "999.999999999GW": 999_999_999_999, "1000GW": 1e12, ".5kW": 500,
	} {
		if got, err := unit.ParseWatts(in); err != nil || got != want {
			t.Errorf("ParseWatts(%q) = %d, %v; want %d", in, got, err, want)
		}
	}
}

// Ensure that anything else is refused with words that say what is accepted.
func TestParseWatts_RefusesTheRest(t *testing.T) {
	for _, in := range []string{
		"", "W", "kW", "-1", "+1", "1e3", "0x10", "1_000", "1/2", "1.2.3", "NaN", "Inf",
		"5mW", "5WW", "5 k kW", "5kMW", "1001GW", "0.5", "1.2345kW", strings.Repeat("9", 100),
	} {
		if w, err := unit.ParseWatts(in); err == nil {
			t.Errorf("ParseWatts(%q) = %d, want an error", in, w)
		} else if len(err.Error()) > 160 {
			t.Errorf("ParseWatts(%q): error of %d bytes", in, len(err.Error()))
		}
	}
}

// Ensure that hashrates are read with every prefix.
func TestParseHashrate_ReadsWhatPeopleWrite(t *testing.T) {
	for in, want := range map[string]unit.Hashrate{
		"5kH/s": 5e3, "200TH/s": 2e14, "1.2PH/s": 1.2e15, "42": 42, "3 EH/s": 3e18, "0.1H/s": 0.1,
	} {
		if got, err := unit.ParseHashrate(in); err != nil || got != want {
			t.Errorf("ParseHashrate(%q) = %g, %v; want %g", in, float64(got), err, float64(want))
		}
	}
	for _, in := range []string{"", "H/s", "1001EH/s", "-5", "1e9", "5 Gh"} {
		if h, err := unit.ParseHashrate(in); err == nil {
			t.Errorf("ParseHashrate(%q) = %v, want an error", in, h)
		}
	}
}

// Ensure that formats are short and carry the right prefix, at the edges too.
func TestString_IsWhatPeopleRead(t *testing.T) {
	for _, c := range []struct {
		in   fmt.Stringer
		want string
	}{
		{unit.Watts(0), "0 W"},
		{unit.Watts(950), "950 W"},
		{unit.Watts(999), "999 W"},
		{unit.Watts(1000), "1 kW"},
		{unit.Watts(3250), "3.25 kW"},
		{unit.Watts(-3250), "-3.25 kW"},
		{unit.Watts(999_600), "1 MW"},
		{unit.Watts(1_234_567), "1.23 MW"},
		{unit.Watts(123_456_000), "123 MW"},
		{unit.Hashrate(5000), "5 kH/s"},
		{unit.Hashrate(2e14), "200 TH/s"},
		{unit.Hashrate(0), "0 H/s"},
		{unit.Joules(12), "12 J"},
		{unit.Joules(90_000), "90 kJ"},
		{5 * unit.KWh / 2, "2.50 kWh"},
		{unit.Msat(12_345), "12.345 sat"},
		{unit.Msat(-1), "-0.001 sat"},
		{12 * unit.Sat, "12 sat"},
		{unit.Watts(3000).Over(3600), "3.00 kWh"},
	} {
		if got := c.in.String(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// Ensure that units survive JSON as numbers and are also read in their written form.
func TestJSON_TakesNumbersAndText(t *testing.T) {
	type both struct {
		W unit.Watts
		H unit.Hashrate
	}
	in := both{1_234_567, 2.5e17}
	raw, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{string(raw), `{"W":"1234.567kW","H":"250PH/s"}`} {
		var out both
		if err := json.Unmarshal([]byte(s), &out); err != nil || out != in {
			t.Errorf("%s gives %+v, %v", s, out, err)
		}
	}
	for _, s := range []string{`{"W":1.5}`, `{"W":"x"}`, `{"H":-1}`, `{"H":"1e400"}`, `{"W":true}`} {
		if err := json.Unmarshal([]byte(s), new(both)); err == nil {
			t.Errorf("%s is accepted", s)
		}
	}
}

// Ensure that every whole number of watts that is allowed reads back exactly.
func TestParseWatts_IsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := unit.Watts(rapid.Int64Range(0, 1e12).Draw(t, "w"))
		for _, text := range []string{
			fmt.Sprintf("%dW", w), fmt.Sprintf("%d.%03dkW", w/1e3, w%1e3),
			fmt.Sprintf("%d.%09d GW", w/1e9, w%1e9),
		} {
			if got, err := unit.ParseWatts(text); err != nil || got != w {
				t.Fatalf("%q gives %d, %v", text, got, err)
			}
		}
	})
}

// Ensure that work adds, compares and reads back as 128-bit numbers do.
func TestWork_AgreesWithBigIntegers(t *testing.T) {
	draw := func(t *rapid.T, name string) (unit.Work, *big.Int) {
		var b [16]byte
		copy(b[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, name))
		b[0] >>= 1 // sums stay below 2^128
		return unit.WorkFromBytes(b), new(big.Int).SetBytes(b[:])
	}
	rapid.Check(t, func(t *rapid.T) {
		a, na := draw(t, "a")
		b, nb := draw(t, "b")
		sum := a.Add(b)
		if want := new(big.Int).Add(na, nb).String(); sum.String() != want {
			t.Fatalf("sum %v, want %s", sum, want)
		}
		if sum.Sub(b) != a {
			t.Fatalf("%v - %v = %v, want %v", sum, b, sum.Sub(b), a)
		}
		if a.Cmp(b) != na.Cmp(nb) {
			t.Fatalf("Cmp(%v, %v) = %d", a, b, a.Cmp(b))
		}
		if unit.WorkFromBytes(sum.Bytes()) != sum {
			t.Fatal("bytes do not read back")
		}
		var back unit.Work
		text, _ := sum.MarshalText()
		if err := back.UnmarshalText(text); err != nil || back != sum {
			t.Fatalf("%s reads back as %v, %v", text, back, err)
		}
	})
}

// Ensure that text that is no such number is refused.
func TestWork_RefusesOtherText(t *testing.T) {
	for _, s := range []string{
		"", "-1", "+1", "1.5", "0x1", "340282366920938463463374607431768211456", strings.Repeat("1", 1e6),
	} {
		if err := new(unit.Work).UnmarshalText([]byte(s)); err == nil {
			t.Errorf("%.40q is accepted", s)
		}
	}
	if w := unit.WorkOf(1 << 63).Add(unit.WorkOf(1 << 63)); w.Float() != 0x1p64 {
		t.Errorf("2^64 as a float is %g", w.Float())
	}
}

// FuzzParse ensures that whatever is accepted is in bounds.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"100kW", "1.1 PH/s", "", "-", "1e9", "..", strings.Repeat("9", 40)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if w, err := unit.ParseWatts(s); err == nil && (w < 0 || w > 1e12) {
			t.Errorf("ParseWatts(%q) = %d", s, w)
		}
		if h, err := unit.ParseHashrate(s); err == nil && !(h >= 0 && h <= 1e21) {
			t.Errorf("ParseHashrate(%q) = %g", s, float64(h))
		}
		var w unit.Work
		err := w.UnmarshalText([]byte(s))
		if err == nil && strings.TrimLeft(s, "0") != strings.TrimLeft(w.String(), "0") {
			t.Errorf("work %q reads as %v", s, w)
		}
	})
}

// Power is read with a prefix and printed with one.
func ExampleParseWatts() {
	w, err := unit.ParseWatts("1.5MW")
	fmt.Println(int64(w), w, err)
	// Output: 1500000 1.5 MW <nil>
}
