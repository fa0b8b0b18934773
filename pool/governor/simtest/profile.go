package simtest

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
)

// profile is a firmware: how long its machines take, and what they keep over a loss of power. Times are
// medians and 95th percentiles.
type profile struct {
	name          string
	model         string
	shed, shed95  time.Duration
	wake, wake95  time.Duration
	canCap, holds bool
	persists      float64 // share of machines that are still asleep after a loss of power
	overshoot     float64 // of full power, for a minute after a wake
}

const second = time.Second

// profiles are the firmwares of today as far as anybody has published their times; the rest is assumed.
var profiles = [...]profile{
	{
		name: "LuxOS curtail", model: "Antminer S19k Pro", shed: 3 * second, shed95: 8 * second,
		wake: 10 * second, wake95: 90 * second, canCap: true, holds: true, persists: 1,
	},
	{
		name: "Braiins pause", model: "Antminer S19 XP", shed: 3 * second, shed95: 6 * second,
		wake: 8 * second, wake95: 60 * second, canCap: true, holds: true, persists: .9, overshoot: .05,
	},
	{
		name: "WhatsMiner power off", model: "WhatsMiner M60S", shed: 5 * second, shed95: 15 * second,
		wake: 15 * second, wake95: 600 * second, canCap: true, holds: true, persists: .9, overshoot: .08,
	},
	{
		name: "Antminer sleep", model: "Antminer S21", shed: 20 * second, shed95: 60 * second,
		wake: 240 * second, wake95: 420 * second, holds: true, persists: 1,
	},
	{
		name: "VNish throttle", model: "Antminer S19j Pro", shed: 10 * second, shed95: 60 * second,
		wake: 120 * second, wake95: 300 * second, canCap: true, holds: true, persists: .5,
	},
	{
		name: "ePIC stop", model: "Antminer S21 XP", shed: 5 * second, shed95: 8 * second,
		wake: 60 * second, wake95: 360 * second, holds: true, persists: .5,
	},
	{
		name: "Avalon softoff", model: "Avalon A1566", shed: 6 * second, shed95: 8 * second,
		wake: 120 * second, wake95: 300 * second, holds: true, persists: 0,
	},
	{
		name: "AxeOS", model: "Avalon A1466", shed: 8 * second, shed95: 9 * second,
		wake: 11 * second, wake95: 12 * second, canCap: true, persists: 0,
	},
	{
		name: "switched socket", model: "WhatsMiner M50S", shed: second / 10, shed95: second / 5,
		wake: 180 * second, wake95: 600 * second, holds: true, persists: 1,
	},
}

// lognormal draws from the distribution with this median and 95th percentile, cut at twice the latter.
func lognormal(r *rand.Rand, median, p95 time.Duration) time.Duration {
	sigma := math.Log(float64(p95)/float64(median)) / 1.645
	x := float64(median) * math.Exp(sigma*r.NormFloat64())
	return time.Duration(min(x, 2*float64(p95))) + time.Duration(r.IntN(1e6))
}

func (p *profile) capability(w *fleet.Worker) fleet.Capability {
	return fleet.Capability{
		Min: w.Curve[0].Watts, Max: w.Curve.Full().Watts, CanCap: p.canCap, CanPause: true,
		HoldsAlone: p.holds, ShedIn: p.shed95, ReturnIn: p.wake95,
	}
}
