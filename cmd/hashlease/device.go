package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hashlease/hashlease/pool/unit"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

type deviceCmd struct {
	List     deviceListCmd  `cmd:"" help:"Show the machines that are read on interfaces of their own."`
	Show     deviceShowCmd  `cmd:"" help:"Show one machine: who it is, what it does, its pools."`
	SetPower devicePowerCmd `cmd:"" help:"Keep a machine at some watts at most, until it is woken."`
	Sleep    deviceSleepCmd `cmd:"" help:"Put machines to sleep, until they are woken."`
	Wake     deviceWakeCmd  `cmd:"" help:"End set-power and sleep; machines return as limits allow."`

	Scan   deviceScanCmd   `cmd:"" help:"Look for machines in a subnet, and remember those that are found."`
	Found  deviceFoundCmd  `cmd:"" help:"Show the machines that were found, and which worker each is."`
	Export deviceExportCmd `cmd:"" help:"Write found machines as configuration, or as JSON for import."`
	Import deviceImportCmd `cmd:"" help:"Remember machines that are listed in a file, JSON or CSV."`
	Forget deviceForgetCmd `cmd:"" help:"Take found machines out of what is remembered."`
}

// devicePage is how many machines are asked for at once.
const devicePage = 1000

type deviceListCmd struct {
	clientFlags
	Feeder string `arg:"" optional:"" help:"Only this feeder's: its id, or SITE/FEEDER."`
	Wrong  bool   `help:"Only those that do not answer, do not as ordered, or have escaped."`
}

// Run lists machines.
func (c *deviceListCmd) Run(ctx context.Context, e *env) error {
	cl, err := c.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	ask := &hashleasev1.ListDevicesRequest{PageSize: devicePage}
	if c.Feeder != "" {
		if ask.Feeder, err = cl.feederName(ctx, c.Feeder); err != nil {
			return err
		}
	}
	list, err := c.pages(ctx, cl, ask)
	if err != nil {
		return fmt.Errorf("asking for machines: %w", err)
	}
	if c.JSON {
		return jsonList(e, list)
	}
	switch {
	case len(list) == 0 && c.Wrong:
		e.notef("None: all machines that are read answer, do as ordered and complain of nothing.\n")
		return nil
	case len(list) == 0:
		e.notef("None. Workers are read on interfaces of their own with device = \"KIND\" in the " +
			"configuration: docs/device.md.\n")
		return nil
	}
	return printDevices(e, list)
}

// pages asks for all pages.
func (c *deviceListCmd) pages(
	ctx context.Context, cl *client, ask *hashleasev1.ListDevicesRequest,
) (list []*hashleasev1.Device, err error) {
	for {
		call, cancel := cl.call(ctx)
		r, err := cl.operator.ListDevices(call, ask)
		cancel()
		if err != nil {
			return nil, err
		}
		for _, d := range r.GetDevices() {
			if !c.Wrong || wrong(d) {
				list = append(list, d)
			}
		}
		if ask.PageToken = r.GetNextPageToken(); ask.PageToken == "" {
			return list, nil
		}
	}
}

// wrong says that somebody should look at a machine.
func wrong(d *hashleasev1.Device) bool {
	return !d.GetReachable() || d.GetFailures() > 0 || d.GetEscaped() || d.GetStray() != "" ||
		d.GetState() == "stuck" || d.GetOrderFault() != "" || len(d.GetSighting().GetErrors()) > 0
}

func printDevices(e *env, list []*hashleasev1.Device) error {
	t := newTable(e.stdout, "WORKER", "KIND", "ADDRESS", "MODEL", "STATE", "SAYS", "DRAWS", "HASHRATE",
		"CHIP", "POOL", "BACKUPS", "SEEN")
	for _, d := range list {
		s := d.GetSighting()
		t.row(d.GetWorker(), d.GetKind(), d.GetAddress(), d.GetModel(), deviceState(d), s.GetActivity(),
			sightedWatts(s), sightedRate(s), celsius(s.GetChipCelsius()), s.GetPool(),
			strconv.Itoa(len(s.GetBackups())), clock(s.GetTime()))
	}
	return t.flush()
}

// deviceState is what was made of a machine, with what is wrong with it.
func deviceState(d *hashleasev1.Device) string {
	state := d.GetState()
	if !d.GetOrdered() {
		state += ", read only"
	}
	if s := d.GetStray(); s != "" {
		state += ", " + s
	}
	if d.GetCeiling() != nil {
		state += ", by hand"
	}
	if d.GetOrderFault() != "" {
		state += ", order not taken"
	}
	if n := d.GetFailures(); n > 0 {
		state += ", " + plural(int(n), "time", "times") + " no answer"
	}
	return state
}

func sightedWatts(s *hashleasev1.DeviceSighting) string {
	if s == nil || s.GetWattage() == "unknown" {
		return "-"
	}
	text := unit.Watts(s.GetWatts()).String()
	if s.GetWattage() == "estimated" {
		text = "~" + text
	}
	return text
}

func sightedRate(s *hashleasev1.DeviceSighting) string {
	if s == nil {
		return "-"
	}
	return unit.Hashrate(s.GetHashrate()).String()
}

func celsius(c int32) string {
	if c == 0 {
		return "-"
	}
	return fmt.Sprintf("%d °C", c)
}

type deviceShowCmd struct {
	clientFlags
	Worker string `arg:"" help:"Its id, account.worker."`
}

// Run shows one machine.
func (c *deviceShowCmd) Run(ctx context.Context, e *env) error {
	return c.tell(ctx, e, c.Worker, "asking for %s", func(
		call context.Context, cl *client,
	) (*hashleasev1.Device, error) {
		return cl.operator.GetDevice(call, &hashleasev1.GetDeviceRequest{Worker: c.Worker})
	})
}

// tell makes one call about a machine and shows the machine.
func (f *clientFlags) tell(
	ctx context.Context, e *env, worker, doing string,
	do func(context.Context, *client) (*hashleasev1.Device, error),
) error {
	cl, err := f.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	call, cancel := cl.call(ctx)
	defer cancel()
	d, err := do(call, cl)
	if err != nil {
		return fmt.Errorf(doing+": %w", worker, err)
	}
	if f.JSON {
		return e.jsonLine(d)
	}
	return printDevice(e, d)
}

func printDevice(e *env, d *hashleasev1.Device) error {
	t := newTable(e.stdout, "worker", d.GetWorker())
	row := func(name, text string) {
		if text != "" {
			t.row(name, text)
		}
	}
	row("feeder", feederWord(d.GetFeeder()))
	row("interface", strings.TrimSpace(d.GetKind()+" "+d.GetAddress()))
	row("model", d.GetModel())
	if id := d.GetIdentity(); id != nil {
		row("says it is", id.GetModel())
		row("firmware", id.GetFirmware())
		row("serial", id.GetSerial())
		row("mac", id.GetMac())
		row("host", id.GetHost())
		row("at its pools", strings.Join(id.GetPoolWorkers(), ", "))
	}
	row("can", capabilityText(d.GetCapability()))
	row("state", deviceState(d))
	row("ordered", fmt.Sprintf("%s, %v of %v", d.GetMode(), unit.Watts(d.GetModeWatts()),
		unit.Watts(d.GetFullWatts())))
	row("not taken", d.GetOrderFault())
	row("evidence", d.GetEvidence())
	if c := d.GetCeiling(); c != nil {
		row("by hand", fmt.Sprintf("%s, %v at most, since %s", c.GetMode(), unit.Watts(c.GetWatts()),
			clock(c.GetTime())))
	}
	switch {
	case d.GetElsewhere():
		row("mines", "elsewhere: it has no session here")
	case d.GetKind() != "":
		row("mines", "here")
	}
	if s := d.GetSighting(); s != nil {
		showSighting(row, s)
	}
	row("no answer", d.GetFault())
	return t.flush()
}

// capabilityText is what a machine can be told, in words; empty if that is not known.
func capabilityText(c *hashleasev1.DeviceCapability) string {
	switch {
	case c == nil:
		return ""
	case !c.GetSleeps() && !c.GetTakesWatts():
		return "only be read"
	}
	var can []string
	if c.GetSleeps() {
		can = append(can, "sleep")
	}
	if c.GetTakesWatts() {
		text := fmt.Sprintf("take %v to %v", unit.Watts(c.GetMinWatts()), unit.Watts(c.GetMaxWatts()))
		if step := c.GetStepWatts(); step > 1 {
			text += fmt.Sprintf(" in steps of up to %v", unit.Watts(step))
		}
		if c.GetRestarts() {
			text += ", by a restart of its mining"
		}
		can = append(can, text)
	}
	seconds := func(n int64) time.Duration { return time.Duration(n) * time.Second }
	text := fmt.Sprintf("%s; sheds in %v, returns in %v", strings.Join(can, ", "),
		seconds(c.GetShedSeconds()), seconds(c.GetReturnSeconds()))
	if !c.GetHoldsAlone() {
		text += "; does not hold alone"
	}
	if !c.GetSurvivesReboot() {
		text += "; forgets at a reboot"
	}
	return text
}

// showSighting is what a machine last said that it does.
func showSighting(row func(name, text string), s *hashleasev1.DeviceSighting) {
	row("says", s.GetActivity())
	row("draws", sightedWatts(s))
	if w := s.GetTargetWatts(); w > 0 {
		row("set to", unit.Watts(w).String())
	}
	row("hashrate", sightedRate(s))
	if u := s.GetUptimeSeconds(); u > 0 {
		row("up", (time.Duration(u) * time.Second).String())
	}
	if s.GetChipCelsius() != 0 || s.GetInletCelsius() != 0 {
		row("chip, inlet", celsius(s.GetChipCelsius())+", "+celsius(s.GetInletCelsius()))
	}
	row("pool", s.GetPool())
	row("backup pools", strings.Join(s.GetBackups(), ", "))
	row("errors", strings.Join(s.GetErrors(), "; "))
	row("seen", clock(s.GetTime()))
}

type devicePowerCmd struct {
	clientFlags
	Worker string     `arg:"" help:"Its id, account.worker."`
	Power  unit.Watts `arg:"" help:"From its least to below its full power, as 2.4kW."`
}

// Run caps a machine.
func (c *devicePowerCmd) Run(ctx context.Context, e *env) error {
	if c.Power <= 0 {
		return usagef("power is %v: above 0 is accepted; device sleep WORKER lets it sleep", c.Power)
	}
	return c.tell(ctx, e, c.Worker, "setting the power of %s", func(
		call context.Context, cl *client,
	) (*hashleasev1.Device, error) {
		ask := &hashleasev1.SetDevicePowerRequest{Worker: c.Worker, Watts: int64(c.Power)}
		return cl.operator.SetDevicePower(call, ask)
	})
}

type deviceSleepCmd struct {
	clientFlags
	Workers []string `arg:"" help:"Their ids, account.worker."`
}

// Run puts machines to sleep, one after the other.
func (c *deviceSleepCmd) Run(ctx context.Context, e *env) error {
	return c.tellEach(ctx, e, c.Workers, "putting %s to sleep", func(
		call context.Context, cl *client, worker string,
	) (*hashleasev1.Device, error) {
		return cl.operator.SleepDevice(call, &hashleasev1.SleepDeviceRequest{Worker: worker})
	})
}

type deviceWakeCmd struct {
	clientFlags
	Workers []string `arg:"" help:"Their ids, account.worker."`
}

// Run wakes machines, one after the other.
func (c *deviceWakeCmd) Run(ctx context.Context, e *env) error {
	return c.tellEach(ctx, e, c.Workers, "waking %s", func(
		call context.Context, cl *client, worker string,
	) (*hashleasev1.Device, error) {
		return cl.operator.WakeDevice(call, &hashleasev1.WakeDeviceRequest{Worker: worker})
	})
}

// tellEach makes one call about each machine and shows them: one in full, several in one table. A machine
// that is refused does not keep the others from being told; the first refusal is the command's error.
func (f *clientFlags) tellEach(
	ctx context.Context, e *env, workers []string, doing string,
	do func(context.Context, *client, string) (*hashleasev1.Device, error),
) error {
	if len(workers) == 1 {
		return f.tell(ctx, e, workers[0], doing, func(
			call context.Context, cl *client,
		) (*hashleasev1.Device, error) {
			return do(call, cl, workers[0])
		})
	}
	cl, err := f.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	var first error
	var told []*hashleasev1.Device
	for _, worker := range workers {
		call, cancel := cl.call(ctx)
		d, err := do(call, cl, worker)
		cancel()
		switch {
		case err == nil:
			told = append(told, d)
			continue
		case first == nil:
			first = fmt.Errorf(doing+": %w", worker, err)
		default:
			report(e, fmt.Errorf(doing+": %w", worker, err))
		}
		if code := status.Code(err); code == codes.Unavailable || ctx.Err() != nil {
			break // nobody else will be told either
		}
	}
	return errors.Join(f.showTold(e, told, len(workers)), first)
}

// showTold prints machines that were told: as JSON, one a line.
func (f *clientFlags) showTold(e *env, told []*hashleasev1.Device, asked int) error {
	if f.JSON {
		for _, d := range told {
			if err := e.jsonLine(d); err != nil {
				return err
			}
		}
		return nil
	}
	if len(told) > 0 {
		if err := printDevices(e, told); err != nil {
			return err
		}
	}
	e.notef("%d of %s told; hashlease device list shows when they have done it.\n", len(told),
		plural(asked, "machine", "machines"))
	return nil
}
