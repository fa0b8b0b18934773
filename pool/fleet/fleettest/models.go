// Package fleettest has what tests of several rooms draw their fleets from.
package fleettest

import "github.com/hashlease/hashlease/pool/fleet"

// Models are ten that tests draw from, whatever else the table of models has. The slice is the caller's.
func Models() (ms []fleet.Model) {
	for _, name := range []string{
		"Antminer S19 XP", "Antminer S19j Pro", "Antminer S19k Pro", "Antminer S21", "Antminer S21 Pro",
		"Antminer S21 XP", "Avalon A1466", "Avalon A1566", "WhatsMiner M50S", "WhatsMiner M60S",
	} {
		m, known := fleet.ModelNamed(name)
		if !known {
			panic("fleettest: the table of models has no " + name)
		}
		ms = append(ms, m)
	}
	return ms
}
