package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"

	"github.com/hashlease/hashlease/cmd/hashlease/config"
	"github.com/hashlease/hashlease/pool/node"
)

// Ensure that check finds nothing wrong where nothing is: a real btcd, free ports, everything in place.
func TestCheck_IsContentWithARealNode(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and starts btcd")
	}
	path, err := node.BuildBtcd(t.Context(), func(line string) { t.Log(line) })
	if err != nil {
		t.Fatal(err)
	}
	child, err := node.NewChild(node.ChildConfig{
		Path: path, Dir: t.TempDir(), Network: &chaincfg.RegressionNetParams,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(child.Stop)

	dir, c := filepath.Join(t.TempDir(), "site"), child.Config()
	run := func(args ...string) (int, string) {
		var out, errs bytes.Buffer
		code := Main(t.Context(), args, strings.NewReader(""), &out, &errs)
		return code, out.String() + errs.String()
	}
	code, text := run("init", "--dir", dir, "--network", "regtest", "--node-url", "http://"+c.Address,
		"--node-user", c.User, "--payout", "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080")
	if code != exitOK {
		t.Fatal(text)
	}
	write := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("node.password", []byte(c.Password+"\n"))
	file := filepath.Join(dir, configFile)
	conf, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, port := range []string{`":3333"`, `":8443"`, `":9443"`} {
		conf = bytes.ReplaceAll(conf, []byte(port), []byte(`"127.0.0.1:0"`))
	}
	write(configFile, conf)

	code, text = run("check", "--config", file)
	if code != exitOK || strings.Contains(text, "FAIL") {
		t.Fatalf("status %d, want %d:\n%s", code, exitOK, text)
	}
	_, text = run("check", "--config", file, "--json")
	var found []finding
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	for _, what := range []string{
		"node " + c.Address, "payout", "stratum port", "grpc port", "console port",
	} {
		if !slices.ContainsFunc(found, func(f finding) bool { return f.What == what && f.OK }) {
			t.Errorf("%s is not OK:\n%s", what, text)
		}
	}

	write("node.password", []byte("wrong\n"))
	code, text = run("check", "--config", file)
	if code != exitFailed || strings.Count(text, "FAIL") != 1 ||
		!strings.Contains(text, "compare url, user") {
		t.Errorf("with a wrong password, status %d:\n%s", code, text)
	}
}

// Ensure that a feeder whose watts are sold unmeasured is warned of, with what to do.
func TestWarnings_NameTrustDeclared(t *testing.T) {
	cfg := config.Default()
	feeders := []config.Feeder{{ID: "n1", TrustDeclared: true}, {ID: "n2"}}
	cfg.Sites = []config.Site{{ID: "north", Feeder: feeders}}
	got := warnings(&cfg)
	if len(got) != 1 || !got[0].OK || !got[0].Warn || !strings.Contains(got[0].Fix, "site commission n1") {
		t.Errorf("warnings %+v", got)
	}
}
