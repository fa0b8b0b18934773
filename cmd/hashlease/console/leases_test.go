package console

import (
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/stratum"
)

// Ensure that a channel counts as steered if its worker takes orders, whoever brings them: machines of
// Stratum V1 have no word for power, and an agent of their site sets it.
func TestFirmware_IsSteeredIfItsWorkersTakeOrders(t *testing.T) {
	feeder := governor.FeederStatus{ID: fleet.FeederID("f1"), Workers: []governor.WorkerStatus{
		{ID: "a.agent", Reachable: true}, {ID: "a.power", Reachable: true}, {ID: "a.deaf"},
	}}
	behind := func(all ...stratum.WorkerStats) []stratum.WorkerStats { return all }
	one, two := stratum.WorkerStats{Worker: "a.agent"}, stratum.WorkerStats{Worker: "a.power"}
	channels := map[string]stratum.ChannelStats{
		"agent":        {Worker: "a.agent", Dialect: stratum.V1},
		"power":        {Worker: "a.power", Dialect: stratum.V2, Power: true},
		"deaf":         {Worker: "a.deaf", Dialect: stratum.V1},
		"stranger":     {Worker: "b.other", Dialect: stratum.V2, Power: true},
		"proxy":        {Worker: "a.proxy", Named: behind(one, two)},
		"half a proxy": {Worker: "a.proxy", Named: behind(one, stratum.WorkerStats{Worker: "a.deaf"})},
		"silent proxy": {Worker: "a.proxy"},
	}
	f := &figures{at: time.Now()}
	f.power.Sites = []governor.SiteStatus{{ID: "north", Feeders: []governor.FeederStatus{feeder}}}
	for name, ch := range channels {
		ch.Device.Firmware = name
		f.channels = append(f.channels, ch, ch)
	}
	c := open(t, func() *figures { return f })
	want := map[string]int{"agent": 2, "power": 2, "proxy": 2}
	rows := c.firmwareOf(c.frame())
	if len(rows) != len(channels) {
		t.Errorf("rows %+v", rows)
	}
	for _, r := range rows {
		if r.Channels != 2 || r.Steered != want[r.Firmware] {
			t.Errorf("%s: %d of %d are steered, want %d", r.Firmware, r.Steered, r.Channels, want[r.Firmware])
		}
	}
}
