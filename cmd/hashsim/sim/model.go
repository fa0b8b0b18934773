package sim

import (
	"slices"
	"strings"
	"time"
)

// curvePoints is in how many points a model's curve is used: as many as in a server's configuration.
const curvePoints = 16

// Firmware is how fast machines with it follow orders. The times are medians; a device
// deviates from them by up to 20 %, or as ShedMost and ReturnMost have it.
type Firmware struct {
	Name        string
	Vendor      string        // as SetupConnection says it
	V1          string        // stratumtest's profile of its Stratum V1; it speaks V2 at sites if empty
	API         string        // its own interface, as vendor.go knows it
	ShedDelay   time.Duration // from order to the first watt less
	ShedRamp    time.Duration // from there to the ordered power
	ReturnDelay time.Duration // from order to the first watt more
	ReturnRamp  time.Duration
	// ShedMost and ReturnMost are the whole times that 95 % of machines keep to; 0: see above.
	ShedMost, ReturnMost time.Duration
	// Boot is from power to the first answer of anything.
	Boot time.Duration
}

const (
	second = time.Second
	// boot is assumed: of control boards the API is known to be away for 10 to 40 s when it starts anew.
	boot = 30 * second
)

// version is what the firmware itself says, without its name.
func (f *Firmware) version() string {
	return f.Name[strings.LastIndexByte(f.Name, ' ')+1:]
}

// Firmware profiles; docs/hashsim.md says where the times come from.
var (
	braiins = Firmware{
		"BOS+ 26.04", "Braiins", "", "braiins", second / 2, 2 * second, 2 * second, 6 * second, 0, 0, boot,
	}
	bitmain = Firmware{
		"stock", "Bitmain", "antminer-s21", "antminer",
		second, 3 * second, 10 * second, 20 * second, 0, 0, boot,
	}
	luxOS = Firmware{
		"LuxOS 2026.6", "Luxor", "antminer-s19", "luxos",
		second, 2 * second, 2 * second, 8 * second, 0, 0, boot,
	}
	whatsMiner = Firmware{
		"btminer 3.0.3", "MicroBT", "whatsminer", "whatsminer-v3",
		second, 4 * second, 5 * second, 10 * second, 0, 0, boot,
	}
	avalon = Firmware{
		"Avalon 25.05", "Canaan", "avalon", "avalon",
		5 * second, second, 30 * second, 60 * second, 0, 0, boot,
	}
	// axeOS moves its clock 6.25 MHz in 100 ms, down to 50 MHz and back, and needs 0.6 s to cut its core's
	// voltage and 2.6 s to give it back: about the same for all.
	axeOS = Firmware{
		"AxeOS 2.14.0", "bitaxe", "", "axeos",
		second / 10, 8100 * time.Millisecond, 2600 * time.Millisecond, 8400 * time.Millisecond,
		9 * second, 12 * second, boot,
	}
)

// InBand is a machine that obeys the in-band extension as fast as its silicon lets it: what firmware could
// do at best. No such machine is on sale.
func InBand(string) Firmware {
	return Firmware{"in-band", "hashlease", "", "", second / 5, second, second, 4 * second, 0, 0, 10 * second}
}

// Realistic is what a model runs, with the times that its firmware takes at sites as far as anybody has
// published them; the rest is assumed. The times of the demonstration are those of good machines, without
// the long tail.
func Realistic(model string) Firmware {
	f := firmwareOf(model)
	real := func(shed, shedMost, back, backMost time.Duration) Firmware {
		f.ShedDelay, f.ShedRamp = shed/4, shed-shed/4
		f.ReturnDelay, f.ReturnRamp = back/2, back-back/2
		f.ShedMost, f.ReturnMost = shedMost, backMost
		return f
	}
	switch f.API {
	case "braiins": // pause with quick ramp
		return real(3*second, 6*second, 8*second, 60*second)
	case "luxos": // curtail; vendor, and assumed for a wake with its usual start
		return real(3*second, 8*second, 10*second, 90*second)
	case "whatsminer-v3": // power off, fast boot
		return real(5*second, 15*second, 15*second, 600*second)
	case "avalon": // soft off as scheduled
		return real(6*second, 8*second, 120*second, 300*second)
	case "axeos": // the same everywhere: it is its source that says so
		return f
	}
	// Stock sleep: the configuration is written, then read anew.
	return real(20*second, 60*second, 240*second, 420*second)
}

// demoModels are the machines of the demonstration, by fleet's names, a row over the feeders after the other:
// one of each firmware first, then old ones, so that a large lease throttles across all firmwares. little is
// what stands beside them.
var demoModels = [...]string{
	"Antminer S21", "Antminer S19k Pro", "Antminer S19 XP", "WhatsMiner M60S", "Avalon A1566",
	"Antminer S19 Pro", "WhatsMiner M50S", "Avalon A1466", "Antminer S19j Pro", "Avalon A1466",
}

// demoFirmwares are how many different firmwares the first of them run.
const demoFirmwares = 5

const little = "Bitaxe Gamma"

// Models are machines of the demonstration, one of each firmware that has an interface of its own.
func Models() []string { return append(slices.Clone(demoModels[:demoFirmwares]), little) }

// Large are those that a site's power is made of.
func Large() []string { return slices.Clone(demoModels[:]) }

// firmwareOf is what a model runs in the simulation. Machines that the table does not
// know run LuxOS, as many do.
func firmwareOf(model string) Firmware {
	switch {
	case model == "Antminer S19 XP", model == "Antminer S19j Pro":
		return braiins
	case strings.HasPrefix(model, "Antminer S21"), model == "Antminer S19 Pro":
		return bitmain
	case strings.HasPrefix(model, "WhatsMiner"):
		return whatsMiner
	case strings.HasPrefix(model, "Avalon"):
		return avalon
	case strings.HasPrefix(model, "Bitaxe"):
		return axeOS
	}
	return luxOS
}
