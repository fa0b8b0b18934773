package audit

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	crashEnv    = "HASHLEASE_AUDIT_CRASH_CHILD" // directory of the log: be the child
	crashRounds = 4
)

// TestMain lets the test binary be the child that is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv(crashEnv); dir != "" {
		crashChild(dir)
	}
	os.Exit(m.Run())
}

// crashConfig begins files often, because beginning one is where most can go wrong.
func crashConfig(dir string) Config {
	cfg := DefaultConfig(dir)
	cfg.Segment, cfg.Gather, cfg.Queue, cfg.Keep = 8<<10, 0, 1000, 2
	return cfg
}

// crashChild notes records, and months that pass, until it is killed. It prints the newest record after each
// flush: from here on it is durable.
func crashChild(dir string) {
	l, err := Open(crashConfig(dir), time.Now())
	if err != nil {
		fmt.Println("open:", err)
		os.Exit(1)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go l.Run(ctx) // until the kill
	for i := 0; err == nil; i++ {
		for n := range 1 + i%40 {
			l.Note(Record{
				At: noon.AddDate(0, i/300, 0), Kind: Reading, Site: "north", Feeder: "n1",
				Text: strings.Repeat("x", (i*37+n)%300),
			})
		}
		if err = l.Flush(); err == nil {
			h := l.Head()
			fmt.Printf("durable %d %s\n", h.Seq, h.Hash)
		}
	}
	fmt.Println("flush:", err)
	os.Exit(1)
}

// Ensure that a process that is killed at any moment leaves every record that was durable, in one chain that
// its next start goes on with and that verifies offline.
func TestLog_SurvivesKill(t *testing.T) {
	dir := t.TempDir()
	for round := range crashRounds {
		flushes := 20 + rand.IntN(400)
		acked := crash(t, dir, flushes)
		checkCrashed(t, dir, acked)
		if t.Failed() {
			t.Fatalf("round %d, killed after %d flushes", round, flushes)
		}
	}
}

// crash runs the child until it has flushed so often, kills it, and says what was durable.
func crash(t *testing.T, dir string, flushes int) (acked Head) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), crashEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		var h Head
		var hash string
		_, err := fmt.Sscanf(lines.Text(), "durable %d %s", &h.Seq, &hash)
		if err == nil {
			h.Hash, err = ParseHash(hash)
		}
		switch {
		case err == nil:
			acked = h
		case n < flushes: // the kill may cut the last line
			t.Errorf("the child says %q", lines.Text())
		}
		if n == flushes {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // killed
	return acked
}

// checkCrashed opens what the crash left, checks it as a whole, and takes a report with it.
func checkCrashed(t *testing.T, dir string, acked Head) {
	t.Helper()
	l, err := Open(crashConfig(dir), time.Now())
	if err != nil {
		t.Fatalf("opening after the crash: %v", err)
	}
	defer func() { _ = l.file.Close() }()
	found := l.Head()
	flush(t, l)
	if found.Seq < acked.Seq {
		t.Errorf("the log ends at %d, durable was %d", found.Seq, acked.Seq)
	}
	kept := false
	for _, r := range allHashed(t, dir) {
		kept = kept || r == acked
	}
	if !kept {
		t.Errorf("record %d is not there as it was durable", acked.Seq)
	}
	rs := all(t, dir)
	started := 0
	for _, r := range rs {
		if r.Kind == Started && r.Seq > found.Seq {
			started++
			if !strings.Contains(r.Text, "was not closed") && r.Missing == 0 {
				t.Errorf("the start says %+v", r)
			}
		}
	}
	if started != 1 || rs[0].Seq > 1 && !removed(rs) {
		t.Errorf("%d starts after %d; the first of %d records is %d", started, found.Seq, len(rs), rs[0].Seq)
	}
	at := rs[len(rs)-1].At
	for _, r := range rs {
		if r.Kind == Reading && r.At.After(at) {
			at = r.At
		}
	}
	var file bytes.Buffer
	q := Query{Site: "north", From: at.Add(-time.Hour), Until: at.Add(time.Hour)}
	if _, err := l.Report(t.Context(), q, false, &file); err != nil {
		t.Fatalf("the report: %v", err)
	}
	if res, err := Verify(&file, Trust{}); err != nil || !res.Sealed {
		t.Errorf("its file: %+v %v", res, err)
	}
}

func removed(rs []Record) bool {
	for _, r := range rs {
		if r.Kind == Removed {
			return true
		}
	}
	return false
}

// allHashed are all records' numbers and hashes.
func allHashed(t *testing.T, dir string) (out []Head) {
	t.Helper()
	list, err := listSegments(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range list {
		b, err := os.ReadFile(filepath.Join(dir, list[i].name()))
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(b) {
			h, record, err := splitLine(bytes.TrimSuffix(line, []byte("\n")))
			if err != nil {
				continue // the head
			}
			g, err := look(record)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, Head{g.seq, h})
		}
	}
	return out
}
