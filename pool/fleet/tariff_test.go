package fleet_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

var everyDay = [7]bool{true, true, true, true, true, true, true}

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func at(t *testing.T, s string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Ensure that prices begin and end by the clock on the wall on days with 23 and with 25 hours: an hour that
// does not exist has no price, one that is there twice has its price twice.
func TestTariff_FollowsTheClockOnTheWall(t *testing.T) {
	z := zone(t, "Europe/Berlin")
	tariff := fleet.Tariff{Flat: 10, Windows: []fleet.TariffWindow{
		{Days: everyDay, From: 2*60 + 30, Until: 4 * 60, Price: 20},
		{Days: everyDay, From: 23 * 60, Until: 60, Price: 30},
	}}
	for name, changes := range map[string][]string{
		"an ordinary day": {
			"2026-03-27T23:00:00+01:00 30", "2026-03-28T01:00:00+01:00 10",
			"2026-03-28T02:30:00+01:00 20", "2026-03-28T04:00:00+01:00 10", "2026-03-28T23:00:00+01:00 30",
		},
		"23 hours": { // 02:00 +01:00 is 03:00 +02:00
			"2026-03-28T23:00:00+01:00 30", "2026-03-29T01:00:00+01:00 10",
			"2026-03-29T03:00:00+02:00 20", "2026-03-29T04:00:00+02:00 10", "2026-03-29T23:00:00+02:00 30",
		},
		"25 hours": { // 03:00 +02:00 is 02:00 +01:00
			"2026-10-24T23:00:00+02:00 30", "2026-10-25T01:00:00+02:00 10",
			"2026-10-25T02:30:00+02:00 20", "2026-10-25T02:00:00+01:00 10",
			"2026-10-25T02:30:00+01:00 20", "2026-10-25T04:00:00+01:00 10", "2026-10-25T23:00:00+01:00 30",
		},
	} {
		first, _, _ := strings.Cut(changes[0], " ")
		now := at(t, first).Add(-time.Second)
		for _, c := range changes {
			when, price, _ := strings.Cut(c, " ")
			next, p := tariff.Next(now, z)
			if !next.Equal(at(t, when)) || strconv.Itoa(int(p)) != price || tariff.At(next, z) != p {
				t.Errorf("%s: after %v comes %d at %v, want %s", name, now.In(z), p, next.In(z), c)
			}
			now = next
		}
	}
}

// Ensure that the next change is the first minute at which the price differs, for random tariffs in zones
// whose clocks turn by an hour, by half an hour, and never, around the turns and elsewhere.
func TestTariff_NextIsTheFirstChange(t *testing.T) {
	zones := []*time.Location{
		nil, zone(t, "America/Chicago"), zone(t, "Australia/Lord_Howe"), zone(t, "Asia/Kathmandu"),
	}
	turns := []time.Time{
		at(t, "2026-03-08T08:00:00Z"), at(t, "2026-11-01T07:00:00Z"), // Chicago
		at(t, "2026-04-04T15:00:00Z"), at(t, "2026-10-03T15:30:00Z"), // Lord Howe
	}
	rapid.Check(t, func(t *rapid.T) {
		z := rapid.SampledFrom(zones).Draw(t, "zone")
		tariff := fleet.Tariff{Flat: 5}
		for i := range rapid.IntRange(1, 4).Draw(t, "windows") {
			w := fleet.TariffWindow{
				From:  rapid.IntRange(0, 95).Draw(t, "from") * 15,
				Until: rapid.IntRange(0, 96).Draw(t, "until") * 15, Price: unit.Msat(i),
			}
			for d := range w.Days {
				w.Days[d] = rapid.Bool().Draw(t, "day")
			}
			tariff.Windows = append(tariff.Windows, w)
			if tariff.Validate() != nil {
				tariff.Windows = tariff.Windows[:len(tariff.Windows)-1]
			}
		}
		now := rapid.SampledFrom(turns).Draw(t, "turn").
			Add(time.Duration(rapid.IntRange(-3*24*60, 24*60).Draw(t, "minutes")) * time.Minute)
		next, price := tariff.Next(now, z)
		was := tariff.At(now, z)
		for m := now.Add(time.Minute); m.Before(now.Add(8 * 24 * time.Hour)); m = m.Add(time.Minute) {
			if p := tariff.At(m, z); p != was {
				if !next.Equal(m) || price != p {
					t.Fatalf("after %v the price is %d at %v, Next says %d at %v", now, p, m, price, next)
				}
				return
			}
		}
		if !next.IsZero() && next.Before(now.Add(8*24*time.Hour)) {
			t.Fatalf("Next says %v, the price stays the same", next)
		}
	})
}

// Ensure that every fault of a tariff is named at once.
func TestTariff_ValidateNamesEveryFault(t *testing.T) {
	tariff := fleet.Tariff{Flat: -1, Windows: []fleet.TariffWindow{
		{Days: everyDay, From: 60, Until: 120},
		{Days: everyDay, From: 90, Until: 100},
		{Days: everyDay, From: 23 * 60, Until: 61},
		{From: 1, Until: 1, Price: fleet.MaxTariff + 1},
		{Days: everyDay, From: -1, Until: 1441},
	}}
	err := tariff.Validate()
	for _, want := range []string{
		"flat price is -1", "windows 1 and 2 overlap", "windows 1 and 3 overlap", "window 4: it has no day",
		"minute 1 until minute 1", "price is 1000000000000001", "window 5: from minute -1 until minute 1441",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no word about %q in:\n%v", want, err)
		}
	}
	if err := (&fleet.Tariff{}).Validate(); err != nil {
		t.Errorf("free power: %v", err)
	}
}
