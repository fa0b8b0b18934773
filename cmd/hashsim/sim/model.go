package sim

import (
	"strings"
	"time"
)

// curvePoints is in how many points a model's curve is used: as many as in a server's configuration.
const curvePoints = 16

// Firmware is how fast machines with it follow orders. The times are medians; a device
// deviates from them by up to 20 %.
type Firmware struct {
	Name        string
	Vendor      string        // as SetupConnection says it
	V1          string        // stratumtest's profile of its Stratum V1; it speaks V2 at sites if empty
	API         string        // its own interface, as vendor.go knows it
	ShedDelay   time.Duration // from order to the first watt less
	ShedRamp    time.Duration // from there to the ordered power
	ReturnDelay time.Duration // from order to the first watt more
	ReturnRamp  time.Duration
}

const second = time.Second

// Firmware profiles; docs/hashsim.md says where the times come from.
var (
	braiins = Firmware{
		"BOS+ 26.04", "Braiins", "", "braiins", second / 2, 2 * second, 2 * second, 6 * second,
	}
	bitmain = Firmware{
		"stock", "Bitmain", "antminer-s21", "antminer", second, 3 * second, 10 * second, 20 * second,
	}
	luxOS = Firmware{
		"LuxOS 2026.6", "Luxor", "antminer-s19", "luxos", second, 2 * second, 2 * second, 8 * second,
	}
	whatsMiner = Firmware{
		"btminer 3.0.3", "MicroBT", "whatsminer", "whatsminer-v3",
		second, 4 * second, 5 * second, 10 * second,
	}
	avalon = Firmware{
		"Avalon 25.05", "Canaan", "avalon", "avalon", 5 * second, second, 30 * second, 60 * second,
	}
)

// InBand is a machine that obeys the in-band extension as fast as its silicon lets it: what firmware could
// do at best. No such machine is on sale.
func InBand() Firmware {
	return Firmware{"in-band", "hashlease", "", "", second / 5, second, second, 4 * second}
}

// demoModels are the machines of the demonstration, by fleet's names.
var demoModels = [...]string{
	"Antminer S21", "Antminer S19k Pro", "Antminer S19 XP", "WhatsMiner M60S", "Avalon A1566",
}

// firmwareOf is what a model runs in the simulation. Machines that the table does not
// know run LuxOS, as many do.
func firmwareOf(model string) Firmware {
	switch {
	case model == "Antminer S19 XP":
		return braiins
	case strings.HasPrefix(model, "Antminer S21"):
		return bitmain
	case strings.HasPrefix(model, "WhatsMiner"):
		return whatsMiner
	case strings.HasPrefix(model, "Avalon"):
		return avalon
	}
	return luxOS
}
