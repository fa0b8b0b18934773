package chaos_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/hashlease/hashlease/cmd/hashsim/chaos"
	"github.com/hashlease/hashlease/cmd/hashsim/load"
)

// These make this test program the server, or the others, instead.
const (
	targetDir   = "HASHSIM_CHAOS_TARGET_DIR"
	hordeConfig = "HASHSIM_CHAOS_HORDE"
)

// TestMain runs the tests, or the server that they start.
func TestMain(m *testing.M) {
	if text := os.Getenv(hordeConfig); text != "" {
		var cfg chaos.HordeConfig
		if json.Unmarshal([]byte(text), &cfg) != nil ||
			chaos.Horde(context.Background(), cfg, os.Stdin, os.Stdout) != nil {
			os.Exit(1)
		}
		return
	}
	if dir := os.Getenv(targetDir); dir != "" {
		cfg := load.TargetConfig{Dir: dir, AckEvery: 1, Log: slog.New(slog.DiscardHandler)}
		if load.Target(context.Background(), cfg, os.Stdin, os.Stdout) != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// Ensure that a server keeps its honest miners, and answers all of their shares, beside peers of every
// kind, and that each kind did what it is for.
func TestRun_KeepsHonestMiners(t *testing.T) {
	cfg := chaos.DefaultConfig()
	cfg.Honest, cfg.Hostile, cfg.Rate, cfg.For, cfg.Dir = 20, 60, 100, 2*time.Second, t.TempDir()
	cfg.Progress = io.Discard
	cfg.Spawn = func(ctx context.Context, dir string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, os.Args[0])
		cmd.Env = append(os.Environ(), targetDir+"="+dir)
		return cmd
	}
	cfg.SpawnHorde = func(ctx context.Context, horde chaos.HordeConfig) *exec.Cmd {
		text, _ := json.Marshal(horde) // numbers and a string
		cmd := exec.CommandContext(ctx, os.Args[0])
		cmd.Env = append(os.Environ(), hordeConfig+"="+string(text))
		return cmd
	}
	res, err := chaos.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Failures) != 0 {
		t.Errorf("failures: %v", res.Failures)
	}
	if len(res.Chaos.Kinds) < 15 {
		t.Errorf("%d kinds, want 15 or more", len(res.Chaos.Kinds))
	}
	for _, o := range res.Chaos.Kinds {
		if o.Peers != 2 || o.Visits == 0 || o.Refused != 0 {
			t.Errorf("%+v", o)
		}
	}
	for name, p := range map[string]chaos.Phase{"control": res.Control, "chaos": res.Chaos} {
		if p.Ack.Count == 0 || p.Refusal.Count == 0 || p.Tip.Count == 0 || p.Sent == 0 {
			t.Errorf("%s measured nothing: %+v", name, p)
		}
	}
	if text := chaos.Text(&res); !strings.Contains(text, "slow-reader") {
		t.Errorf("text is %q", text)
	}
}

// Ensure that every fault of a configuration is told at once, with what is accepted.
func TestConfig_ListsEveryFault(t *testing.T) {
	cfg := chaos.Config{Pool: "192.0.2.1:3333", Honest: -1, Nice: 20}
	_, err := chaos.Run(t.Context(), cfg)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		"honest is -1", "hostile is 0", "rate is 0", "for is 0s", "this machine", "nice is 20",
	} {
		if !bytes.Contains([]byte(err.Error()), []byte(want)) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
}
