package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// jobs are what a tenant's cluster runs: programs of a machine where the tenant's key is in the
// environment.
type jobs struct {
	*site
	env []string
}

// run runs a program and gives its exit status and what it printed.
func (j *jobs) run(env []string, name string, args ...string) (status int, out string) {
	j.t.Helper()
	cmd := exec.CommandContext(j.t.Context(), name, args...)
	cmd.Env = append(slices.Clone(j.env), env...)
	var both bytes.Buffer
	cmd.Stdout, cmd.Stderr = &both, &both
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), both.String()
	}
	if err != nil {
		j.t.Fatalf("%s: %v", name, err)
	}
	return 0, both.String()
}

// want runs a program that must end well and print something.
func (j *jobs) want(text string, env []string, name string, args ...string) {
	j.t.Helper()
	if status, out := j.run(env, name, args...); status != 0 || !strings.Contains(out, text) {
		j.t.Errorf("%s %v: exit status %d, want %q in\n%s", filepath.Base(name), args, status, text, out)
	}
}

// leases are the tenant's leases in a state.
func (j *jobs) leases(state string) (n int) {
	j.t.Helper()
	_, out := j.run(nil, j.program, "lease", "list")
	return strings.Count(out, " "+state+" ")
}

// Ensure that a tenant's commands, its Slurm jobs and its Kubernetes jobs run on leased power as the
// examples have it: they begin when a meter shows it free, book once however often they are told to, and
// give it back.
func TestProgram_RunsJobsOnLeasedPower(t *testing.T) {
	if testing.Short() {
		t.Skip("starts btcd and a site; the full run is make test")
	}
	s := newTestSite(t, 24)
	s.startServer()
	s.runMiners()
	s.eventually("the feeders have capacity", time.Minute, func() bool {
		return s.capacity("f1") && s.capacity("f2")
	})
	bin := filepath.Dir(s.program)
	python := "#!/bin/sh\necho \"$@ draws $HASHLEASE_WATTS W\"\n"
	err := os.WriteFile(filepath.Join(bin, "python"), []byte(python), 0o700) //nolint:gosec // a program
	if err != nil {
		t.Fatal(err)
	}
	j := &jobs{site: s, env: append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "TZ=UTC",
		"HASHLEASE_SERVER="+s.listen[1], "HASHLEASE_CA="+s.caFile(), "HASHLEASE_KEY="+s.keys.tenant)}
	status, out := j.run(nil, s.program, "lease", "run", "--site", "north", "--watts", "9kW", "--for", "1m",
		"--", "sh", "-c", "hashlease lease list; exit 3")
	if status != 3 || !strings.Contains(out, " ACTIVE ") {
		t.Errorf("exit status %d\n%s", status, out)
	}
	j.slurm()
	j.kubernetes()
	j.manual()
	s.eventually("all power is given back", time.Minute, func() bool { return j.leases("COMPLETED") == 4 })
	s.stop()
}

// manual runs what the tenant's manual says of the first minutes, as it stands there.
func (j *jobs) manual() {
	j.t.Helper()
	page, err := os.ReadFile("../../docs/tenant.md")
	if err != nil {
		j.t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "## From the key to the first proven watt")
	section, _, _ = strings.Cut(section, "\n## ")
	var lines []string
	for line := range strings.Lines(section) {
		if strings.HasPrefix(line, "    hashlease ") {
			lines = append(lines, line)
		}
	}
	wants := []string{"north", "9000 W are mine until 20", " 9 kW "}
	if len(lines) != len(wants) {
		j.t.Fatalf("the manual has %d commands for the first minutes, not %d", len(lines), len(wants))
	}
	for i, want := range wants {
		j.want(want, nil, "sh", "-c", lines[i])
	}
}

// slurm runs prolog and epilog of a job as its controller does: once, and once more.
func (j *jobs) slurm() {
	j.t.Helper()
	env := []string{
		"HASHLEASE_SITE=north", "HASHLEASE_WATTS_PER_NODE=3000W", "HASHLEASE_ENV=/dev/null",
		"HASHLEASE_STATE=" + filepath.Join(j.dir, "slurm"), "SLURM_JOB_ID=42", "SLURM_JOB_NUM_NODES=3",
		fmt.Sprintf("SLURM_JOB_END_TIME=%d", time.Now().Add(10*time.Minute).Unix()),
	}
	const dir = "../../docs/examples/slurm/"
	for range 2 {
		j.want("ACTIVE", env, dir+"prolog.sh")
		if n := j.leases("ACTIVE"); n != 1 {
			j.t.Errorf("%d leases are ACTIVE for one job", n)
		}
	}
	for range 2 {
		j.want("", env, dir+"epilog.sh")
		if n := j.leases("ACTIVE"); n != 0 {
			j.t.Errorf("%d leases are ACTIVE after the job", n)
		}
	}
	nowhere := append(env, "HASHLEASE_SITE=nowhere", "SLURM_JOB_ID=43") //nolint:gocritic // of this call only
	if status, out := j.run(nowhere, dir+"prolog.sh"); status == 0 {
		j.t.Errorf("a job without power may begin: %s", out)
	}
}

// kubernetes runs what the example's container runs.
func (j *jobs) kubernetes() {
	j.t.Helper()
	file, err := os.Open("../../docs/examples/kubernetes/job.yaml")
	if err != nil {
		j.t.Fatal(err)
	}
	defer file.Close()
	type container struct{ Command, Args []string }
	var job struct {
		Kind string
		Spec struct {
			Template struct {
				Spec struct{ Containers []container }
			}
		}
	}
	documents := yaml.NewDecoder(file)
	for job.Kind != "Job" {
		if err := documents.Decode(&job); errors.Is(err, io.EOF) || err != nil {
			j.t.Fatalf("no job in the example: %v", err)
		}
	}
	c := job.Spec.Template.Spec.Containers[0]
	j.want("train.py draws 10000 W", nil, c.Command[0], append(c.Command[1:], c.Args...)...)
}
