// Package config is the configuration file of a hashlease server: a strict TOML file
// with units that people write ("100kW", "30s").
//
// Decode refuses what it does not know and names the line. Validate lists every fault at once.
// Encode writes a file with comments, which Decode reads back. The conversions
// (NodeConfigs, Fleet) give the rooms their own types; starting the rooms is left to
// the commands.
package config

import (
	"path/filepath"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/unit"
)

// Config is one server's configuration. Relative paths in it start at the file's directory.
type Config struct {
	Network string `toml:"network"` // as node.ParseNetwork reads it
	Payout  string `toml:"payout"`  // address that found blocks pay
	Solo    bool   `toml:"solo"`    // miners may name the address that their blocks pay

	Storage    Storage    `toml:"storage"`
	Nodes      []Node     `toml:"node"`
	Stratum    Stratum    `toml:"stratum"`
	GRPC       Listener   `toml:"grpc"`
	Console    Listener   `toml:"console"`
	TLS        TLS        `toml:"tls"`
	Admin      Admin      `toml:"admin"`
	Lease      Lease      `toml:"lease"`
	Headroom   Headroom   `toml:"headroom"`
	Tenants    []Tenant   `toml:"tenant"`
	Sites      []Site     `toml:"site"`
	Device     Device     `toml:"device"`
	Workers    []Worker   `toml:"worker"`
	Owners     []Owner    `toml:"owner"`
	Simulation Simulation `toml:"simulation"`

	dir string // of the file; empty means the working directory
}

// Storage says where journals are kept.
type Storage struct {
	Dir string `toml:"dir"`
	// AuditMonths is how many whole months of the evidence log are kept besides the present; 0: all.
	AuditMonths int `toml:"audit_months"`
}

// Node is how to reach one bitcoin node.
type Node struct {
	Name         string   `toml:"name"` // for people; the address if empty
	Kind         NodeKind `toml:"kind"`
	URL          string   `toml:"url"` // http://host:port or https://host:port
	User         string   `toml:"user"`
	Password     string   `toml:"password"`
	PasswordFile string   `toml:"password_file"` // instead of password
	CookieFile   string   `toml:"cookie_file"`   // Bitcoin Core: instead of user and password
	Certificate  string   `toml:"certificate"`   // PEM file; empty trusts the system's roots
}

// Stratum is what miners connect to.
type Stratum struct {
	Listen          string  `toml:"listen"`
	AuthorityKey    string  `toml:"authority_key"`     // file with the secret that signs certificates
	MinDifficulty   float64 `toml:"min_difficulty"`    // no channel gets easier work
	MaxDifficulty   float64 `toml:"max_difficulty"`    // no channel gets harder work, unless it insists
	SharesPerMinute float64 `toml:"shares_per_minute"` // wanted of every channel
	SharesPerSecond float64 `toml:"shares_per_second"` // of all channels together; beyond, each gets less
	Tag             string  `toml:"tag"`               // in the coinbase of found blocks
	// RequiredExtensions must be negotiated before a connection may mine; none on a port for everybody.
	RequiredExtensions []uint16 `toml:"required_extensions"`
	Limits             Limits   `toml:"limits"`
	Timing             Timing   `toml:"timing"`

	Ports   []Port       `toml:"port"`
	Classes []MinerClass `toml:"class"`
}

// Listener is an address to listen on: host:port, or :port for every interface.
type Listener struct {
	Listen string `toml:"listen"`
}

// TLS says where the server's own authority and certificate are.
type TLS struct {
	Dir string `toml:"dir"`
	// Hosts are further names and addresses that the certificate is good for.
	Hosts []string `toml:"hosts"`
}

// Admin is the operator's access.
type Admin struct {
	KeyHash string `toml:"key_hash"` // SHA-256 of the key, hexadecimal
}

// Lease is the terms of new leases.
type Lease struct {
	Price unit.Msat `toml:"price_msat_per_kwh"` // for energy at the tenant's meter; 0: free
	// Penalty is the price of what a tenant draws beyond what it holds; absent: three times Price.
	Penalty *unit.Msat `toml:"overrun_msat_per_kwh"`
}

// Overrun is the price of a kWh that a tenant draws beyond what it holds.
func (l *Lease) Overrun() unit.Msat {
	if l.Penalty != nil {
		return *l.Penalty
	}
	return min(3*l.Price, 1e15)
}

// Headroom is what may be sold of feeders.
type Headroom struct {
	// ProofAge is how long a commissioning counts, and each dispatch since.
	ProofAge Duration `toml:"proof_age"`
}

// Tenant is somebody who may lease power.
type Tenant struct {
	ID      string `toml:"id"`
	KeyHash string `toml:"key_hash"` // SHA-256 of the key, hexadecimal
}

// Site is a place with feeders.
type Site struct {
	ID     fleet.SiteID `toml:"id"`
	Name   string       `toml:"name"`
	Zone   string       `toml:"zone"`                // of its clocks, as "America/Chicago"; empty: UTC
	Tariff unit.Msat    `toml:"tariff_msat_per_kwh"` // what the site pays for power; 0: unknown
	Prices *Tariff      `toml:"tariff"`              // in more detail
	Feeder []Feeder     `toml:"feeder"`
	Branch []Branch     `toml:"branch"`
}

// Branch is a part of a site with a limit of its own: a PDU, a transformer, or the whole import.
type Branch struct {
	ID       fleet.BranchID   `toml:"id"`
	Kind     fleet.BranchKind `toml:"kind"`
	Parent   fleet.BranchID   `toml:"parent"`
	Limit    unit.Watts       `toml:"limit"`
	Reserve  unit.Watts       `toml:"reserve"`
	Base     unit.Watts       `toml:"base"`
	Overload Overload         `toml:"overload"`
	Meters   []Meter          `toml:"meter"` // of all that it takes; none: its feeders' tell
}

// Feeder is a metered branch with a limit.
type Feeder struct {
	ID       fleet.FeederID `toml:"id"`
	Branch   fleet.BranchID `toml:"branch"` // what it hangs on; empty: the site's import, if there is one
	Limit    unit.Watts     `toml:"limit"`
	Reserve  unit.Watts     `toml:"reserve"`
	Base     unit.Watts     `toml:"base"`
	Overload Overload       `toml:"overload"`
	Notice   Duration       `toml:"notice"`
	Restore  unit.Watts     `toml:"restore"` // given back to mining a second; 0: 1 % of the limit
	Heat     unit.Watts     `toml:"heat"`    // of mining that is kept running for its heat
	Arm      fleet.Arm      `toml:"arm"`
	// TrustDeclared sells by curves and declared times, without a commissioning.
	TrustDeclared bool `toml:"trust_declared"`
	// SpareDomain keeps back what the largest single control domain frees, N-1; absent: true.
	SpareDomain *bool   `toml:"n_minus_1"`
	Meters      []Meter `toml:"meter"`
}

// Spare says whether what the largest single control domain frees is kept back.
func (f *Feeder) Spare() bool { return f.SpareDomain == nil || *f.SpareDomain }

// Overload is what a feeder bears above its limit, for a bounded time.
type Overload struct {
	Watts unit.Watts `toml:"watts"`
	For   Duration   `toml:"for"`
}

// Worker is a machine with a place and a curve: its model's, or its own.
type Worker struct {
	ID     string         `toml:"id"` // account.worker
	Feeder fleet.FeederID `toml:"feeder"`
	Branch fleet.BranchID `toml:"branch"` // its PDU; empty: none
	Model  string         `toml:"model"`
	Curve  []Point        `toml:"curve"`
	Sleep  *unit.Watts    `toml:"sleep"` // nil: the model's
	MinRun Duration       `toml:"min_run"`
	MinOff Duration       `toml:"min_off"`
	Wear   unit.Msat      `toml:"wear_msat"` // cost of one pause-and-wake cycle
	Pinned bool           `toml:"pinned"`
	// MustRun is reduced only if the limit could not be kept otherwise.
	MustRun bool `toml:"must_run"`
	Cycles  *int `toml:"max_cycles_per_day"` // pauses within 24 h at most, 0: any number; nil: 4

	Device  string `toml:"device"`  // kind of the machine's own interface; empty: its session is all there is
	Address string `toml:"address"` // of it: HOST or HOST:PORT
	Login   string `toml:"login"`   // entry of device.credentials; empty: the one with the kind's name
	// Cut arms a switched socket: it is read without, and cuts the machine's power with it.
	Cut    bool    `toml:"cut"`
	Socket *Socket `toml:"socket"` // how a kind socket-... is switched, or what is behind another
	// ShedIn and ReturnIn are the times to 95 % of a change that the owner knows of the machine; 0: what
	// its kind is known for. What is measured replaces both.
	ShedIn   Duration `toml:"shed_in"`
	ReturnIn Duration `toml:"return_in"`
}

// Point is one working point of a curve.
type Point struct {
	Watts    unit.Watts    `toml:"watts"`
	Hashrate unit.Hashrate `toml:"hashrate"`
}

// Simulation is for simulated fleets only.
type Simulation struct {
	// HashScale is real hashes for each hash of the curves; 0 means 1, which is every real fleet.
	HashScale float64 `toml:"hash_scale"`
}

// Default is a configuration in which network, payout, node and keys are still to be filled in.
func Default() Config {
	return Config{
		Network: "mainnet",
		Storage: Storage{Dir: "data"},
		Stratum: Stratum{
			Listen: ":3333", AuthorityKey: "authority.key",
			MinDifficulty: 256, MaxDifficulty: 1 << 31, SharesPerMinute: 12, SharesPerSecond: 20_000,
			Tag: "hashlease", Limits: defaultLimits(), Timing: defaultTiming(),
		},
		GRPC:     Listener{Listen: ":8443"},
		Console:  Listener{Listen: ":9443"},
		TLS:      TLS{Dir: "tls"},
		Device:   defaultDevice(),
		Headroom: Headroom{ProofAge: Duration(governor.DefaultConfig().ProofAge)},
	}
}

// Path resolves a path of the configuration: a relative one starts at the file's directory.
func (c *Config) Path(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(c.dir, p)
}

// SetDir says where relative paths start, for a configuration that was not read from a file.
func (c *Config) SetDir(dir string) { c.dir = dir }
