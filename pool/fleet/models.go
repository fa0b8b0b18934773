package fleet

import (
	"math"
	"slices"
	"time"

	"github.com/hashlease/hashlease/pool/unit"
)

// Model is what is known of a make of machine: its nameplate, the shape of its curve, and how its usual
// firmware sleeps and wakes.
type Model struct {
	Name  string
	Plate Point
	Shape
	Pace

	Source string // where the nameplate is from
}

// Shape is the form of a curve,
//
//	watts = nameplate watts * (A + B*h + C*h*h), h = hashrate / nameplate hashrate, from Floor to 1,
//
// scaled so that h = 1 is the nameplate.
type Shape struct {
	A, B, C, Floor float64
	From           string // where the shape is from
}

// Pace is how a firmware sleeps and wakes.
type Pace struct {
	Sleep    unit.Watts    // drawn while paused
	ShedIn   time.Duration // typical time to 95 % of a reduction
	ReturnIn time.Duration // typical time to 95 % of a return
}

// Sources of nameplates, whose tolerance is 3 % of hashrate and 5 % of watts.
const (
	collected  = "the shared-core database of miners, D-Central's power data or the vendor's page"
	recalled   = "announced; not read in a source that is at hand"
	gammaPlate = "ESP-Miner: board 601 at 525 MHz with 2,040 cores, a target of 19 W"
)

// Shapes. Most machines have none that was measured; owners' measured curves replace them.
var (
	usualShape = Shape{.10, .49, .41, .50, "between the two that are measured; the floor is assumed"}
	s19XPShape = Shape{
		.248, .087, .679, .57, "six ePIC presets from 1,700 W and 80 TH/s to 4,400 W and 169, within 1.4 %",
	}
	s19kProShape = Shape{
		.072, .517, .411, .32, "LuxOS's 25 profiles from 784 W and 39 TH/s to 4,195 W and 163, within 0.06 %",
	}
	whatsMinerShape = Shape{.10, .49, .41, .55, "the usual one; power limits begin at 50 to 60 %"}
	avalonShape     = Shape{.10, .49, .41, .60, "the usual one; two or three modes are all there is"}
)

// Paces of firmwares. Times to return are those of an ordinary wake unless a fast one is usual.
var (
	stockPace      = Pace{30, 20 * time.Second, 5 * time.Minute} // Antminer's sleep mode: assumed
	luxOSPace      = Pace{25, 3 * time.Second, 4 * time.Minute}  // curtail, by Luxor; a usual wake is assumed
	whatsMinerPace = Pace{20, 5 * time.Second, 15 * time.Second} // power_off, and fast boot by the v3 manual
	avalonPace     = Pace{20, 6 * time.Second, 5 * time.Minute}  // softoff, which is scheduled 5 s ahead
	axeOSPace      = Pace{2, 8200 * time.Millisecond, 11 * time.Second}
)

// models are by efficiency, the best first.
var models = [...]Model{
	{"Antminer S23 Hyd", Point{5510, 580e12}, usualShape, stockPace, recalled},
	{"Antminer S21 XP+ Hyd", Point{5500, 500e12}, usualShape, stockPace, collected},
	{"Antminer S21 XP Hyd", Point{5676, 473e12}, usualShape, stockPace, collected},
	{"Antminer S21e XP Hyd 3U", Point{11180, 860e12}, usualShape, stockPace, collected},
	{"Antminer S21 XP", Point{3645, 270e12}, usualShape, stockPace, collected},
	{"Antminer S21 Pro", Point{3510, 234e12}, usualShape, stockPace, collected},
	{"Antminer S21+ Hyd", Point{4785, 319e12}, usualShape, stockPace, collected},
	{"Antminer S21 Hyd", Point{5360, 335e12}, usualShape, stockPace, collected},
	{"Antminer S21+", Point{3564, 216e12}, usualShape, stockPace, collected},
	{"Antminer S21", Point{3500, 200e12}, usualShape, stockPace, collected},
	{"WhatsMiner M60S+", Point{3600, 200e12}, whatsMinerShape, whatsMinerPace, collected},
	{"WhatsMiner M60S", Point{3422, 186e12}, whatsMinerShape, whatsMinerPace, collected},
	{"Avalon A1566", Point{3420, 185e12}, avalonShape, avalonPace, collected},
	{"Antminer S21 Imm", Point{5569, 301e12}, usualShape, stockPace, collected},
	{"Antminer S19 XP+ Hyd", Point{5301, 279e12}, usualShape, stockPace, collected},
	{"Antminer S19 XP", Point{3010, 140e12}, s19XPShape, stockPace, collected},
	{"Avalon A1466", Point{3300, 150e12}, avalonShape, avalonPace, collected},
	{"WhatsMiner M50S++", Point{3296, 148e12}, whatsMinerShape, whatsMinerPace, collected},
	{"Antminer S19k Pro", Point{2760, 120e12}, s19kProShape, luxOSPace, collected},
	{"WhatsMiner M50S", Point{3276, 126e12}, whatsMinerShape, whatsMinerPace, collected},
	{"Antminer S19j Pro+", Point{3355, 122e12}, usualShape, stockPace, collected},
	{"Antminer S19j Pro", Point{3068, 104e12}, usualShape, stockPace, collected},
	{"Antminer S19 Pro", Point{3250, 110e12}, usualShape, stockPace, collected},
	{"WhatsMiner M30S++", Point{3472, 112e12}, whatsMinerShape, whatsMinerPace, collected},
	{"Antminer S9", Point{1323, 13.5e12}, usualShape, stockPace, collected},
	{"Bitaxe Gamma", Point{19, 1.07e12}, usualShape, axeOSPace, gammaPlate},
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

// Curve is the model's curve in n points, 2 to MaxPoints, evenly spaced in hashrate; fewer where a small
// machine's watts do not tell so many apart.
func (m Model) Curve(n int) Curve {
	top := m.A + m.B + m.C
	// Steps of a watt, were the curve everywhere as flat as at its floor.
	steps := float64(m.Plate.Watts) * (1 - m.Floor) * (m.B + 2*m.C*m.Floor) / top
	n = max(min(n, MaxPoints, int(steps)+1), 2)
	c := make(Curve, 0, n)
	for i := range n {
		h := m.Floor + (1-m.Floor)*float64(i)/float64(n-1)
		w := float64(m.Plate.Watts) * (m.A + m.B*h + m.C*h*h) / top
		c = append(c, Point{unit.Watts(math.Round(w)), unit.Hashrate(h) * m.Plate.Hashrate})
	}
	c[n-1] = m.Plate
	return c
}
