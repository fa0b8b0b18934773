package node_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool/node"
)

// orphanDir, when set, makes this test program a parent that is about to die.
const orphanDir = "HASHLEASE_TEST_ORPHAN"

// bearOrphan starts a btcd, says so in a file and waits to be killed.
func bearOrphan(dir string) {
	path, err := buildOnce()
	if err != nil {
		panic(err)
	}
	p, _ := node.ParseNetwork("regtest")
	c, err := node.NewChild(node.ChildConfig{Path: path, Dir: dir, Network: p})
	if err == nil {
		err = c.Start(context.Background())
	}
	if err != nil {
		panic(err)
	}
	fmt.Println("up")
	select {}
}

// Ensure a btcd does not outlive a parent that was killed.
func TestChild_DiesWithItsParent(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ends a child with its parent")
	}
	if _, err := buildOnce(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), orphanDir+"="+dir)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	pid := childOf(t, parent.Process.Pid)
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	for until := time.Now().Add(deadline); alive(pid); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("process %d lives on", pid)
		}
	}
}

// childOf is the process that has the given parent.
func childOf(t *testing.T, parent int) int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatal("the parent has no child")
	return 0
}

func alive(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(text), ") Z ")
}

// Ensure a program that is no btcd gives its last words instead of a long wait.
func TestChild_SaysWhyItDidNotStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "btcd")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho the disk is on fire\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	c, err := node.NewChild(node.ChildConfig{Path: path, Dir: dir, Network: network(t, "simnet")})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "the disk is on fire") {
		t.Errorf("error %v", err)
	}
	c.Stop() // of nothing
}

// Ensure a child's configuration is checked before anything is started.
func TestNewChild_NamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	good := node.ChildConfig{Path: os.Args[0], Dir: t.TempDir(), Network: network(t, "signet:51")}
	if _, err := node.NewChild(good); err != nil {
		t.Fatal(err)
	}
	for want, edit := range map[string]func(*node.ChildConfig){
		"network":   func(c *node.ChildConfig) { c.Network = network(t, "mainnet") },
		"directory": func(c *node.ChildConfig) { c.Dir = "/nowhere" },
		"path":      func(c *node.ChildConfig) { c.Path = "/nowhere" },
	} {
		bad := good
		edit(&bad)
		if _, err := node.NewChild(bad); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// Ensure a machine without Go, and a directory outside the module, are told what to do.
func TestBuildBtcd_SaysWhatItNeeds(t *testing.T) {
	t.Run("no go", func(t *testing.T) {
		t.Setenv("PATH", "")
		_, err := node.BuildBtcd(t.Context(), nil)
		if err == nil || !strings.Contains(err.Error(), "go command is not installed") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("no module", func(t *testing.T) {
		t.Chdir(t.TempDir())
		_, err := node.BuildBtcd(t.Context(), nil)
		if err == nil || !strings.Contains(err.Error(), "source tree") {
			t.Errorf("error %v", err)
		}
	})
}
