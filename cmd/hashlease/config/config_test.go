package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hashlease/hashlease/cmd/hashlease/config"
	"github.com/hashlease/hashlease/pool/device"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

const hash = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

// full is a configuration that uses every key and is valid.
func full() config.Config {
	c := config.Default()
	c.Network, c.Payout = "signet:51", "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx"
	c.Nodes = []config.Node{
		{Name: "near", Kind: config.Btcd, URL: "http://127.0.0.1:18556", User: "u", Password: `p"\ä`},
		{Kind: config.Core, URL: "https://node.example:8332", CookieFile: "/x/cookie", Certificate: "n.pem"},
		{Kind: config.Btcd, URL: "http://[::1]:18557", User: "u", PasswordFile: "secret"},
	}
	c.Stratum.RequiredExtensions = []uint16{2, 0x4857}
	c.Stratum.Limits.HandshakeRate, c.Stratum.Limits.Names = 0.25, 5000
	c.Stratum.Timing = config.Timing{
		AckEvery: 1, AckAfter: config.Duration(100 * time.Millisecond),
		HandshakeTimeout: config.Duration(time.Minute), OpenTimeout: config.Duration(time.Hour),
		JobWithin: config.Duration(10 * time.Minute), Drain: 0,
	}
	c.Stratum.Ports = []config.Port{
		{Listen: ":3334", Dialect: "v1", TLS: true, Certificate: "c.pem", Key: "k.pem", MinDifficulty: 1e-6},
		{Listen: ":3335", PowersOfTwo: true, ProxyFrom: []string{"10.0.0.0/8", "192.0.2.1"}},
	}
	c.Stratum.Classes = []config.MinerClass{
		{Name: "mine", Coinbase: 4000, MinDifficulty: 2.5, Agents: []string{"bitaxe", "x/1"}},
	}
	c.Headroom.ProofAge = config.Duration(7 * 24 * time.Hour)
	c.Admin.KeyHash = hash
	c.TLS.Hosts = []string{"pool.example", "192.0.2.1"}
	c.Tenants = []config.Tenant{{ID: "acme", KeyHash: hash}, {ID: "b", KeyHash: hash}}
	sleep := unit.Watts(25)
	c.Sites = []config.Site{{
		ID: "north", Name: "North hall", Zone: "America/Chicago",
		Prices: &config.Tariff{
			Flat: 42_000,
			Windows: []config.TariffWindow{
				{Days: []config.Weekday{1, 6}, From: 7*60 + 5, Until: 24 * 60, Price: 90_000},
				{Days: []config.Weekday{0}, From: 22 * 60, Until: 60, Price: -5},
			},
			Feed: &config.PriceFeed{
				URL: "https://prices.example/now?a=b", Path: "data.0.p", Scale: 0.001, Currency: "usd",
				BTCURL: "http://192.0.2.1/btc", BTCPath: "usd", Every: config.Duration(time.Minute),
				Stale: config.Duration(10 * time.Minute), Stands: config.Duration(time.Hour),
			},
		},
		Branch: []config.Branch{
			{
				ID: "grid", Kind: fleet.Import, Limit: 2_000_000, Reserve: 5000, Base: 7,
				Overload: config.Overload{Watts: 10_000, For: config.Duration(time.Minute)},
				Meters: []config.Meter{
					{URL: "http://127.0.0.1:9100/grid", Label: "main"},
					{Modbus: "192.0.2.8", Map: "abb-b23", Label: "check", RedundantWith: "main"},
				},
			},
			{ID: "t1", Kind: fleet.Transformer, Parent: "grid", Limit: 1_600_000, Reserve: 5000},
			{ID: "p1", Kind: fleet.PDU, Limit: 8000, Reserve: 4000},
		},
		Feeder: []config.Feeder{{
			ID: "n1", Branch: "t1", Limit: 1_500_000, Reserve: 4001, Base: 12_340,
			Overload: config.Overload{Watts: 10_000, For: config.Duration(90 * time.Second)},
			Notice:   config.Duration(2 * time.Minute), Restore: 7 * unit.Kilowatt, Arm: fleet.Act,
			TrustDeclared: true, SpareDomain: new(bool), Heat: 5 * unit.Kilowatt,
			Meters: []config.Meter{
				{Role: fleet.Total, URL: "http://127.0.0.1:9100/n1/total"},
				{
					Role: fleet.Tenant, Tenant: "acme", URL: "https://meter.example/acme",
					Label: "a", Header: "X-Key", SecretFile: "acme.key", JSON: &config.JSONLayout{
						Watts: config.Paths{"e.0.p", "e.1.p"}, WattsUnit: "kW", Energy: config.Paths{"e.0.t"},
						EnergyUnit: "Wh", Scale: -0.5, Time: "ts",
					},
				},
				{
					Role: fleet.Tenant, Tenant: "acme", URL: "https://meter.example/b",
					Label: "b", RedundantWith: "a",
				},
				{Role: fleet.Base, Modbus: "192.0.2.7", Unit: 3, Map: "abb-b23"},
				{
					Role: fleet.Total, Modbus: "[2001:db8::1]:1502", Unit: 255,
					Power: []config.Register{
						{Function: 4, Address: 12, Type: device.Float32, Scale: 1000},
						{Function: 4, Address: 14, Type: device.Int32, Swapped: true, Scale: -0.1},
					},
					Energy: &config.Register{Function: 3, Address: 100, Type: device.Uint64, Scale: 3600},
				},
				{Role: fleet.Mining, Devices: true, DevicesSuffice: true},
			},
		}},
	}}
	c.Workers = []config.Worker{
		{ID: "a.w1", Feeder: "n1", Model: "Antminer S21", MinRun: config.Duration(time.Hour), Pinned: true},
		{
			ID: "a.w2", Feeder: "n1", Branch: "p1", Model: "own", Sleep: &sleep, Wear: 7,
			MinOff: config.Duration(time.Second),
			Curve:  []config.Point{{Watts: 1800, Hashrate: 110.5e12}, {Watts: 3500, Hashrate: 200e12}},
		},
	}
	c.Device = config.Device{
		Credentials: "devices.toml", Subnets: []string{"10.0.0.0/16", "fd00::/64"}, PerSubnet: 4,
		Timeout: config.Duration(3 * time.Second),
	}
	c.Workers[1].Device, c.Workers[1].Address, c.Workers[1].Login = "axeos", "10.0.3.7:8080", "farm"
	c.Workers[1].Cut, c.Workers[1].Socket = true, &config.Socket{
		Device: "socket-modbus", Address: "10.0.9.9", After: config.Duration(time.Minute), Coil: 3,
	}
	c.Workers = append(c.Workers,
		config.Worker{
			ID: "a.w3", Feeder: "n1", Model: "Antminer S21", Device: "socket-modbus", Address: "10.0.9.1",
			Cut: true, Wear: 5000, Socket: &config.Socket{Unit: 3, Coil: 17, Inverted: true},
		},
		config.Worker{
			ID: "a.w4", Feeder: "n1", Model: "Antminer S21", Device: "socket-http", Address: "10.0.9.2:81",
			Socket: &config.Socket{On: "/1?on", Off: "/1?off", State: "/1", Path: "o.0", Is: "\"on\""},
		})
	no, none := false, 0
	c.Workers[1].MustRun, c.Workers[1].Cycles = true, &none
	c.Owners = []config.Owner{
		{Account: "alice", Curtailable: &no},
		{Account: "bob", Hours: 40.5, Least: 60_000, Cycles: 2},
	}
	c.Simulation.HashScale = 2.5e-11
	return c
}

// Ensure that a configuration which uses every key is valid and survives being written and read.
func TestConfig_SurvivesEncodeAndDecode(t *testing.T) {
	for name, c := range map[string]config.Config{"full": full(), "default": config.Default()} {
		text, err := config.Encode(&c)
		if err != nil {
			t.Fatal(err)
		}
		back, err := config.Decode(name, text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		ignore := cmpopts.IgnoreUnexported(config.Config{})
		if diff := cmp.Diff(c, back, ignore, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: written and read (-want +got):\n%s\n%s", name, diff, text)
		}
	}
	c := full()
	if err := c.Validate(); err != nil {
		t.Errorf("full configuration: %v", err)
	}
}

// Ensure that the example in a fresh file is valid once its comment signs are removed.
func TestConfig_ExampleInFreshFileIsValid(t *testing.T) {
	c := full()
	c.Sites, c.Workers, c.Owners, c.Simulation = nil, nil, nil, config.Simulation{}
	text, err := config.Encode(&c)
	if err != nil {
		t.Fatal(err)
	}
	_, example, found := strings.Cut(string(text), "An example to start from:\n#\n")
	if !found {
		t.Fatalf("no example in:\n%s", text)
	}
	var b strings.Builder
	for line := range strings.Lines(example) {
		b.WriteString(strings.TrimPrefix(strings.TrimPrefix(line, "# "), "#"))
	}
	back, err := config.Decode("example", append(text, b.String()...))
	if err != nil {
		t.Fatal(err)
	}
	if err := back.Validate(); err != nil {
		t.Error(err)
	}
	if len(back.Sites) != 1 || len(back.Workers) != 1 {
		t.Errorf("example has %d sites and %d workers, want 1 and 1", len(back.Sites), len(back.Workers))
	}
}

// Ensure that every unknown key is named with its line and with what is accepted there.
func TestDecode_NamesUnknownKeysWithTheirLines(t *testing.T) {
	_, err := config.Decode("f.toml", []byte(`network = "mainnet"
nettwork = 1
[stratum]
lisen = ":1"
[[worker]]
id = "a.b"
[[worker]]
id = "a.c"
fedder = "x"
[extra]
deep = 1
[[site]]
id = "s"
[[site.feeder]]
id = "f"
overload = {watts = "1kW", fur = "1s"}
`))
	want := []string{
		`f.toml:2: unknown key "nettwork": accepted here: network, payout,`,
		`f.toml:4: unknown key "stratum.lisen": accepted here: listen, authority_key,`,
		`f.toml:9: unknown key "worker.fedder": accepted here: id, feeder,`,
		`f.toml:10: unknown key "extra": accepted here: network,`,
		`f.toml:16: unknown key "site.feeder.overload.fur": accepted here: watts, for`,
	}
	wantLines(t, err, want)
}

// Ensure that a value of the wrong form is named with its key and, where it can be told, its line.
func TestDecode_NamesWrongValues(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"network = 1", `f.toml:1: network: the value is of type integer, accepted is string`},
		{"x = [", `f.toml:1: `},
		{
			"[[worker]]\nsleep = \"9xW\"\n[[worker]]\nsleep = \"40W\"",
			`f.toml:2: worker.sleep: power "9xW": `,
		},
		{
			"[[worker]]\npinned = 1\n[[worker]]\npinned = true",
			`f.toml: worker.pinned: the value is of type integer`,
		},
		{
			"[[site]]\n[[site.feeder]]\nnotice = 30",
			`f.toml:3: site.feeder.notice: duration "30": a number with its unit`,
		},
		{
			"[[site]]\n[[site.feeder]]\narm = \"go\"",
			`f.toml:3: site.feeder.arm: arm "go": observe, advise or act`,
		},
		{"[[node]]\nkind = \"x\"", `f.toml:2: node.kind: node kind "x": btcd or core is accepted`},
	} {
		_, err := config.Decode("f.toml", []byte(test.text))
		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%q:\n got %v\nwant %s", test.text, err, test.want)
		}
	}
}

// Ensure that all faults are listed at once, each with its field and what is accepted.
func TestValidate_ListsEveryFault(t *testing.T) {
	c := full()
	c.Network, c.Payout, c.Storage.Dir = "maynet", "", ""
	c.Stratum = config.Stratum{
		Limits: c.Stratum.Limits, Timing: c.Stratum.Timing, Listen: "3333", Tag: "ä", MinDifficulty: -1,
	}
	c.GRPC.Listen = c.Console.Listen
	c.Admin.KeyHash = "12"
	c.Tenants = append(c.Tenants,
		config.Tenant{ID: "b", KeyHash: hash}, config.Tenant{ID: "A+", KeyHash: hash})
	c.Nodes[0].URL = "ftp://x"
	c.Nodes[1].URL = "http://node.example:8332"
	c.Nodes[1].Certificate = ""
	c.Nodes[2].Password = "too"
	f := &c.Sites[0].Feeder[0]
	f.Limit = 0
	f.Meters = []config.Meter{
		{Role: fleet.Tenant, Tenant: "nobody", URL: "x"},
		{Role: fleet.Base, URL: "http://x", Modbus: "y", Map: "abb"},
		{Role: fleet.Base, Devices: true, Unit: 4},
		{Role: fleet.Base, URL: "http://x", DevicesSuffice: true},
		{
			Role: fleet.Base, Modbus: "h:1",
			Power: []config.Register{{Function: 5, Type: device.Int16, Scale: 1}},
		},
		{Role: fleet.Base, URL: "http://a:b@x", Header: "X-Key", JSON: &config.JSONLayout{}},
		{
			Role: fleet.Base, Modbus: "h:1", Map: "abb-b23", SecretFile: "x",
			Label: "A+", RedundantWith: "none",
		},
		{Role: fleet.Base, URL: "http://x", Label: "two", RedundantWith: "three"},
		{Role: fleet.Base, URL: "http://x", Label: "three"},
		{Role: fleet.Base, URL: "http://x", Label: "three", RedundantWith: "two"},
		{Role: fleet.Base, URL: "http://x", RedundantWith: "two"},
	}
	c.Workers[0].Model = "Antminer S1"
	c.Simulation.HashScale = 2
	c.Stratum.MaxDifficulty = 10
	c.Stratum.Ports = []config.Port{
		{Listen: "x", Dialect: "v3", MinDifficulty: 11, Certificate: "c.pem"},
		{Listen: ":9443", ProxyFrom: []string{"nowhere"}},
	}
	c.Stratum.Classes = []config.MinerClass{{Name: "mine", Coinbase: 20}}
	wantLines(t, c.Validate(), []string{
		`network: network "maynet": mainnet, testnet3`,
		`payout: missing`,
		`storage.dir: missing`,
		`stratum.min_difficulty is -1: above 0`,
		`stratum.shares_per_minute is 0: above 0`,
		`stratum.shares_per_second is 0: 1 to 1000000`,
		`stratum.port 1: dialect: "v3": v1, v2`,
		`stratum.port 1: min_difficulty is 11: 0 to max_difficulty, 10,`,
		`stratum.port 1: certificate and key are accepted together, with tls`,
		`stratum.port 2: proxy_from: `,
		`stratum.class: class "mine": a coinbase of 20 bytes: 300 to 30000`,
		`stratum.tag: coinbase tag byte 0`,
		`stratum.authority_key: missing`,
		`simulation.hash_scale is 2: 0 to 1`,
		`stratum.listen: "3333": host:port is accepted`,
		`console.listen: :9443 is used by grpc.listen already`,
		`stratum.port 1: listen: "x": host:port is accepted`,
		`stratum.port 2: listen: :9443 is used by console.listen already`,
		`admin.key_hash: the SHA-256`,
		`tenant "b" is there twice`,
		`tenant 4: id: "A+": 1 to 40 of a-z 0-9 - _ are accepted`,
		`node 1: url: http://host:port or https://host:port is accepted`,
		`node node.example:8332: address: node.example:8332 is not on this machine: TLS`,
		`node 3: password_file: given beside password`,
		`feeder "n1" meter 1: url: http://host/path or`,
		`feeder "n1" meter 1: tenant: "nobody" has no [[tenant]]`,
		`feeder "n1" meter 2: 2 of url, modbus and devices are there: exactly one`,
		`feeder "n1" meter 2: map: "abb": one of abb-b23, schneider-iem3000, or`,
		`feeder "n1" meter 3: devices: their sum is accepted for the role mining alone`,
		`feeder "n1" meter 3: unit, map, power and energy are accepted only with modbus`,
		`feeder "n1" meter 4: devices_suffice is accepted only with devices`,
		`feeder "n1" meter 5: power: function is 5: 3`,
		`feeder "n1" meter 6: url: it has a user or a password`,
		`feeder "n1" meter 6: header: it is accepted only with`,
		`feeder "n1" meter 6: watts is missing`,
		`feeder "n1" meter 7: json, header and secret_file are accepted only with url`,
		`feeder "n1" meter 7: name: "A+": 1 to 40`,
		`feeder "n1" meter 10: name: "three" is there twice`,
		`feeder "n1" meter 7: redundant_with: "none" is the name of no other`,
		`feeder "n1" meter 8: redundant_with: "three" stands in for "two" itself`,
		`feeder "n1" meter 10: redundant_with: "two" stands in for "three" itself`,
		`feeder "n1" meter 11: redundant_with needs a name of its own`,
		`feeder "n1": arm act needs a meter with role total or mining`,
		`worker "a.w1": model "Antminer S1" is not known and there is no curve`,
		`feeder "n1": limit is 0 W`,
		`feeder "n1": reserve is 4001 W: 0 to 0 W is accepted`,
		`feeder "n1": declared base load is 12340 W`,
		`feeder "n1": heat is 5000 W`, `feeder "n1": restore is 7000 W`,
		`feeder "n1": overload watts is 10000 W`,
	})
}

// Ensure that an address of another network is refused although it is an address.
func TestValidate_RefusesPayoutOfAnotherNetwork(t *testing.T) {
	c := full()
	c.Network = "mainnet"
	err := c.Validate()
	if err == nil || !strings.Contains(err.Error(), "but the network is mainnet") {
		t.Errorf("got %v, want the network named", err)
	}
}

// Ensure that relative paths and password files are resolved beside the configuration file.
func TestNodeConfigs_ReadPasswordBesideTheFile(t *testing.T) {
	dir := t.TempDir()
	c := full()
	text, err := config.Encode(&c)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "hashlease.toml")
	files := map[string]string{path: string(text), filepath.Join(dir, "secret"): "pass word\n"}
	for name, content := range files {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err = config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := c.NodeConfigs()
	if err != nil {
		t.Fatal(err)
	}
	if got := nodes[2].Password; got != "pass word" {
		t.Errorf("password is %q, want the file's", got)
	}
	if got, want := nodes[1].Certificate, filepath.Join(dir, "n.pem"); got != want {
		t.Errorf("certificate is %q, want %q", got, want)
	}
	if err := os.Remove(filepath.Join(dir, "secret")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.NodeConfigs(); err == nil || !strings.Contains(err.Error(), "node 3: password_file") {
		t.Errorf("got %v, want the missing password file named", err)
	}
}

// Ensure that a worker has its model's curve, or its own.
func TestFleet_TakesCurveFromModelOrWorker(t *testing.T) {
	c := full()
	sites, workers, err := c.Fleet()
	if err != nil {
		t.Fatal(err)
	}
	if got := workers[0].Curve.Full(); got.Watts != 3500 {
		t.Errorf("model's full power is %v, want 3.5 kW", got.Watts)
	}
	if got, want := workers[1].Curve[0], (fleet.Point{Watts: 1800, Hashrate: 110.5e12}); got != want {
		t.Errorf("own curve begins with %v, want %v", got, want)
	}
	if workers[1].Sleep != 25 || sites[0].Feeders[0].Site != "north" {
		t.Errorf("sleep %v and site %q, want 25 W and north", workers[1].Sleep, sites[0].Feeders[0].Site)
	}
}

// wantLines checks that an error has exactly these lines, by their beginnings.
func wantLines(t *testing.T, err error, want []string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	got := strings.Split(err.Error(), "\n")
	for i, line := range got {
		if i >= len(want) || !strings.HasPrefix(line, want[i]) {
			t.Fatalf("line %d: got\n%s\nof\n%v\nwant\n%s", i+1, line, err, strings.Join(want, "\n"))
		}
	}
	if len(got) < len(want) {
		t.Errorf("got %d lines, want %d:\n%v", len(got), len(want), err)
	}
}

// Ensure that every fault of tariffs, zones and owners' terms is named at once, and words that are none of
// days and times with what is accepted.
func TestValidate_NamesFaultsOfTariffsAndTerms(t *testing.T) {
	c := full()
	s := &c.Sites[0]
	s.Zone, s.Tariff = "Nowhere/Town", 1
	s.Prices.Windows[1].Until = 23 * 60
	s.Prices.Windows = append(s.Prices.Windows, s.Prices.Windows[1])
	s.Prices.Feed.URL, s.Prices.Feed.BTCURL, s.Prices.Feed.BTCPath = "ftp://x", "", ""
	s.Prices.Feed.Stale = config.Duration(30 * time.Second)
	c.Owners = append(c.Owners,
		config.Owner{Account: "bob", Hours: 745, Least: -1, Cycles: 97}, config.Owner{Account: "a.b"})
	err := c.Validate()
	for _, want := range []string{
		`zone: "Nowhere/Town"`, "flat_msat_per_kwh is given beside", "windows 2 and 3 overlap",
		"feed: url: http",
		"needs a rate", "stale is 30s", "owner 3 (bob) is there twice", "hours_per_month is 745",
		"min_msat_per_kwh is -1", "max_cycles_per_day is 97", "before the dot",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no word about %q in:\n%v", want, err)
		}
	}
	for text, want := range map[string]string{
		`days = ["monday"]`: "one of sun, mon", `from = "24:01"`: "00:00 to 24:00",
		`from = "1:00"`:   "00:00 to",
		`until = "12:60"`: "00:00 to 24:00",
	} {
		_, err := config.Decode("x", []byte("[[site]]\n[site.tariff]\n[[site.tariff.window]]\n"+text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// Ensure that tariffs and terms reach the governor as written, with cycles a day where the file says nothing.
func TestTariffs_AreAsWritten(t *testing.T) {
	c := full()
	ts, err := c.Tariffs()
	if err != nil {
		t.Fatal(err)
	}
	north := ts["north"]
	if north.Flat != 42_000 || len(north.Windows) != 2 || !north.Windows[0].Days[time.Saturday] ||
		north.Feed == nil || north.Stands != time.Hour {
		t.Errorf("tariff %+v", north)
	}
	o := c.OwnersTerms()
	if !o["alice"].Kept || o["bob"].Kept || o["bob"].Hours != 40*time.Hour+30*time.Minute {
		t.Errorf("owners %+v", o)
	}
	sites, workers, err := c.Fleet()
	if err != nil {
		t.Fatal(err)
	}
	if sites[0].Zone.String() != "America/Chicago" || sites[0].Feeders[0].Heat != 5000 ||
		workers[0].Cycles != 4 || workers[1].Cycles != 0 || !workers[1].MustRun {
		t.Errorf("sites %+v, workers %+v", sites, workers)
	}
}
