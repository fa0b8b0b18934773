package config

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/device"
)

// Interface is where a machine's own interface answers, and what it wants to know.
type Interface struct {
	Worker  pool.WorkerID
	Kind    string // of driver, as device.Kinds lists them
	Address string // host and port
	Login   device.Login
	// ShedIn and ReturnIn are how long the machine takes, as its owner has measured.
	ShedIn, ReturnIn time.Duration
}

// credentialsFile is what AddInterfaces calls the file with logins.
const credentialsFile = "devices.toml"

// AddInterfaces names interfaces of machines on this computer in a configuration and writes their logins
// beside it, into dir: one for each kind. Workers without one stay as they are.
func (c *Config) AddInterfaces(dir string, list []Interface) error {
	if len(list) == 0 {
		return nil
	}
	of := make(map[pool.WorkerID]*Interface, len(list))
	logins := map[string]string{}
	for i := range list {
		a := &list[i]
		of[a.Worker] = a
		if a.Login.Password != "" {
			logins[a.Kind] = fmt.Sprintf("[%s]\nuser = %q\npassword = %q\n",
				a.Kind, a.Login.User, a.Login.Password)
		}
	}
	for i := range c.Workers {
		w := &c.Workers[i]
		if a := of[pool.WorkerID(w.ID)]; a != nil {
			w.Device, w.Address = a.Kind, a.Address
			w.ShedIn, w.ReturnIn = Duration(a.ShedIn), Duration(a.ReturnIn)
		}
	}
	c.Device.Subnets, c.Device.PerSubnet = []string{"127.0.0.0/8"}, 64
	c.Device.Credentials = credentialsFile
	var text strings.Builder
	for _, kind := range slices.Sorted(maps.Keys(logins)) {
		text.WriteString(logins[kind])
	}
	return os.WriteFile(filepath.Join(dir, credentialsFile), []byte(text.String()), 0o600)
}
