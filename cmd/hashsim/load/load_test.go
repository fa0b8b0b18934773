package load_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashlease/hashlease/cmd/hashsim/load"
)

// asTarget is set in the environment of the test's own program when it is started as the server.
const asTarget = "HASHSIM_LOAD_TARGET"

// TestMain runs the tests, or is the server.
func TestMain(m *testing.M) {
	dir, stock, ok := strings.Cut(os.Getenv(asTarget), " ")
	if !ok {
		os.Exit(m.Run())
	}
	keys, _ := strconv.Atoi(stock)
	err := load.Target(context.Background(), load.TargetConfig{
		Dir: dir, Stock: keys, AckEvery: 4, Log: slog.New(slog.DiscardHandler),
	}, os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// small is every measurement at the size of a test.
func small(t *testing.T) load.Config {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cfg := load.DefaultConfig()
	cfg.Connections, cfg.Rate, cfg.For, cfg.Idle, cfg.Tips = []int{20}, 400, time.Second, 0, 1
	cfg.Stock, cfg.Ladder, cfg.Dir, cfg.Profile = 20, []float64{200}, t.TempDir(), true
	cfg.Command, cfg.Proxies = "test", []load.Proxies{{Connections: 2, Channels: 5}}
	cfg.Spawn = func(ctx context.Context, c load.TargetConfig) *exec.Cmd {
		cmd := exec.CommandContext(ctx, program)
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d", asTarget, c.Dir, c.Stock))
		cmd.Stderr = os.Stderr
		return cmd
	}
	return cfg
}

// Ensure that every measurement comes to its end with a server of its own, that the server judges what it
// is sent, and that the table has a figure for everything.
func TestRun_MeasuresEverything(t *testing.T) {
	res, err := load.Run(t.Context(), small(t))
	if err != nil {
		t.Fatal(err)
	}
	row := res.Rows[0]
	s := row.Shares
	if s.Wrong != 0 || s.Bad == 0 || s.Refused != s.Bad || s.Ack.Count == 0 || s.Durable == 0 {
		t.Errorf("shares: %+v", s)
	}
	if tip := row.Tip; tip.First <= 0 || tip.Last < tip.First || tip.Messages < 2 {
		t.Errorf("tip: %+v", tip)
	}
	if b := row.Block; b.Last < b.First || b.First <= 0 || b.Share <= 0 {
		t.Errorf("block: %+v", b)
	}
	if st := row.Storm; st.Handshakes != 20 || st.Stock != 20 || st.Answer.Count != 20 {
		t.Errorf("storm: %+v", st)
	}
	if len(res.Extended) != 2 {
		t.Fatalf("extended: %+v", res.Extended)
	}
	for _, s := range res.Extended {
		if s.Wrong != 0 || s.Bad == 0 || s.Refused != s.Bad || s.Ack.Count == 0 || s.Levels != 12 {
			t.Errorf("extended shares: %+v", s)
		}
	}
	if len(res.Knees) != 2 || len(res.Knees[0].Steps) != 1 || len(res.Channels) != 1 || res.Sustained == nil {
		t.Errorf("result: %+v", res)
	}
	text := load.Text(&res)
	if n := strings.Count(text, "\n| "); n < 30 {
		t.Errorf("%d lines are in\n%s", n, text)
	}
}

// Ensure that Stratum V1 is measured to its end too: every reply is right, and the table has a figure for
// everything.
func TestRun_MeasuresStratumV1(t *testing.T) {
	cfg := small(t)
	cfg.Dialect, cfg.Measure = load.DialectV1, load.V1Measures()
	res, err := load.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	row := res.V1[0]
	s, d := row.Shares, row.Depth
	if s.Wrong != 0 || s.Bad == 0 || s.Refused != s.Bad || s.Ack.Count == 0 || s.Durable == 0 {
		t.Errorf("shares: %+v", s)
	}
	if d.Wrong != 0 || d.Answered <= 0 || d.Reply.Count == 0 || d.Bad == 0 || d.Refused != d.Bad {
		t.Errorf("closed stream: %+v", d)
	}
	if tip := row.Tip; tip.First <= 0 || tip.Last < tip.P99 || tip.Messages < 1 {
		t.Errorf("tip: %+v", tip)
	}
	if c := row.Connect; c.Rate <= 0 || c.Took.Count != 20 {
		t.Errorf("connects: %+v", c)
	}
	if len(res.Profiles) != 1 || res.Profiles[0].Shares == 0 || len(res.Profiles[0].Phases) != 9 {
		t.Errorf("profiles: %+v", res.Profiles)
	}
	if n := strings.Count(load.Text(&res), "\n| "); n < 29 {
		t.Errorf("%d lines are in\n%s", n, load.Text(&res))
	}
}

// Ensure that a table replaces the one between a page's markers, and nothing else.
func TestRewrite_ReplacesTheTable(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	text, err := os.ReadFile("../../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(page, text, 0o600); err != nil {
		t.Fatal(err)
	}
	row := load.Row{Connections: 7, Shares: &load.Shares{Offered: 5000}}
	res := load.Result{Command: "one", Rows: []load.Row{row}}
	for range 2 {
		if err := load.Rewrite(page, &res); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(got), "| connections | goal | 7 |") != 1 {
		t.Errorf("page is\n%s", got)
	}
	head, _, _ := strings.Cut(string(text), "<!-- begin")
	if !strings.HasPrefix(string(got), head) {
		t.Errorf("what comes before the table has changed:\n%s", got)
	}
	bare := filepath.Join(t.TempDir(), "bare.md")
	if err := os.WriteFile(bare, []byte("# no table\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := load.Rewrite(bare, &res); err == nil || !strings.Contains(err.Error(), "lacks the lines") {
		t.Errorf("a page without markers: %v", err)
	}
}

// Ensure that every fault of a configuration is named with what is accepted.
func TestConfig_NamesEveryFault(t *testing.T) {
	cfg := load.Config{
		Pool: "192.0.2.1:3333", Connections: []int{0, 28_001}, Measure: []string{"luck", load.MeasureTip},
		Idle: -1, Stock: -1, Ladder: []float64{2, 1, -1},
	}
	err := cfg.Validate()
	if err == nil {
		t.Fatal("it is accepted")
	}
	for _, says := range []string{
		"connections is 0", "connections is 28001", `measurement "luck"`, `"tip" needs a server of its own`,
		"rate is 0", "for is 0s", "idle is -1ns", "tips is 0", "stock is -1", "ladder is", "ladder has -1",
		`pool "192.0.2.1:3333": HOST:PORT of this machine`,
	} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("%q is not in\n%v", says, err)
		}
	}
	if _, err := load.Run(t.Context(), cfg); err == nil {
		t.Error("it runs")
	}
}
