package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashlease/hashlease/cmd/hashlease/config"
)

const secret = "s3cret-of-the-farm"

// withLogins is a valid configuration with a credentials file.
func withLogins(t *testing.T, text string, mode os.FileMode) config.Config {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "devices.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	c := full()
	c.SetDir(dir)
	return c
}

// Ensure that machines are made from their workers, with the login that they name, or that of their kind.
func TestMachines_TakeTheirLogins(t *testing.T) {
	c := withLogins(t, "[farm]\nuser = \"op\"\npassword = \""+secret+"\"\n"+
		"[axeos]\npassword = \"kind\"", 0o600)
	c.Workers[0].Device, c.Workers[0].Address = "axeos", "10.0.3.8"
	ms, err := c.Machines()
	if err != nil {
		t.Fatal(err)
	}
	if len(ms) != 4 || ms[0].Config.Login.Password != "kind" || ms[1].Config.Login.User != "op" ||
		ms[1].Config.Login.Password != secret || !ms[0].Ordered || len(ms[1].Config.Curve) != 2 {
		t.Errorf("%+v", ms)
	}
	printed := fmt.Sprintf("%v %+v %#v", ms[1].Config, ms[1].Config.Login, ms[1].Config.Login)
	if strings.Contains(printed, secret) {
		t.Error("the password is printed")
	}
	if c := ms[1].Cutoff; c == nil || !c.Armed || c.Config.Address != "10.0.9.9" ||
		c.Config.Socket.Coil != 3 || c.After != time.Minute || ms[0].Cutoff != nil ||
		c.Config.Login.Password != "" {
		t.Errorf("cut off by %+v", c)
	}
	if !ms[2].Ordered || ms[3].Ordered || ms[2].Config.Socket.Coil != 17 || ms[3].Config.Socket.Is != `"on"` {
		t.Errorf("sockets: %+v, %+v", ms[2], ms[3])
	}
	c.Workers[0].Device = ""
	c.Workers[0].Address = ""
	if ms, err := c.Machines(); err != nil || ms[0] != nil {
		t.Errorf("without a device: %v, %v", ms[0], err)
	}
}

// Ensure that a credentials file which others may read, or that is malformed, is refused, and that no
// error repeats what it holds.
func TestLogins_RefusesWhatIsNotPrivateOrWhole(t *testing.T) {
	entry := "[farm]\nuser = \"op\"\npassword = \"" + secret + "\"\n"
	for name, test := range map[string]struct {
		text string
		mode os.FileMode
		want string
	}{
		"readable":  {entry, 0o640, "chmod 600"},
		"cut off":   {entry + "password = " + secret, 0o600, "devices.toml:4: not what is accepted"},
		"no table":  {"farm = \"" + secret + "\"", 0o600, "not what is accepted"},
		"other key": {entry + "token = \"" + secret + "\"", 0o600, "a key other than user and password"},
		"long":      {"[farm]\nuser = \"" + strings.Repeat(secret, 20) + "\"", 0o600, "at most 200 bytes"},
		"huge":      {strings.Repeat("# "+secret+"\n", 60_000), 0o600, "larger than"},
		"nameless":  {"[other]\nuser = \"" + secret + "\"", 0o600, `"farm" is no entry`},
	} {
		c := withLogins(t, test.text, test.mode)
		_, err := c.Machines()
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := full()
	c.SetDir(t.TempDir())
	if _, err := c.Machines(); err == nil || !strings.Contains(err.Error(), "device.credentials") {
		t.Errorf("no file: %v", err)
	}
}

// Ensure that every fault of how machines are reached is named.
func TestValidate_NamesFaultsOfDevices(t *testing.T) {
	c := full()
	c.Device.Subnets = []string{"10.0.0.0/16", "10.0.0.0"} // a fault: nobody's subnet is looked at
	c.Device.PerSubnet, c.Device.Timeout = 8, 1
	w := c.Workers[0]
	add := func(change func(*config.Worker)) {
		n := w
		n.ID = fmt.Sprintf("a.x%d", len(c.Workers))
		change(&n)
		c.Workers = append(c.Workers, n)
	}
	add(func(w *config.Worker) { w.Address = "10.0.0.9" })
	add(func(w *config.Worker) { w.Device, w.Address = "toaster", "10.0.0.9" })
	add(func(w *config.Worker) { w.Device = "axeos" })
	add(func(w *config.Worker) { w.Device, w.Address = "axeos", "10.0.3.7:8080" })
	add(func(w *config.Worker) { w.Device, w.Address, w.Cut = "axeos", "10.0.3.9", true })
	add(func(w *config.Worker) { w.Device, w.Address = "socket-modbus", "10.0.9.3" })
	add(func(w *config.Worker) {
		w.Device, w.Address, w.Cut, w.Socket = "socket-modbus", "10.0.9.1", true, &config.Socket{Unit: 1}
	})
	add(func(w *config.Worker) {
		w.Device, w.Address, w.Socket = "socket-http", "10.0.9.3", &config.Socket{}
	})
	behind := func(s config.Socket) {
		add(func(w *config.Worker) {
			w.Device, w.Address, w.Socket = "axeos", fmt.Sprintf("10.0.4.%d", len(c.Workers)), &s
		})
	}
	behind(config.Socket{Device: "axeos", Address: "10.0.9.3"})
	behind(config.Socket{Device: "socket-modbus", Address: "192.0.2.1", After: 1})
	behind(config.Socket{Device: "socket-modbus"})
	add(func(w *config.Worker) {
		w.Device, w.Address, w.Socket = "socket-modbus", "10.0.9.3", &config.Socket{Address: "x", Unit: 1}
	})
	wantLines(t, c.Validate(), []string{
		`device.subnets: entry 2, "10.0.0.0": 10.0.0.0/16, for example,`,
		`device.timeout is 1ns: 100ms to 1m`,
		`worker "a.x4": address, login, cut, socket, shed_in and return_in are accepted only with `,
		`worker "a.x5": device: "toaster": one of `,
		`worker "a.x6": address "": HOST or HOST:PORT`,
		`worker "a.x7": address: 10.0.3.7:8080 is worker "a.w2" already`,
		`worker "a.x8": cut needs a socket`,
		`worker "a.x8": cut needs wear_msat above 0`,
		`worker "a.x9": socket is missing`,
		`worker "a.x10": cut needs wear_msat above 0`,
		`worker "a.x11": `,
		`worker "a.x12": socket: device: "axeos": socket-modbus or socket-http is accepted`,
		`worker "a.x13": socket: after: 1ns: 5s to 1h is accepted`,
		`worker "a.x14": socket: address "": HOST`,
		`worker "a.x15": socket: device, address and after are accepted only behind`,
	})
	c = full()
	c.Workers[1].Address, c.Device.PerSubnet = "192.0.2.1:80", 0
	wantLines(t, c.Validate(), []string{`device.per_subnet: connections to one subnet: 0: 1 to 256`})
	c.Device.PerSubnet, c.Workers[1].Socket.Address = 1, "192.0.2.2"
	wantLines(t, c.Validate(), []string{
		`worker "a.w2": address: 192.0.2.1 is in none of device.subnets`,
		`worker "a.w2": socket: address: 192.0.2.2 is in none of device.subnets`,
	})
}

// Ensure that no two workers are one machine or one outlet, however their addresses are spelled, and that
// outlets of one address are told apart.
func TestValidate_OneWriterADevice(t *testing.T) {
	c := full()
	w := c.Workers[0]
	w.Cut, w.Socket, w.Login = false, nil, ""
	add := func(kind, address string, s *config.Socket) {
		n := w
		n.ID, n.Device, n.Address, n.Socket = fmt.Sprintf("a.x%d", len(c.Workers)), kind, address, s
		c.Workers = append(c.Workers, n)
	}
	add("braiins", "Rig-7.example", nil)      // a.x4
	add("antminer", "rig-7.example:80", nil)  // the same
	add("braiins", "rig-7.example:8080", nil) // another behind the same router
	add("axeos", "::ffff:10.0.4.1", nil)
	add("axeos", "10.0.4.1:080", nil) // the same as a.x7
	behind := func(address string, unit uint8, coil uint16) {
		add("luxos", fmt.Sprintf("10.0.4.%d", len(c.Workers)+10), &config.Socket{
			Device: "socket-modbus", Address: address, Unit: unit, Coil: coil,
		})
	}
	behind("10.0.8.8", 1, 4)     // a.x9
	behind("10.0.8.8:502", 1, 5) // another outlet
	behind("10.0.8.8:502", 1, 4) // the same as a.x9
	add("socket-modbus", "10.0.8.8", &config.Socket{Unit: 1, Coil: 5})
	wantLines(t, c.Validate(), []string{
		`worker "a.x5": address: rig-7.example:80 is worker "a.x4" already: two would write to one machine`,
		`worker "a.x8": address: 10.0.4.1:080 is worker "a.x7" already: two would write to one machine`,
		`worker "a.x11": socket: 10.0.8.8:502 unit 1 coil 4 is worker "a.x9" already:`,
		`worker "a.x12": address: 10.0.8.8 unit 1 coil 5 is worker "a.x10" already:`,
	})
}
