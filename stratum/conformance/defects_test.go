package conformance_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/hashlease/hashlease/stratum/conformance"
	"github.com/hashlease/hashlease/stratum/noise"
)

// root is the repository's from here.
const root = "../.."

// defect is a small fault of our server and the rules that must find it: testdata/defects/NAME.txt has
// file and finds at its head, then the old text and the new one.
type defect struct {
	name     string
	file     string // from root
	finds    []int  // one of them must fail
	old, new string
}

// defects reads all of them.
func defects(t *testing.T) (list []defect) {
	t.Helper()
	names, err := filepath.Glob("testdata/defects/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	byID := map[string]int{}
	for _, r := range conformance.Rules() {
		byID[r.ID()] = r.Number
	}
	for _, name := range names {
		a, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(a.Files) != 2 || a.Files[0].Name != "old" || a.Files[1].Name != "new" {
			t.Fatalf("%s: want the sections old and new", name)
		}
		d := defect{
			name: strings.TrimSuffix(filepath.Base(name), ".txt"),
			old:  strings.TrimSuffix(string(a.Files[0].Data), "\n"),
			new:  strings.TrimSuffix(string(a.Files[1].Data), "\n"),
		}
		for line := range strings.Lines(string(a.Comment)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			switch key {
			case "file":
				d.file = value
			case "finds":
				for id := range strings.SplitSeq(value, ", ") {
					if byID[id] == 0 {
						t.Errorf("%s: there is no rule %q", name, id)
					}
					d.finds = append(d.finds, byID[id])
				}
			default:
				t.Errorf("%s: %q is neither file nor finds", name, line)
			}
		}
		list = append(list, d)
	}
	return list
}

// patched is the source with the defect in it.
func (d *defect) patched() (string, error) {
	b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(d.file)))
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(b), d.old); n != 1 {
		return "", fmt.Errorf("the old text is %d times in %s, once is needed:\n%s", n, d.file, d.old)
	}
	return strings.Replace(string(b), d.old, d.new, 1), nil
}

// Ensure every defect still fits the code that it is for.
func TestDefects_FitTheCode(t *testing.T) {
	list := defects(t)
	if len(list) < 24 {
		t.Errorf("there are %d defects, want 24 or more", len(list))
	}
	for _, d := range list {
		if _, err := d.patched(); err != nil {
			t.Errorf("%s: %v", d.name, err)
		}
		if len(d.finds) == 0 || d.old == d.new {
			t.Errorf("%s: it is no defect, or no rule finds it", d.name)
		}
	}
}

// Ensure that every defect, built into the test pool, is found by one of the rules that are for it. It
// takes minutes, so it runs by `make conform`.
func TestDefects_AreFound(t *testing.T) {
	t.Parallel()
	if os.Getenv("CONFORM_DEFECTS") == "" {
		t.Skip("make conform runs it")
	}
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		sound(t)
	})
	for _, d := range defects(t) {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			how, err := d.find(t)
			if err != nil {
				t.Fatal(err)
			}
			t.Log(how)
		})
	}
}

// impatient makes a defect that hangs fail soon.
const impatient = time.Second

// sound fails if a rule that shall find a defect finds one where there is none.
func sound(t *testing.T) {
	t.Helper()
	var only []int
	for _, d := range defects(t) {
		only = append(only, d.finds...)
	}
	program := filepath.Join(t.TempDir(), "pool")
	if err := compile(t.Context(), program); err != nil {
		t.Fatal(err)
	}
	at, stop, err := serve(t.Context(), program)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	results, err := conformance.Run(t.Context(), at, conformance.Options{Only: only, Patience: impatient})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Status != conformance.Pass {
			t.Errorf("without a defect: %s %s %s", r.Rule.ID(), r.Status, r.Detail)
		}
	}
}

// find builds the pool with the defect and says which rule found it.
func (d *defect) find(t *testing.T) (how string, err error) {
	t.Helper()
	program, err := d.build(t.Context(), t.TempDir())
	if err != nil {
		return "", err
	}
	at, stop, err := serve(t.Context(), program)
	if err != nil {
		return "", err
	}
	defer stop()
	results, err := conformance.Run(t.Context(), at, conformance.Options{Only: d.finds, Patience: impatient})
	if err != nil {
		return "", err
	}
	var passed []string
	for _, r := range results {
		if r.Status == conformance.Fail {
			return r.Rule.ID() + ": " + r.Detail, nil
		}
		passed = append(passed, fmt.Sprintf("%s %s %s", r.Rule.ID(), r.Status, r.Detail))
	}
	return "", fmt.Errorf("not found: %s", strings.Join(passed, ", "))
}

// build compiles the test pool with the defect in place of the file.
func (d *defect) build(ctx context.Context, dir string) (program string, err error) {
	text, err := d.patched()
	if err != nil {
		return "", err
	}
	top, err := filepath.Abs(root)
	if err != nil {
		return "", err
	}
	bad := filepath.Join(dir, "bad.go")
	overlay, err := json.Marshal(map[string]map[string]string{
		"Replace": {filepath.Join(top, filepath.FromSlash(d.file)): bad},
	})
	if err != nil {
		return "", err
	}
	for name, b := range map[string][]byte{bad: []byte(text), filepath.Join(dir, "overlay.json"): overlay} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			return "", err
		}
	}
	program = filepath.Join(dir, "pool")
	return program, compile(ctx, program, "-overlay", filepath.Join(dir, "overlay.json"))
}

// compile builds the test pool.
func compile(ctx context.Context, program string, flags ...string) error {
	args := append([]string{"build", "-ldflags", "-s -w", "-o", program}, flags...)
	build := exec.CommandContext(ctx, "go", append(args, "./stratum/conformance/testpool/serve")...)
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building it: %w\n%s", err, out)
	}
	return nil
}

// serve starts a test pool and reads where it is.
func serve(ctx context.Context, program string) (at conformance.Pool, stop func(), err error) {
	cmd := exec.CommandContext(ctx, program)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return at, nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return at, nil, err
	}
	if err := cmd.Start(); err != nil {
		return at, nil, err
	}
	cmd.WaitDelay = 20 * time.Second
	stop = func() {
		_ = stdin.Close() // it ends then
		_ = cmd.Wait()
	}
	var where struct{ Address, Authority, Control string }
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &where)
	}
	if err != nil {
		stop()
		return at, nil, fmt.Errorf("reading where the pool is: %w", err)
	}
	key, err := noise.ParsePublicKey(where.Authority)
	return conformance.Pool{
		Address: where.Address, Authority: &key, User: "conformance.rig", Control: where.Control,
	}, stop, err
}

// Ensure there are defects for every section, and list the rules that have one for who looks for gaps.
func TestDefects_CoverTheSections(t *testing.T) {
	found := map[int]bool{}
	for _, d := range defects(t) {
		for _, n := range d.finds {
			found[n] = true
		}
	}
	for _, s := range conformance.Sections() {
		var n int
		for _, r := range s.Rules {
			if found[r.Number] {
				n++
			}
		}
		if n == 0 {
			t.Errorf("no defect is for the section %s", s.Title)
		}
	}
	t.Logf("rules with a defect: %v", slices.Sorted(maps.Keys(found)))
}
