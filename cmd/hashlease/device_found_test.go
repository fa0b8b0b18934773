package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

func scriptedFound() []*hashleasev1.FoundDevice {
	at := &timestamppb.Timestamp{Seconds: 1893553445}
	return []*hashleasev1.FoundDevice{
		{
			Key: "mac 02:8f:77:ec:e7:e0", Address: "10.0.0.7:80", Kind: "braiins",
			FirstTime: at, LastTime: at,
			Identity: &hashleasev1.DeviceIdentity{
				Model: "Antminer S21", Firmware: "Braiins OS 26.04", Mac: "02:8f:77:ec:e7:e0",
			},
			Pool: "other.example:3333", Worker: "acct.rig7", MatchedBy: "worker name", Elsewhere: true,
		},
		{
			Key: "address 10.0.0.8:80", Address: "10.0.0.8:80", Kind: "antminer", FirstTime: at, LastTime: at,
			Problem: "login refused", Candidates: []string{"acct.rig8", "acct.rig9"},
		},
	}
}

func (s *scripted) ScanDevices(
	r *hashleasev1.ScanDevicesRequest, stream grpc.ServerStreamingServer[hashleasev1.ScanDevicesResponse],
) error {
	s.reason = r.GetSubnet() + "|" + r.GetFrom() + "|" + strings.Join(r.GetPorts(), ",")
	for i, d := range scriptedFound() {
		m := &hashleasev1.ScanDevicesResponse{Done: int32(i), Total: 256, Next: "10.0.0.9", Found: d}
		if err := stream.Send(m); err != nil {
			return err
		}
	}
	if r.GetFrom() != "" {
		return status.Error(codes.Unavailable, "the disk is full")
	}
	return stream.Send(&hashleasev1.ScanDevicesResponse{Done: 256, Total: 256})
}

func (s *scripted) ListFoundDevices(
	context.Context, *hashleasev1.ListFoundDevicesRequest,
) (*hashleasev1.ListFoundDevicesResponse, error) {
	if s.sound {
		one := scriptedFound()[0]
		one.Enrolled = true
		list := []*hashleasev1.FoundDevice{one}
		return &hashleasev1.ListFoundDevicesResponse{Devices: list, TotalSize: 1}, nil
	}
	return &hashleasev1.ListFoundDevicesResponse{Devices: scriptedFound(), TotalSize: 2}, nil
}

func (s *scripted) ImportDevices(
	_ context.Context, r *hashleasev1.ImportDevicesRequest,
) (*hashleasev1.ImportDevicesResponse, error) {
	s.reason = r.GetDevices()[0].GetAddress() + " " + r.GetDevices()[0].GetIdentity().GetModel()
	return &hashleasev1.ImportDevicesResponse{Imported: int32(len(r.GetDevices()))}, nil
}

// Ensure that a scan shows who is found, and where to go on when it is broken off.
func TestDevice_ScansAndGoesOn(t *testing.T) {
	d := newDesk(t)
	for _, want := range []string{
		"10.0.0.7:80", "acct.rig7 by worker name, mines at other.example:3333",
		"says not who it is: login refused: not clear: acct.rig8, acct.rig9",
	} {
		d.want(exitOK, want, "256 addresses visited, 2 machines",
			"device", "scan", "10.0.0.0/24", "--port", "8000-8010")
	}
	if d.srv.reason != "10.0.0.0/24||8000-8010" {
		t.Errorf("asked for %q", d.srv.reason)
	}
	d.want(exitNoReach, "10.0.0.8:80", "1 of 256 addresses visited, 2 machines found. "+
		"Go on with: hashlease device scan 10.0.0.0/24 --from 10.0.0.9\n",
		"device", "scan", "10.0.0.0/24", "--from", "10.0.0.4")
	d.want(exitNoReach, "10.0.0.8:80", "10.0.0.0/24 --from 10.0.0.9 --port 81 --port 8000-8010 --rate 7\n",
		"device", "scan", "10.0.0.0/24", "--from", "10.0.0.4", "--port", "81", "--port", "8000-8010",
		"--rate", "7")
	d.want(exitUsage, "", "rate is 0: 1 to 1000 is accepted", "device", "scan", "10.0.0.0/24", "--rate", "0")
}

// Ensure that found machines become configuration that waits for what people must fill in, and that what was
// exported can be imported.
func TestDevice_ExportsAndImports(t *testing.T) {
	d := newDesk(t)
	for _, want := range []string{
		`id = "acct.rig7" # by worker name`, `feeder = "n1"`, `device = "braiins"`, `address = "10.0.0.7:80"`,
		"# id = not clear: acct.rig8, acct.rig9", "\n# model = \"...\"\ndevice = \"antminer\"",
	} {
		d.want(exitOK, want, "2 workers: add them", "device", "export", "--feeder", "n1")
	}
	d.want(exitOK, `"matched_by":"worker name"`, "", "device", "export", "--json")
	file := filepath.Join(t.TempDir(), "found.json")
	if err := os.WriteFile(file, []byte(d.out), 0o600); err != nil {
		t.Fatal(err)
	}
	d.want(exitOK, "Remembered: 2 machines", "", "device", "import", file)
	if d.srv.reason != "10.0.0.7:80 Antminer S21" {
		t.Errorf("imported %q", d.srv.reason)
	}
	d.want(exitOK, "10.0.0.8:80", "", "device", "found", "--unclear")
	for list, want := range map[string]string{
		"10.0.0.7,braiins,x": "", "fd00::7,luxos,x": "",
		"10.0.0.7:0,braiins,x": `address "10.0.0.7:0": HOST or`,
		"rig7,braiins,x":       `entry 1: address "rig7": IP or IP:PORT`,
		"10.0.0.7,toaster,x":   `"toaster": one of antm`,
	} {
		if err := os.WriteFile(file, []byte("address,kind,model\n"+list+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if want != "" {
			d.want(exitFailed, "", want, "device", "import", file)
			continue
		}
		d.want(exitOK, "Remembered: 1 machine.", "", "device", "import", file)
		if at := d.srv.reason; at != "10.0.0.7:80 x" && at != "[fd00::7]:4028 x" {
			t.Errorf("imported %q", at)
		}
	}
}

// Ensure that files that hold no machines are refused with what is accepted.
func TestImport_RefusesWhatIsNoList(t *testing.T) {
	for _, text := range []string{
		"", "[]", "[{]", `[{"where": "x"}]`, "name,kind\na,b\n", "address,kind\n", "address,kind\n\"x\n",
	} {
		var err error
		if strings.HasPrefix(text, "[") {
			_, err = importJSON([]byte(text))
		} else {
			_, err = importCSV([]byte(text))
		}
		if err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("%q is accepted", text)
		}
	}
	list, err := importCSV([]byte("Kind, Address ,model\naxeos,10.0.0.9:80,Bitaxe Gamma\n"))
	if err != nil || len(list) != 1 || list[0].GetAddress() != "10.0.0.9:80" || list[0].GetKind() != "axeos" {
		t.Errorf("a list of one is %v, %v", list, err)
	}
}

// Ensure that no file makes an import panic.
func FuzzImport(f *testing.F) {
	f.Add([]byte(`[{"address":"10.0.0.7:80","kind":"axeos"}]`))
	f.Add([]byte("address,kind\n10.0.0.7:80,axeos\n"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = importJSON(b)
		_, _ = importCSV(b)
	})
}
