package wal_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hashlease/hashlease/storage"
	"github.com/hashlease/hashlease/storage/wal"
)

const (
	crashEnv     = "HASHLEASE_WAL_CRASH_CHILD" // path of the journal: be the child
	crashCallers = 16
	crashRounds  = 6
)

// TestMain lets the test binary be the child that is killed.
func TestMain(m *testing.M) {
	if path := os.Getenv(crashEnv); path != "" {
		crashChild(path)
	}
	os.Exit(m.Run())
}

// crashRecord is what a caller's record with a Seq must be: its length varies over pages and segments.
func crashRecord(caller int, seq storage.Seq) string {
	return fmt.Sprintf("%d/%d/%s", caller, seq, strings.Repeat("x", int(seq*37)%3000))
}

// crashChild appends to a stream per caller and, in the same unit, to "all", until it is killed. It
// prints every acknowledgement.
func crashChild(path string) {
	j, err := wal.Open(path, small)
	if err != nil {
		fmt.Println("open:", err)
		os.Exit(1)
	}
	ctx := context.Background()
	var wg sync.WaitGroup
	for c := range crashCallers {
		wg.Go(func() {
			stream := fmt.Sprintf("c%d", c)
			last, err := j.Last(ctx, stream)
			for err == nil {
				r := []byte(crashRecord(c, last+1))
				last, err = j.Append(ctx,
					storage.Write{Stream: stream, Expect: last, Records: [][]byte{r}},
					storage.Write{Stream: "all", Expect: storage.Any, Records: [][]byte{r}})
				if err == nil {
					fmt.Printf("ack %d %d\n", c, last)
				}
				if err == nil && last%50 == 0 { // trimming and snapshots crash as well
					if err = j.PutSnapshot(ctx, stream, last-5, []byte(stream)); err == nil {
						err = j.Trim(ctx, stream, last-10)
					}
				}
			}
			fmt.Println("append:", err)
		})
	}
	wg.Wait()
	os.Exit(1)
}

// Ensure a process that is killed at any moment leaves every acknowledged record and no torn one.
func TestJournal_SurvivesKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.wal")
	var acked [crashCallers]storage.Seq
	for round := range crashRounds {
		acks := 100 + rand.IntN(400)
		crash(t, path, acks, &acked)
		checkCrashed(t, path, &acked)
		if t.Failed() {
			t.Fatalf("round %d, killed after %d acknowledgements", round, acks)
		}
	}
}

// crash runs the child until it has acknowledged a number of appends, and kills it.
func crash(t *testing.T, path string, acks int, acked *[crashCallers]storage.Seq) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), crashEnv+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		var (
			c   int
			seq storage.Seq
		)
		if _, err := fmt.Sscanf(lines.Text(), "ack %d %d", &c, &seq); err != nil {
			if n < acks { // the kill may cut the last line
				t.Errorf("child says %q", lines.Text())
			}
			continue
		}
		acked[c] = max(acked[c], seq)
		if n == acks {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // killed
}

// checkCrashed opens what the crash left: acknowledged <= recovered <= submitted, and units are whole.
func checkCrashed(t *testing.T, path string, acked *[crashCallers]storage.Seq) {
	t.Helper()
	j, err := wal.Open(path, small)
	if err != nil {
		t.Fatalf("opening after the crash: %v", err)
	}
	defer func() { _ = j.Close() }()
	all := map[string]bool{}
	err = j.Replay(t.Context(), "all", 0, func(_ storage.Seq, b []byte) error {
		all[string(b)] = true
		return nil
	})
	if err != nil {
		t.Fatalf("replaying: %v", err)
	}
	total := 0
	for c := range crashCallers {
		stream := fmt.Sprintf("c%d", c)
		last, err := j.Last(t.Context(), stream)
		if err != nil || last < acked[c] || last > acked[c]+1 { // a caller has one in flight
			t.Errorf("%s ends at %d (%v), acknowledged up to %d", stream, last, err, acked[c])
		}
		acked[c] = last
		total += int(last)
		for seq := storage.Seq(1); seq <= last; seq++ {
			if !all[crashRecord(c, seq)] {
				t.Errorf("record %d of %s is not in the other stream of its unit", seq, stream)
			}
		}
		at, state, err := j.Snapshot(t.Context(), stream)
		if err != nil || at > 0 && string(state) != stream {
			t.Errorf("snapshot of %s at %d is %q (%v)", stream, at, state, err)
		}
		err = j.Replay(t.Context(), stream, at, func(seq storage.Seq, b []byte) error {
			if string(b) != crashRecord(c, seq) {
				t.Errorf("record %d of %s is %q", seq, stream, b)
			}
			return nil
		})
		if err != nil {
			t.Errorf("replaying %s after %d: %v", stream, at, err)
		}
	}
	if len(all) != total {
		t.Errorf("%d records in the common stream, %d in the callers'", len(all), total)
	}
}
