package shed_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashlease/hashlease/cmd/hashsim/shed"
	"github.com/hashlease/hashlease/pool/node"
)

// program is the server's, built once.
func program(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("starts real servers and nodes")
	}
	path := filepath.Join(t.TempDir(), "hashlease")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path,
		"github.com/hashlease/hashlease/cmd/hashlease")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the server: %v\n%s", err, out)
	}
	return path
}

// small is a measurement whose goals of time hold on a machine that is busy with other things.
func small(t *testing.T, server string) shed.Config {
	t.Helper()
	btcd, err := node.BuildBtcd(t.Context(), func(line string) { t.Log(line) })
	if err != nil {
		t.Fatal(err)
	}
	return shed.Config{
		Devices: 60, Shed: 0.2, Fleet: shed.InBand, Hold: 15 * time.Second, Return: 2 * time.Minute,
		// Few machines on four feeders, each exact to a machine: what is freed twice is beyond it.
		Goals:  shed.Goals{Half: 15, Most: 15, Commands: 15, Error: 4, Overshoot: 20},
		Server: server, Btcd: btcd, Dir: t.TempDir(), Progress: os.Stderr,
	}
}

// Ensure that a real server frees what it is told to by the physics of the machines, with machines that
// are deaf, mute or lie, and through a kill -9; and that the same check fails without a governor.
func TestRun_FreesWhatIsOrderedAndFailsUngoverned(t *testing.T) {
	t.Parallel()
	server := program(t)
	for name, change := range map[string]func(*shed.Config){
		"faulty": func(c *shed.Config) { c.Faulty = 0.1; c.KillServer = true; c.Hold = 30 * time.Second },
		"own interfaces": func(c *shed.Config) {
			c.Fleet, c.Hold, c.Return = shed.Fast, 40*time.Second, 5*time.Minute
			c.Goals = shed.Goals{Most: 40, Error: 4, Overshoot: 20}
		},
		"ungoverned": func(c *shed.Config) { c.NoGovernor = true; c.Return = time.Second },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := small(t, server)
			change(&cfg)
			res, err := shed.Run(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			missed := strings.Join(res.Missed, "\n")
			if cfg.NoGovernor {
				for _, want := range []string{"half of the", "95 % of the", "commands", "steady error"} {
					if !strings.Contains(missed, want) {
						t.Errorf("without a governor %q was not missed:\n%s", want, missed)
					}
				}
				return
			}
			if len(res.Missed) > 0 {
				said, _ := os.ReadFile(filepath.Join(cfg.Dir, "server.log"))
				t.Errorf("missed:\n%s\n%s\nthe server said:\n%s", missed, shed.Text(res), said)
			}
		})
	}
}

// Ensure that a site whose machines all lose their power while a tenant is on, and all boot into mining,
// stays within what its feeders bear; and that the same check fails once the server is gone.
func TestRun_ASiteBootsBesideATenant(t *testing.T) {
	t.Parallel()
	server := program(t)
	for name, gone := range map[string]bool{"governed": false, "server gone": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := small(t, server)
			cfg.Blip, cfg.NoGovernor, cfg.Hold = true, gone, 75*time.Second
			res, err := shed.Run(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if gone != (res.Blip.Outside > 0) {
				said, _ := os.ReadFile(filepath.Join(cfg.Dir, "server.log"))
				t.Errorf("missed: %v\n%s\nthe server said:\n%s", res.Missed, shed.Text(res), said)
			}
		})
	}
}

// Ensure that every fault of a configuration is named at once with what is accepted.
func TestConfig_NamesEveryFault(t *testing.T) {
	c := shed.Config{Devices: 1, Shed: 2, Fleet: "x", Faulty: -1}
	err := c.Validate()
	for _, want := range []string{"devices", "shed", "fleet", "faulty", "hold", "return"} {
		if err == nil || !strings.Contains(err.Error(), want+" ") {
			t.Errorf("%s is not named: %v", want, err)
		}
	}
}
