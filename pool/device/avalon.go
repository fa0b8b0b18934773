package device

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

func init() { openers["avalon"] = opener{port: 4028, open: openAvalon, is: isAvalon} }

// avalon is the interface of Canaan's Avalon A, Q and Mini as the vendor's API manuals describe it:
// cgminer's, one question at a time, with figures in brackets within one text. It sleeps and wakes at a
// moment that it is told, by its own clock.
type avalon struct {
	api cgAPI
	cfg Config

	asked   string    // what was asked for last, softoff or softon
	pending time.Time // until when it may not have begun
	wall    bool      // its power supply says what it takes from the wall
}

// avalonLead is how far ahead a moment is set: long enough to arrive before it.
const avalonLead = 3 * time.Second

func openAvalon(cfg Config) (Driver, error) {
	return newMachine("avalon", cfg, &avalon{api: newCGAPI(cfg), cfg: cfg}), nil
}

func isAvalon(ctx context.Context, cfg Config) bool {
	v, err := versionOf(ctx, cfg)
	return err == nil && len(v.Version) > 0 && v.avalon()
}

func (a *avalon) identify(ctx context.Context) (Identity, error) {
	var v cgVersion
	if err := a.api.ask(ctx, "version", "", &v); err != nil {
		return Identity{}, err
	}
	if len(v.Version) == 0 {
		return Identity{}, fmt.Errorf("%w: version is empty", ErrAnswer)
	}
	var pools cgPools
	if err := a.api.ask(ctx, "pools", "", &pools); err != nil {
		return Identity{}, err
	}
	st, _, err := a.stats(ctx)
	if err != nil {
		return Identity{}, err
	}
	n := &v.Version[0]
	f := pools.facts()
	return Identity{
		Model: avalonModel(n.Product, n.Model), Serial: n.DNA,
		Firmware: firmware("Avalon", cmp.Or(n.Logic, n.Control)), MAC: macOf(n.MAC), Workers: f.workers,
		Nominal: fleet.Point{Hashrate: st.hashrate("GHSmm")},
	}, nil
}

// avalonModel is a model as people say it: AvalonMiner 1466 is an Avalon A1466, Avalon Q is itself.
func avalonModel(product, model string) string {
	name, _, _ := strings.Cut(model, "-")
	if name != "" && name[0] >= '0' && name[0] <= '9' && !strings.Contains(name, ".") {
		return "Avalon A" + name
	}
	return product
}

// avalonStats is the text of figures: Key[value] and Key[value value], with blanks between.
type avalonStats string

// text is the value of a key, empty if it is not there.
func (s avalonStats) text(key string) string {
	rest := string(s)
	for {
		i := strings.Index(rest, key+"[")
		if i < 0 {
			return ""
		}
		value := rest[i+len(key)+1:]
		if i == 0 || strings.ContainsRune(" {", rune(rest[i-1])) {
			value, _, _ = strings.Cut(value, "]")
			return value
		}
		rest = value
	}
}

// numbers are the values of a key.
func (s avalonStats) numbers(key string) (list []float64) {
	for field := range strings.FieldsSeq(s.text(key)) {
		f, err := strconv.ParseFloat(field, 64)
		if err != nil || len(list) >= maxAvalonNumbers {
			return list
		}
		list = append(list, f)
	}
	return list
}

// maxAvalonNumbers bounds what is read of one key.
const maxAvalonNumbers = 64

// number is the first value of a key.
func (s avalonStats) number(key string) float64 {
	if list := s.numbers(key); len(list) > 0 {
		return list[0]
	}
	return 0
}

func (s avalonStats) hashrate(key string) unit.Hashrate { return unit.Hashrate(s.number(key) * 1e9) }

// stats reads the figures of the first module, and the machine's clock.
func (a *avalon) stats(ctx context.Context) (avalonStats, cgSaid, error) {
	var reply struct {
		Stats []map[string]json.RawMessage `json:"STATS"`
	}
	said, err := a.api.tell(ctx, "estats", "", &reply)
	if err != nil {
		return "", said, err
	}
	for _, part := range reply.Stats {
		for _, key := range []string{"MM ID0", "MM ID0:Summary"} {
			var text avalonStats
			if json.Unmarshal(part[key], &text) == nil && text != "" {
				return text, said, nil
			}
		}
	}
	return "", said, fmt.Errorf("%w: estats without MM ID0", ErrAnswer)
}

func (a *avalon) see(ctx context.Context) (fleet.Sighting, error) {
	st, _, err := a.stats(ctx)
	if err != nil {
		return fleet.Sighting{}, err
	}
	var pools cgPools
	if err := a.api.ask(ctx, "pools", "", &pools); err != nil {
		return fleet.Sighting{}, err
	}
	if a.did(st) {
		a.pending = time.Time{}
	}
	f := pools.facts()
	s := fleet.Sighting{
		Hashrate: st.hashrate("GHSspd"), Uptime: seconds(int64(min(max(st.number("Elapsed"), 0), 1<<32))),
		Chip: degrees(st.number("TMax")), Inlet: degrees(st.number("ITemp")),
		Pool: f.pool, Backups: f.backups, Activity: avalonActivity(st),
	}
	for _, key := range []string{"ECHU", "ECMM", "FanErr"} {
		for _, n := range st.numbers(key) {
			if n != 0 && len(s.Errors) < fleet.MaxErrors {
				s.Errors = append(s.Errors, fmt.Sprintf("%s %v", key, n))
			}
		}
	}
	a.readSupply(st, &s)
	return s, nil
}

// did says that the moment of the last order has come.
func (a *avalon) did(st avalonStats) bool {
	return (a.asked == "softoff") == (avalonActivity(st) == fleet.ActivityAsleep)
}

// supplyLoss is what a power supply of that size loses.
const supplyLoss = 0.08

// readSupply reads the power supply: error, volts of the control board and of the hash boards, amperes,
// watts that it gives, volts that it is set to, and watts that it takes, which older firmware leaves out.
func (a *avalon) readSupply(st avalonStats, s *fleet.Sighting) {
	ps := st.numbers("PS")
	if a.wall = len(ps) > 6; a.wall {
		s.Watts, s.Wattage = watts(ps[6]), fleet.WattsMeasured
	}
	if s.Watts > 0 || len(ps) < 5 {
		return
	}
	if s.Wattage = fleet.WattsEstimated; ps[4] <= 0 {
		s.Watts = a.cfg.Sleep
		return
	}
	s.Watts = watts(ps[4] / (1 - supplyLoss))
}

// avalonActivity reads the state: In Work or In Idle, and whether it was switched off.
func avalonActivity(st avalonStats) fleet.Activity {
	h, able := st.hashrate("GHSspd"), st.hashrate("GHSmm")
	idle, off := strings.Contains(st.text("SYSTEMSTATU"), "In Idle"), st.number("SoftOFF") != 0
	switch {
	case idle && off && h <= 0:
		return fleet.ActivityAsleep
	case idle || off || h <= 0 || h < able/2:
		return fleet.ActivityMoving
	}
	return fleet.ActivityMining
}

// set names a moment by the machine's own clock, which may be anything where there is no time server.
func (a *avalon) set(ctx context.Context, s fleet.Setpoint) error {
	command := "softon"
	switch s.Mode {
	case fleet.Paused:
		command = "softoff"
	case fleet.Capped:
		return fmt.Errorf("%w: it sleeps and wakes, and takes no watts", ErrCannot)
	case fleet.Free:
	}
	waits := a.cfg.Now().Before(a.pending)
	if waits && command == a.asked {
		return nil // a later moment would only put it off
	}
	st, clock, err := a.stats(ctx)
	if err != nil {
		return err
	}
	if off := st.number("SoftOFF") != 0; !waits && off == (s.Mode == fleet.Paused) {
		return nil
	}
	if clock.When <= 0 {
		return fmt.Errorf("%w: estats without its time", ErrAnswer)
	}
	return a.order(ctx, command, clock.When+int64(avalonLead/time.Second))
}

// order names the moment. Some machines hang up when they are to wake.
func (a *avalon) order(ctx context.Context, command string, at int64) error {
	said, err := a.api.tell(ctx, "ascset", fmt.Sprintf("0,%s,1:%d", command, at), nil)
	switch {
	case errors.Is(err, errSilent) && command == "softon":
	case err != nil:
		return err
	case !strings.Contains(said.Msg, "success") && !strings.Contains(said.Msg, "OK"):
		return fmt.Errorf("%w: %s", ErrRefused, quote(said.Msg))
	}
	a.asked, a.pending = command, a.cfg.Now().Add(avalonLead+time.Second)
	return nil
}

// capability: the moment and some seconds to sleep; a return is a start, assumed (power.md, 6). Whether it
// sleeps on after a reboot is not documented.
func (a *avalon) capability() fleet.Capability {
	return fleet.Capability{
		Max: fullWatts(a.cfg.Curve), CanPause: true, HoldsAlone: true, Forgets: true, Measured: a.wall,
		ShedIn: 10 * time.Second, ReturnIn: 5 * time.Minute,
	}
}

func (a *avalon) close() {}
