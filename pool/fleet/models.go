package fleet

import (
	"math"
	"slices"
	"time"

	"github.com/hashlease/hashlease/pool/unit"
)

// Model is what is known of a make of machine: its nameplate and the shape of its curve,
//
//	watts = nameplate watts * (A + B*h + C*h*h), h = hashrate / nameplate hashrate, from Floor to 1,
//
// scaled so that h = 1 is the nameplate.
type Model struct {
	Name           string
	Plate          Point
	A, B, C, Floor float64
	Sleep          unit.Watts    // drawn while paused
	ShedIn         time.Duration // typical time to 95 % of a reduction
	ReturnIn       time.Duration // typical time to 95 % of a return
}

// models are figures from vendors' plates (tolerance 3 % of hashrate, 5 % of
// watts); the shapes of S19 XP and S19k Pro are fitted to their firmware's own tables, the
// others use the usual shape. Owners' measured curves replace them.
var models = [...]Model{
	{"Antminer S21", Point{3500, 200e12}, .10, .49, .41, .50, 30, 20 * time.Second, 5 * time.Minute},
	{"Antminer S21 Pro", Point{3510, 234e12}, .10, .49, .41, .50, 30, 20 * time.Second, 5 * time.Minute},
	{"Antminer S21 XP", Point{3645, 270e12}, .10, .49, .41, .50, 30, 20 * time.Second, 5 * time.Minute},
	{"Antminer S19 XP", Point{3010, 140e12}, .248, .087, .679, .57, 30, 20 * time.Second, 5 * time.Minute},
	{"Antminer S19k Pro", Point{2760, 120e12}, .072, .517, .411, .32, 25, 3 * time.Second, 4 * time.Minute},
	{"Antminer S19j Pro", Point{3068, 104e12}, .10, .49, .41, .50, 30, 20 * time.Second, 5 * time.Minute},
	{"WhatsMiner M60S", Point{3422, 186e12}, .10, .49, .41, .55, 20, 5 * time.Second, 15 * time.Second},
	{"WhatsMiner M50S", Point{3276, 126e12}, .10, .49, .41, .55, 20, 5 * time.Second, 15 * time.Second},
	{"Avalon A1566", Point{3420, 185e12}, .10, .49, .41, .60, 20, 6 * time.Second, 5 * time.Minute},
	{"Avalon A1466", Point{3300, 150e12}, .10, .49, .41, .60, 20, 6 * time.Second, 5 * time.Minute},
}

// Models are all models known, by name.
func Models() []Model {
	ms := slices.Clone(models[:])
	slices.SortFunc(ms, func(a, b Model) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return ms
}

// ModelNamed finds a model by its exact name.
func ModelNamed(name string) (Model, bool) {
	for _, m := range models {
		if m.Name == name {
			return m, true
		}
	}
	return Model{}, false
}

// Curve is the model's curve in n points, 2 to MaxPoints, evenly spaced in hashrate.
func (m Model) Curve(n int) Curve {
	n = min(max(n, 2), MaxPoints)
	top := m.A + m.B + m.C
	c := make(Curve, 0, n)
	for i := range n {
		h := m.Floor + (1-m.Floor)*float64(i)/float64(n-1)
		w := float64(m.Plate.Watts) * (m.A + m.B*h + m.C*h*h) / top
		c = append(c, Point{unit.Watts(math.Round(w)), unit.Hashrate(h) * m.Plate.Hashrate})
	}
	c[n-1] = m.Plate
	return c
}
