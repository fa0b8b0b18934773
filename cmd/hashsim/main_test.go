package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hashlease/hashlease/cmd/hashlease/config"
	"github.com/hashlease/hashlease/cmd/hashsim/sim"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/stratum/noise"
)

// A pool that is not there: port 1 of this machine refuses every connection.
const nobody = "127.0.0.1:1"

func execute(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(ctx, args, &out, &errs)
	return code, out.String(), errs.String()
}

// Ensure that an interrupt ends the program cleanly, with the truth about every feeder, and that
// a pool which is away stops nothing: machines draw power all the same.
func TestRun_EndsCleanlyOnInterrupt(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	code, out, errs := execute(
		ctx, "--pool", nobody, "--miners", "8", "--meters", "127.0.0.1:0", "--every", "100ms",
	)
	if code != 0 || errs != "" {
		t.Fatalf("code %d, %s", code, errs)
	}
	for _, says := range []string{
		"8 ASICs on 4 feeders", "scale 1 : 4e+10", "200 TH/s really grinds 5 kH/s",
		"0/8", "over limit", "\nf4 ",
	} {
		if !strings.Contains(out, says) {
			t.Errorf("%q is not in\n%s", says, out)
		}
	}
}

// Ensure that help is no failure, and that it lists the commands.
func TestRun_Helps(t *testing.T) {
	code, out, errs := execute(t.Context(), "--help")
	if code != 0 || errs != "" || !strings.Contains(out, "site [flags]") {
		t.Fatalf("code %d, %s%s", code, out, errs)
	}
}

// Ensure that --json prints exactly one object with scale, fleet, truth and leases.
func TestRun_PrintsOneJSONObject(t *testing.T) {
	code, out, errs := execute(
		t.Context(), "--pool", nobody, "--miners", "4", "--meters", "127.0.0.1:0", "--for", "300ms", "--json",
	)
	var got result
	d := json.NewDecoder(strings.NewReader(out))
	d.DisallowUnknownFields()
	if err := d.Decode(&got); err != nil || d.More() || code != 0 {
		t.Fatalf("code %d, %v\n%s%s", code, err, out, errs)
	}
	if got.Scale != sim.DefaultScale || got.Fleet.Miners != 4 || len(got.Truth.Feeders) != 4 ||
		got.Truth.Seconds < 0.2 {
		t.Fatalf("result is %+v", got)
	}
}

// Ensure that a wrong command line is refused with the flag's name and what is accepted.
func TestRun_RefusesBadFlags(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{nil, "--pool is missing"},
		{[]string{"--pool", "nohost"}, `--pool "nohost": HOST:PORT or`},
		{[]string{"--pool", nobody, "--miners", "0"}, "--miners is 0"},
		{[]string{"--pool", nobody, "--authority", "x"}, "--authority:"},
		{[]string{"--pool", nobody, "--tenant-grpc", "127.0.0.1:2"}, "--tenant-name is missing"},
		{[]string{"--pool", nobody, "--surprise"}, "unknown flag --surprise"},
		{[]string{"site", "--pool", "nohost"}, `--pool "nohost": HOST:PORT or`},
		{[]string{"sight"}, "sight"},
	} {
		if code, _, errs := execute(t.Context(), c.args...); code != 2 || !strings.Contains(errs, c.says) {
			t.Errorf("%v: code %d, %s", c.args, code, errs)
		}
	}
	code, _, errs := execute(t.Context(), "--pool", nobody, "--scale", "0.5")
	if code != 1 || !strings.Contains(errs, "scale is 0.5") {
		t.Errorf("code %d, %s", code, errs)
	}
}

// Ensure that a server's file written from a plan gives that plan back, with pool, meters, scale
// and the authority's public key.
func TestConfig_ComesFromTheServersFile(t *testing.T) {
	dir := t.TempDir()
	authority, err := noise.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(dir, "authority.key")
	if err := os.WriteFile(key, []byte(authority.Secret()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	hash := strings.Repeat("ab", 32)
	server := config.Default()
	server.Network, server.Payout = "mainnet", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
	server.Nodes = []config.Node{{Kind: config.Btcd, URL: "http://127.0.0.1:8334", User: "u", Password: "p"}}
	server.Admin.KeyHash = hash
	server.Tenants = []config.Tenant{{ID: "acme", KeyHash: hash}}
	plan := sim.DemoSite(6, "acme")
	meters := map[fleet.FeederID][]config.Meter{}
	for _, m := range plan.Meters() {
		meters[m.Feeder] = append(meters[m.Feeder], config.Meter{
			Role: m.Role, Tenant: m.Tenant, URL: "http://127.0.0.1:9200" + m.Path,
		})
	}
	server.Sites, server.Workers = config.FromFleet(plan.Sites, plan.Workers, meters)
	server.Simulation.HashScale = 1 / 4e10
	text, err := config.Encode(&server)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "hashlease.toml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	c := siteCmd{Config: file}
	got, err := c.config(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	zones := cmp.Comparer(func(a, b *time.Location) bool { return a.String() == b.String() }) // none is UTC
	if diff := cmp.Diff(plan, got.Plan, zones); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	if got.Pool.Address != "127.0.0.1:3333" || *got.Pool.Authority != authority.Public() ||
		got.Meters != "127.0.0.1:9200" || got.Scale < 3.99e10 || got.Scale > 4.01e10 {
		t.Errorf("configuration is %+v", got)
	}
	other := bytes.ReplaceAll(text, []byte("/v1/meters/f1/total"), []byte("/power"))
	if err := os.WriteFile(file, other, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = c.config(slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), `/power" of feeder "f1"`) {
		t.Errorf("a meter that is not the simulation's: %v", err)
	}
}
