package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashlease/hashlease/cmd/hashlease/config"
	"github.com/hashlease/hashlease/cmd/hashsim/sim"
	"github.com/hashlease/hashlease/pool"
)

// demoCredentials is the file with what the demo's machines want to know before they obey.
const demoCredentials = "devices.toml"

// addDevices names the machines' own interfaces in the server's configuration, as an operator does.
func (d *demo) addDevices(cfg *config.Config) error {
	apis := map[pool.WorkerID]sim.API{}
	logins := map[string]string{}
	for _, a := range d.sim.APIs() {
		apis[a.Worker] = a
		if a.Login.Password != "" {
			logins[a.Kind] = fmt.Sprintf("[%s]\nuser = %q\npassword = %q\n",
				a.Kind, a.Login.User, a.Login.Password)
		}
	}
	if len(apis) == 0 {
		return nil
	}
	for i := range cfg.Workers {
		w := &cfg.Workers[i]
		a, ok := apis[pool.WorkerID(w.ID)]
		if !ok {
			continue
		}
		w.Device, w.Address = a.Kind, a.Address
		w.ShedIn, w.ReturnIn = config.Duration(a.ShedIn), config.Duration(a.ReturnIn)
	}
	cfg.Device.Subnets, cfg.Device.PerSubnet = []string{"127.0.0.0/8"}, 64
	cfg.Device.Credentials = demoCredentials
	var text strings.Builder
	for _, kind := range slices.Sorted(maps.Keys(logins)) {
		text.WriteString(logins[kind])
	}
	return os.WriteFile(filepath.Join(d.dir, demoCredentials), []byte(text.String()), 0o600)
}

// demoAway lets every so many-th machine of the demo mine at another pool: a full worker all the same.
const demoAway = 10

func demoElsewhere(vendor bool) int {
	if !vendor {
		return 0
	}
	return demoAway
}
