package stratum

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/hashlease/hashlease/pool"
)

// Ensure that each miner gets coinbases that its firmware bears, by the agent that it names, and that as much
// is paid as fits.
func TestV1_CoinbaseFitsTheAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		var owed []pool.Output
		for range 200 {
			owed = append(owed, pool.Output{Script: strings.Repeat("s", 22), Value: 1000})
		}
		if err := b.maker.SetOutputs(owed); err != nil {
			t.Fatal(err)
		}
		b.start()
		defer b.stop()
		b.publish(template(100, 1, false))
		for agent, most := range map[string]int{
			"NerdMinerV2/1": 330, "NiceHash/1.0.0": 500, "cgminer/4.11.1": 750, "Antminer S21/x": 2250,
			"bitaxe/BM1370/v2": 6500, "PowerPlay-BM/1": 16_000,
		} {
			c := b.dialV1()
			c.join(agent, "account.worker", "x")
			size := len(c.job.prefix) + 4 + 8 + len(c.job.suffix)
			if full := min(most-8-31-8, 200*31); size > most || size < full {
				t.Errorf("%s: a coinbase of %d bytes, up to %d are borne", agent, size, most)
			}
			_ = c.conn.Close()
		}
	})
}

// Ensure that devices of Stratum V2 are known by what they are made of, and that a translator's miners are
// strangers.
func TestServer_KnowsWhatV2DevicesBear(t *testing.T) {
	b := newBench(t, nil)
	for device, want := range map[Device]int{
		{}: 6500,
		{Vendor: "ePIC", Hardware: "PowerPlay-BM/2"}:    16_000,
		{Vendor: "Bitmain", Hardware: "Antminer S21/1"}: 2250,
		{Vendor: "bitaxe", Hardware: "BM1370"}:          6500,
		{Vendor: "SRI", Hardware: "Translator Proxy"}:   750,
	} {
		if got := b.server.coinbaseOf(&device); got != want {
			t.Errorf("%+v: %d bytes, want %d", device, got, want)
		}
	}
}
