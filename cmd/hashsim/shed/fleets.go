package shed

import (
	"maps"
	"slices"
	"time"

	"github.com/hashlease/hashlease/cmd/hashsim/sim"
)

// Fleets that Config.Fleet names. The first two take orders in band; the others over their vendors' own
// interfaces, as machines on sale do, with the times of their firmware and its long tail.
const (
	InBand   = "in-band"  // an upper bound: no such device is on sale
	Vendor   = "vendor"   // the times of good machines with today's firmware, over the same wire
	Fast     = "fast"     // LuxOS and Braiins OS
	Antminer = "antminer" // stock firmware of Bitmain
	Mix      = "mix"      // as sites have them: Antminer, WhatsMiner and Avalon, one in fifty never answering
	All      = "all"      // every firmware there is an interface for: for the table of times
)

// fleetKind is what a fleet is made of and held to.
type fleetKind struct {
	models   []string                  // by fleet's names
	firmware func(string) sim.Firmware // nil: what is usual
	own      bool                      // takes orders over the vendors' interfaces
	dead     float64                   // share of the machines whose interface never answers
	hold     time.Duration             // what an order lasts, if nothing else is wanted
	back     time.Duration             // ... and the wait for the return
	goals    Goals
}

var fleetKinds = map[string]fleetKind{
	InBand: {
		models: sim.Large(), firmware: sim.InBand,
		hold: 45 * time.Second, back: 3 * time.Minute, goals: DefaultGoals(),
	},
	Vendor: {models: sim.Large(), hold: 45 * time.Second, back: 3 * time.Minute, goals: DefaultGoals()},
	Fast: {
		models: []string{"Antminer S19k Pro", "Antminer S19 XP"}, firmware: sim.Realistic, own: true,
		hold: 90 * time.Second, back: 10 * time.Minute, goals: Goals{Most: 30, Error: 1, Overshoot: 2},
	},
	Antminer: {
		models: []string{"Antminer S21", "Antminer S21 Pro"}, firmware: sim.Realistic, own: true,
		hold: 11 * time.Minute, back: 30 * time.Minute, goals: Goals{Nearly: 600, Error: 1, Overshoot: 2},
	},
	Mix: {
		models: []string{"Antminer S21", "WhatsMiner M60S", "Avalon A1566"}, firmware: sim.Realistic,
		own: true, dead: 0.02,
		hold: 11 * time.Minute, back: 30 * time.Minute, goals: Goals{Nearly: 600, Error: 1, Overshoot: 2},
	},
	All: {
		models: sim.Models(), firmware: sim.Realistic, own: true,
		hold: 5 * time.Minute, back: 30 * time.Minute, goals: Goals{Nearly: 600, Error: 1, Overshoot: 2},
	},
}

// site is a place of n such machines.
func (k *fleetKind) site(n int) sim.Plan { return sim.SiteOf(n, k.models) }

// Fleets are the names of all fleets.
func Fleets() []string { return slices.Sorted(maps.Keys(fleetKinds)) }

// WithFleet fills in what an order to the fleet lasts, how long its return may take, and what it is held to,
// where nothing else is said.
func (c Config) WithFleet() Config {
	k := fleetKinds[c.Fleet]
	if c.Hold == 0 {
		c.Hold = k.hold
		if c.Blip { // until the slowest machines are back
			c.Hold = max(3*time.Minute, k.back)
		}
	}
	if c.Return == 0 {
		c.Return = k.back
	}
	if c.Goals == (Goals{}) {
		c.Goals = k.goals
	}
	return c
}
