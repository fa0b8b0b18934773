package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/hashlease/hashlease/stratum/conformance"
	"github.com/hashlease/hashlease/stratum/conformance/testpool"
)

func execute(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func start(t *testing.T) *testpool.Pool {
	t.Helper()
	p, err := testpool.Start(t.Context(), testpool.Config(), "127.0.0.1:0", "127.0.0.1:0",
		slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// Ensure that a pool is checked by the rules asked for, one line each, and that all is well with ours.
func TestRun_ChecksAPool(t *testing.T) {
	p := start(t)
	key := p.Authority()
	code, out, errs := execute(t, "stratum2+tcp://"+p.Address()+"/"+key.String(), "--rule", "SV2-04x,154")
	if code != 0 || errs != "" {
		t.Fatalf("code %d, %s\n%s", code, errs, out)
	}
	for _, want := range []string{
		"SV2-045  pass", "SV2-154  pass", "11 rules: 11 passed, 0 failed, 0 do not apply",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("output lacks %q:\n%s", want, out)
		}
	}
}

// Ensure that a pool with another authority fails, with what was expected and what came, and exit code 1.
func TestRun_SaysWhatFails(t *testing.T) {
	p, other := start(t), start(t)
	key := other.Authority()
	code, out, errs := execute(t, p.Address(), "--authority", key.String(), "--rule", "SV2-004")
	if code != 1 || errs != "" || !strings.Contains(out, "SV2-004  fail") ||
		!strings.Contains(out, "not signed by authority") {
		t.Fatalf("code %d, %s\n%s", code, errs, out)
	}
}

// Ensure that programs get one object a rule, and that rules without a control say what they lack.
func TestRun_PrintsJSON(t *testing.T) {
	p := start(t)
	for _, control := range []bool{false, true} {
		args := []string{p.Address(), "--json", "--rule", "SV2-250"}
		want := conformance.NotApplicable
		if control {
			args = append(args, "--control", p.Control())
			want = conformance.Pass
		}
		code, out, errs := execute(t, args...)
		var got struct {
			Rule   string
			Status conformance.Status
			Detail string
		}
		if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 {
			t.Fatalf("code %d, %v, %s\n%s", code, err, errs, out)
		}
		says := strings.Contains(got.Detail, `"drain"`)
		if got.Rule != "SV2-250" || got.Status != want || says == control {
			t.Errorf("with control %v: %+v", control, got)
		}
	}
}

// Ensure that the rules can be listed without a pool.
func TestRun_ListsRules(t *testing.T) {
	code, out, errs := execute(t, "--list")
	if code != 0 || errs != "" || strings.Count(out, "\n") != len(conformance.Rules()) {
		t.Fatalf("code %d, %s\n%s", code, errs, out)
	}
}

// Ensure that a wrong command line is code 2 with the reason.
func TestRun_RefusesWrongCommandLines(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "no pool"},
		{[]string{"127.0.0.1:1", "--authority", "9abc"}, `authority "9abc"`},
		{[]string{"127.0.0.1:1", "--rule", "SV2-999"}, `no rule "SV2-999"`},
		{[]string{"127.0.0.1:1", "--patience", "0s"}, "above 0"},
		{[]string{"127.0.0.1:1", "--what"}, "unknown flag"},
		{[]string{start(t).Address(), "--control", "http://127.0.0.1:1"}, "asking the control"},
		{[]string{"127.0.0.1:1"}, "reaching the pool"},
	} {
		code, out, errs := execute(t, c.args...)
		if code != 2 || !strings.Contains(errs, c.want) || out != "" {
			t.Errorf("%q: code %d, %q, output %q, want 2 and %q", c.args, code, errs, out, c.want)
		}
	}
}
