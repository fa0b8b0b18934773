package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

// scriptedDevice mines elsewhere and was set by hand.
func scriptedDevice(worker string) *hashleasev1.Device {
	return &hashleasev1.Device{
		Worker: worker, Feeder: "sites/north/feeders/n1", Kind: "braiins", Address: "10.0.0.7:80",
		Model: "Antminer S21", State: "capped", Reachable: true, Ordered: true, Elsewhere: true,
		Mode: "capped", ModeWatts: 2400, FullWatts: 3500, ReportedWatts: 2410, Evidence: "meter confirmed",
		Identity: &hashleasev1.DeviceIdentity{
			Model: "Antminer S21", Firmware: "Braiins OS 26.04", Serial: "SN\x1b1", Mac: "02:8f:77:ec:e7:e0",
			PoolWorkers: []string{"them.rig7"},
		},
		Sighting: &hashleasev1.DeviceSighting{
			Time: &timestamppb.Timestamp{Seconds: 1893553445}, Activity: "mining", Watts: 2410,
			Wattage: "estimated", TargetWatts: 2400, Hashrate: 150e12, UptimeSeconds: 7200, ChipCelsius: 71,
			Pool: "other.example:3333", Backups: []string{"backup.example:3334"},
		},
		Capability: &hashleasev1.DeviceCapability{
			Sleeps: true, TakesWatts: true, MinWatts: 900, MaxWatts: 3500, StepWatts: 160, ShedSeconds: 6,
			ReturnSeconds: 300, HoldsAlone: true,
		},
		Ceiling: &hashleasev1.DeviceCeiling{
			Mode: "capped", Watts: 2400, Time: &timestamppb.Timestamp{Seconds: 1893553445},
		},
	}
}

func (s *scripted) ListDevices(
	_ context.Context, r *hashleasev1.ListDevicesRequest,
) (*hashleasev1.ListDevicesResponse, error) {
	s.reason = r.GetFeeder() + "|" + r.GetPageToken()
	if s.sound {
		return &hashleasev1.ListDevicesResponse{TotalSize: 0}, nil
	}
	lost := scriptedDevice("a.2")
	lost.Reachable, lost.Failures, lost.Fault, lost.Ceiling = false, 4, "dial: refused", nil
	lost.State, lost.OrderFault = "out of reach, counted in full", "the machine refused the credentials"
	if r.GetPageToken() == "" {
		return &hashleasev1.ListDevicesResponse{
			Devices: []*hashleasev1.Device{scriptedDevice("a.1")}, NextPageToken: "1", TotalSize: 2,
		}, nil
	}
	return &hashleasev1.ListDevicesResponse{Devices: []*hashleasev1.Device{lost}, TotalSize: 2}, nil
}

func (s *scripted) GetDevice(
	_ context.Context, r *hashleasev1.GetDeviceRequest,
) (*hashleasev1.Device, error) {
	d := scriptedDevice(r.GetWorker())
	if r.GetWorker() == "a.2" {
		d.OrderFault = "the machine refused the credentials"
	}
	return d, nil
}

func (s *scripted) SetDevicePower(
	_ context.Context, r *hashleasev1.SetDevicePowerRequest,
) (*hashleasev1.Device, error) {
	s.reason = fmt.Sprintf("%s %d", r.GetWorker(), r.GetWatts())
	return scriptedDevice(r.GetWorker()), nil
}

func (s *scripted) SleepDevice(
	_ context.Context, r *hashleasev1.SleepDeviceRequest,
) (*hashleasev1.Device, error) {
	s.reason += " sleep " + r.GetWorker()
	return scriptedDevice(r.GetWorker()), nil
}

func (s *scripted) WakeDevice(
	_ context.Context, r *hashleasev1.WakeDeviceRequest,
) (*hashleasev1.Device, error) {
	if r.GetWorker() == "not.there" {
		return nil, status.Error(codes.NotFound, "there is no such worker")
	}
	s.reason += " wake " + r.GetWorker()
	return scriptedDevice(r.GetWorker()), nil
}

// Ensure that machines are listed over all pages with what they say, and that those that are wrong can be
// asked for alone.
func TestDeviceList_ShowsWhatMachinesSay(t *testing.T) {
	d := newDesk(t)
	d.want(exitOK, "a.1     braiins  10.0.0.7:80  Antminer S21  capped, by hand  ", "",
		"device", "list", "north/n1")
	if d.srv.reason != "sites/north/feeders/n1|1" {
		t.Errorf("asked for %q", d.srv.reason)
	}
	d.want(exitOK, "mining  ~2.41 kW  150 TH/s  71 °C  other.example:3333  1        2030-01-02 03:04:05 UTC",
		"", "device", "list")
	d.want(exitOK, "\na.2     braiins  10.0.0.7:80  Antminer S21  out of reach, counted in full, "+
		"order not taken, 4 times no answer", "", "device", "list", "--wrong")
	d.want(exitOK, `"wattage":"estimated"`, "", "device", "list", "--json")
}

// Ensure that one machine is shown with who it is, what it does and its pools, harmless to a terminal.
func TestDeviceShow_ShowsWhoItIs(t *testing.T) {
	d := newDesk(t)
	d.want(exitOK, "interface     braiins 10.0.0.7:80\nmodel         Antminer S21\n", "",
		"device", "show", "a.1")
	d.want(exitOK, "serial        SN?1\n", "", "device", "show", "a.1")
	d.want(exitOK, "ordered       capped, 2.4 kW of 3.5 kW\n", "", "device", "show", "a.1")
	d.want(exitOK, "by hand       capped, 2.4 kW at most, since 2030-01-02 03:04:05 UTC\n"+
		"mines         elsewhere: it has no session here\nsays          mining\ndraws         ~2.41 kW\n"+
		"set to        2.4 kW\nhashrate      150 TH/s\nup            2h0m0s\nchip, inlet   71 °C, -\n"+
		"pool          other.example:3333\nbackup pools  backup.example:3334\n", "", "device", "show", "a.1")
	d.want(exitOK, "can           sleep, take 900 W to 3.5 kW in steps of up to 160 W; "+
		"sheds in 6s, returns in 5m0s; forgets at a reboot\n", "", "device", "show", "a.1")
	d.want(exitOK, "not taken     the machine refused the credentials\nevidence ", "",
		"device", "show", "a.2")
	d.want(exitOK, `"pool_workers":["them.rig7"]`, "", "device", "show", "a.1", "--json")
}

// Ensure that machines are told by name what was asked.
func TestDevice_IsToldByName(t *testing.T) {
	d := newDesk(t)
	d.want(exitOK, "by hand", "", "device", "set-power", "a.1", "2.4kW")
	if d.srv.reason != "a.1 2400" {
		t.Errorf("asked for %q", d.srv.reason)
	}
	d.srv.reason = ""
	for _, want := range []string{"WORKER  KIND ", "\na.1     braiins ", "\na.2     braiins "} {
		d.want(exitOK, want, "2 of 2 machines told; ", "device", "sleep", "a.1", "a.2")
		if n := strings.Count(d.out, "WORKER"); n != 1 {
			t.Errorf("%d tables of two machines:\n%s", n, d.out)
		}
	}
	d.srv.reason = ""
	d.want(exitOK, "}\n{", "", "device", "sleep", "a.1", "a.2", "--json")
	d.want(exitOK, "worker        a.3\n", "", "device", "wake", "a.3")
	if d.srv.reason != " sleep a.1 sleep a.2 wake a.3" {
		t.Errorf("asked for %q", d.srv.reason)
	}
	d.want(exitUsage, "", "above 0 is accepted", "device", "set-power", "a.1", "0W")
}

// Ensure that a machine that is refused does not keep the others from being told, and that each refusal is
// said.
func TestDevice_TellsTheOthers(t *testing.T) {
	d := newDesk(t)
	d.want(exitRefused, "\na.3     braiins ", "waking not.there: there is no such worker", "device", "wake",
		"a.1", "not.there", "a.3", "not.there")
	if d.srv.reason != " wake a.1 wake a.3" || strings.Count(d.err, "no such worker") != 2 {
		t.Errorf("asked for %q, said %q", d.srv.reason, d.err)
	}
	d.want(exitRefused, "", "2 of 4 machines told", "device", "wake", "a.1", "not.there", "a.3", "not.there")
}

// Ensure that a list without a machine says why.
func TestDevice_SaysWhyAListIsEmpty(t *testing.T) {
	d := newDesk(t)
	d.srv.sound = true
	d.want(exitOK, "", "None: all machines that are read answer", "device", "list", "--wrong")
	d.want(exitOK, "", "None of 1 machine: it is clear which worker each is", "device", "found", "--unclear")
	d.want(exitOK, "", "None of 1 machine: the configuration names them already", "device", "export")
}
