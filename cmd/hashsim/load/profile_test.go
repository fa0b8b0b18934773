package load

import (
	"bytes"
	"compress/gzip"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Ensure that each sample is in the phase of its innermost function that has one, and that what is done for a
// connection that comes is told from what is done for shares.
func TestProfile_TellsPhasesApart(t *testing.T) {
	const s = room + "stratum."
	for stack, want := range map[string]string{
		"internal/runtime/syscall/linux.Syscall6 " + s + "move " + s + "(*socket).tryRead " +
			s + "(*v1).poll " + s + "(*poller).run": "read",
		"runtime.memmove " + room + "stratum/sv1.ParseRequest " + s + "(*v1).pollLine " +
			s + "(*lines).cut": "parse",
		"crypto/sha256.Sum256 " + room + "pool.hashPair " + s + "(*session).submitLocked " +
			s + "(*poller).run": "judge",
		"syscall.Fdatasync " + room + "storage/wal.datasync " + room + "pool/ledger.(*Shares).Credit " +
			s + "(*shard).commit": "journal",
		"syscall.RawSyscall " + s + "move " + s + "(*socket).tryWrite " + s + "(*shard).commit": "write",
		"sync.(*Mutex).Lock " + s + "(*session).submit " + s + "(*lines).cut":                   "session",
		room + "pool.NewChannel " + s + "(*session).open " + s + "(*v1).poll":                   "connect",
		"runtime.findRunnable runtime.schedule runtime.mcall":                                   "runtime",
		"encoding/json.Unmarshal main.main runtime.main":                                        "other",
	} {
		if got := phases[phaseOf(strings.Fields(stack))].name; got != want {
			t.Errorf("%s is %s, want %s", stack, got, want)
		}
	}
}

// Ensure that a sum has the time of every sample, and which of it were system calls.
func TestProfile_SumsSamples(t *testing.T) {
	number := func(dst []byte, field protowire.Number, v uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(dst, field, protowire.VarintType), v)
	}
	message := func(dst []byte, field protowire.Number, inner []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(dst, field, protowire.BytesType), inner)
	}
	var raw []byte
	for i, name := range []string{
		"", "internal/runtime/syscall/linux.Syscall6", room + "storage/wal.datasync", "runtime.mcall",
	} {
		id := uint64(i)
		raw = message(raw, 6, []byte(name))
		raw = message(raw, 5, number(number(nil, 1, id), 2, id))
		raw = message(raw, 4, message(number(nil, 1, id), 4, number(nil, 1, id)))
	}
	const ms = uint64(time.Millisecond)
	raw = message(raw, 2, message(message(nil, 1, []byte{1, 2}), 2,
		protowire.AppendVarint(protowire.AppendVarint(nil, 3), 30*ms)))
	raw = message(raw, 2, number(number(number(nil, 1, 3), 2, 1), 2, 10*ms)) // not packed
	p, err := sumProfile(raw)
	if err != nil || p.CPU != 40 {
		t.Fatalf("%+v, %v", p, err)
	}
	for name, want := range map[string][2]float64{"journal": {30, 30}, "runtime": {10, 0}, "judge": {0, 0}} {
		if got := p.Phases[indexOf(name)]; got.Name != name || got.CPU != want[0] || got.System != want[1] {
			t.Errorf("%s: %+v, want %v", name, got, want)
		}
	}
	var b strings.Builder
	p.Shares = 1000
	writeProfile(&b, &p)
	if !strings.Contains(b.String(), "| journal | credit, write, fdatasync | 30.0 | 30.0 | 75 |") {
		t.Error(b.String())
	}
}

// Ensure that what is no profile is named with its file.
func TestProfile_NamesWhatItCannotRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cpu.pprof")
	if _, err := readProfile(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte("no profile"))
	_ = z.Close()
	for _, content := range [][]byte{[]byte("plain"), b.Bytes()} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readProfile(file); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%q: %v", content, err)
		}
	}
}

// FuzzProfile reads anything as a profile: it never panics, and its sum is that of its phases.
func FuzzProfile(f *testing.F) {
	var b bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&b, 0)
	z, err := gzip.NewReader(&b)
	if err != nil {
		f.Fatal(err)
	}
	var raw bytes.Buffer
	_, _ = raw.ReadFrom(z)
	f.Add(raw.Bytes())
	f.Add([]byte{0x12, 2, 8, 1})
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := sumProfile(raw)
		if err != nil {
			return
		}
		sum := 0.0
		for _, phase := range p.Phases {
			sum += phase.CPU
		}
		if math.Abs(sum-p.CPU) > 1e-6*math.Abs(p.CPU)+1 {
			t.Errorf("phases have %v ms of %v", sum, p.CPU)
		}
	})
}
