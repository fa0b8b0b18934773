package fleet_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
)

// Ensure that a sound configuration passes and that every fault of a bad one is named at once.
func TestValidate_ListsEveryFaultByName(t *testing.T) {
	m, _ := fleet.ModelNamed("Antminer S21")
	good := fleet.Worker{ID: "a.w1", Feeder: "f1", Curve: m.Curve(8), Sleep: 30}
	site := fleet.Site{ID: "s1", Feeders: []fleet.Feeder{{
		ID: "f1", Site: "s1", Limit: 100_000, Reserve: 1000,
		Overload: fleet.Overload{Watts: 3000, For: time.Minute},
	}}}
	if err := fleet.Validate([]fleet.Site{site}, []fleet.Worker{good}); err != nil {
		t.Fatalf("a sound configuration is refused: %v", err)
	}
	bad := fleet.Site{ID: "S 1", Name: strings.Repeat("x", 300), Feeders: []fleet.Feeder{
		{ID: "f1", Site: "s1", Limit: 0, Reserve: -1, Arm: 9, Notice: -1},
		{ID: "f2", Site: "S 1", Limit: 10_000, Base: 20_000, Overload: fleet.Overload{Watts: 100}},
	}}
	empty := fleet.Site{ID: "s1"}
	workers := []fleet.Worker{
		{ID: "nobody", Feeder: "f9"},
		{ID: "a b.c", Feeder: "f2", Curve: fleet.Curve{{Watts: 200, Hashrate: 5}, {Watts: 100, Hashrate: 4}}},
		{
			ID: "a.w1", Feeder: "f2", Curve: m.Curve(8), Sleep: 5000,
			MinRun: -1, MinOff: 48 * time.Hour, Wear: -1,
		},
		good,
	}
	err := fleet.Validate([]fleet.Site{site, bad, empty}, workers)
	if err == nil {
		t.Fatal("a bad configuration passes")
	}
	for _, want := range []string{
		`site "S 1": identity byte 1`, `name has 300 bytes`, `feeder "f1" is there twice`,
		`site is "s1", but it is listed under "S 1"`,
		`limit is 0 W`, `reserve is -1 W`, `arm is 9`, `notice is`, `declared base load is 20000 W`,
		`overload of 100 W is allowed for 0 s`,
		`site "s1" is there twice`, `site "s1" has no feeder`, `worker "nobody" has no worker part`,
		`feeder "f9" is not`,
		`worker "nobody": curve has 0 points`, `identity byte 1 is ' '`,
		`curve point 2 has 100 W after 200 W`,
		`less hashrate for more watts`,
		`sleep is 5000 W`, `min_run is`, `min_off is 48h`, `wear is`,
		`worker "a.w1" is there twice`, `which may wake by itself`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no fault says %q in:\n%v", want, err)
		}
	}
}

// Ensure that every model gives a sound curve that ends at its nameplate, in whatever number of points, and
// says where its figures are from.
func TestModels_HaveSoundCurves(t *testing.T) {
	for _, m := range fleet.Models() {
		for _, n := range []int{0, 2, 8, 9, 64, 1000} {
			c := m.Curve(n)
			if err := c.Validate(); err != nil {
				t.Errorf("%s in %d: %v", m.Name, n, err)
			}
			if c.Full() != m.Plate || c[0].Watts < m.Plate.Watts/5 || m.Sleep >= c[0].Watts {
				t.Errorf("%s: %+v", m.Name, c)
			}
			if !slices.Equal(c, m.Curve(len(c))) {
				t.Errorf("%s: %d points are others than those asked for as %d", m.Name, len(c), n)
			}
		}
		if m.Source == "" || m.From == "" || m.ShedIn <= 0 || m.ReturnIn <= 0 {
			t.Errorf("%s: source %q, shape from %q, %v, %v", m.Name, m.Source, m.From, m.ShedIn, m.ReturnIn)
		}
	}
	if _, ok := fleet.ModelNamed("Abacus"); ok {
		t.Error("an unknown model is known")
	}
}

// Ensure that the table has the models of the field, each with the joules a terahash that it is sold with.
func TestModels_HaveTheEfficiencyOfTheirPlates(t *testing.T) {
	want := map[string]float64{
		"Antminer S23 Hyd": 9.5, "Antminer S21 XP+ Hyd": 11, "Antminer S21 XP Hyd": 12,
		"Antminer S21e XP Hyd 3U": 13, "Antminer S21 XP": 13.5, "Antminer S21 Pro": 15,
		"Antminer S21+ Hyd": 15,
		"Antminer S21 Hyd":  16, "Antminer S21+": 16.5, "Antminer S21": 17.5, "WhatsMiner M60S+": 18,
		"WhatsMiner M60S": 18.4, "Avalon A1566": 18.5, "Antminer S21 Imm": 18.5, "Antminer S19 XP+ Hyd": 19,
		"Antminer S19 XP": 21.5, "Avalon A1466": 22, "WhatsMiner M50S++": 22.3, "Antminer S19k Pro": 23,
		"WhatsMiner M50S": 26, "Antminer S19j Pro+": 27.5, "Antminer S19j Pro": 29.5,
		"Antminer S19 Pro":  29.5,
		"WhatsMiner M30S++": 31, "Antminer S9": 98, "Bitaxe Gamma": 17.7,
	}
	ms := fleet.Models()
	if len(ms) != len(want) {
		t.Errorf("%d models, want %d", len(ms), len(want))
	}
	for _, m := range ms {
		got := float64(m.Plate.Watts) / float64(m.Plate.Hashrate) * 1e12
		if math.Abs(got-want[m.Name]) > 0.06 {
			t.Errorf("%s: %.2f J/TH, want %v", m.Name, got, want[m.Name])
		}
	}
}

// Ensure that a curve is straight between its points and ends at both ends.
func TestCurve_InterpolatesBetweenPoints(t *testing.T) {
	c := fleet.Curve{{Watts: 100, Hashrate: 10}, {Watts: 200, Hashrate: 30}}
	for w, want := range map[int64]float64{0: 0, 99: 0, 100: 10, 150: 20, 200: 30, 500: 30} {
		if got := c.At(unitWatts(w)); float64(got) != want {
			t.Errorf("at %d W: %v, want %v", w, float64(got), want)
		}
	}
	if got := fleet.Curve(nil).At(5); got != 0 {
		t.Errorf("no curve gives %v", got)
	}
}

// Ensure that arms, roles and modes are spelled one way, both ways.
func TestSpelling_RoundTrips(t *testing.T) {
	for _, a := range []fleet.Arm{fleet.Observe, fleet.Advise, fleet.Act} {
		var b fleet.Arm
		if err := b.UnmarshalText([]byte(a.String())); err != nil || a != b {
			t.Errorf("%v: %v, %v", a, b, err)
		}
	}
	for _, r := range []fleet.Role{fleet.Total, fleet.Mining, fleet.Base, fleet.Tenant} {
		var b fleet.Role
		if err := b.UnmarshalText([]byte(r.String())); err != nil || r != b {
			t.Errorf("%v: %v, %v", r, b, err)
		}
	}
	var a fleet.Arm
	err := a.UnmarshalText([]byte("maybe"))
	if err == nil || !strings.Contains(err.Error(), "observe, advise or act") {
		t.Errorf("error %v", err)
	}
	var r fleet.Role
	if err := r.UnmarshalText([]byte("maybe")); err == nil {
		t.Error("a role of nobody is read")
	}
	if fleet.Arm(9).String() != "unknown" || fleet.Paused.String() != "paused" ||
		fleet.MeterConfirmed.String() != "meter confirmed" {
		t.Error("words are wrong")
	}
}
