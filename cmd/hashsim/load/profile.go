package load

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Profile is where the server's CPU time went, from one CPU profile. What it did for connections that came is
// in it too, by itself.
type Profile struct {
	File   string  `json:"file"`
	CPU    float64 `json:"cpu_ms"`
	Shares uint64  `json:"durable"` // shares, while it ran
	Phases []Phase `json:"phases"`
}

// Phase is a part of what a server does. Each sample of a profile is in one.
type Phase struct {
	Name   string  `json:"name"`
	CPU    float64 `json:"cpu_ms"`
	System float64 `json:"system_ms"` // of it in system calls
}

const (
	phaseConnect = "connect"
	phaseRuntime = "runtime"
	phaseOther   = "other"
	room         = "github.com/hashlease/hashlease/"
)

// phases are in the order of a share's way. The innermost function of a sample that is named here decides.
var phases = []struct {
	name, what string
	functions  []string // or their beginnings
}{
	{"read", "what came: epoll, read, decryption", []string{
		room + "stratum.(*poller)", room + "stratum.epollNow", room + "stratum.(*lines).fill",
		room + "stratum.(*socket).Read", room + "stratum.(*socket).tryRead", room + "stratum.readWhenReady",
		room + "stratum/noise.(*Conn).Read",
	}},
	{"parse", "lines and frames", []string{
		room + "stratum/sv1.Parse", room + "stratum/sv1.(*scanner)", room + "stratum/sv1.(*Request)",
		room + "stratum/sv1.Value", room + "stratum/sv2.Decode", room + "stratum/sv2.Parse",
		room + "stratum.(*lines).cut", room + "stratum.(*v1Jobs).idOf",
	}},
	{"judge", "lookup, hashes, difficulty", []string{room + "pool."}},
	{"journal", "credit, write, fdatasync", []string{room + "pool/ledger.", room + "storage/"}},
	{"write", "answers, encryption, write", []string{
		room + "stratum/sv1.Append", room + "stratum/sv2.SubmitShares", room + "stratum.sendLocked",
		room + "stratum/noise.(*Conn).AppendFrame", room + "stratum.(*outbox)", room + "stratum.rawConn",
		room + "stratum.(*socket).tryWrite", room + "stratum.(*session).writeSlowly",
	}},
	{"session", "locks, queues, counts in between", []string{room + "stratum."}},
	{phaseConnect, "handshakes, channels, first jobs", nil},
	{phaseRuntime, "scheduler, timers, collector", nil},
	{phaseOther, "the node, the measurement", nil},
}

// connecting are functions that decide for what they call, too.
var connecting = []string{
	room + "stratum.(*session).open", room + "stratum.(*Server).greet", room + "stratum.(*Server).meet",
	room + "stratum.(*Server).Serve", room + "stratum.(*Server).takeOut", room + "stratum.(*v1).subscribe",
	room + "stratum.(*v1).authorizeUser", room + "stratum/noise.Accept",
}

// phaseOf is the index of a sample's phase. The innermost function comes first.
func phaseOf(stack []string) int {
	name := phaseRuntime
	for _, f := range stack {
		if begins(f, connecting) {
			return indexOf(phaseConnect)
		}
		if !begins(f, []string{"runtime.", "internal/runtime/", "time.", "sync."}) {
			name = phaseOther
		}
	}
	for _, f := range stack {
		if f == room+"stratum.move" {
			continue // a read or a write: its caller knows
		}
		for i := range phases {
			if begins(f, phases[i].functions) {
				return i
			}
		}
	}
	return indexOf(name)
}

func indexOf(name string) int {
	for i := range phases {
		if phases[i].name == name {
			return i
		}
	}
	return len(phases) - 1
}

func begins(function string, beginnings []string) bool {
	for _, b := range beginnings {
		if strings.HasPrefix(function, b) {
			return true
		}
	}
	return false
}

// isSystem reports whether a function is the kernel's door.
func isSystem(function string) bool {
	return begins(function, []string{
		"internal/runtime/syscall/", "runtime/internal/syscall", "runtime.futex", "runtime.write1",
		"runtime.usleep", "runtime.madvise", "runtime.epoll", "runtime.tgkill", "runtime.nanotime1",
	})
}

// readProfile sums a CPU profile by phases.
func readProfile(file string) (p Profile, err error) {
	packed, err := os.ReadFile(file)
	if err != nil {
		return p, fmt.Errorf("reading a profile: %w", err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return p, fmt.Errorf("opening the profile %s: %w", file, err)
	}
	raw, err := io.ReadAll(io.LimitReader(z, maxProfile))
	if err != nil {
		return p, fmt.Errorf("opening the profile %s: %w", file, err)
	}
	if p, err = sumProfile(raw); err != nil {
		return p, fmt.Errorf("reading the profile %s: %w", file, err)
	}
	p.File = file
	return p, nil
}

// maxProfile is how long a profile may be, in bytes: a CPU profile of hours has a few million.
const maxProfile = 64 << 20

// sumProfile reads profile.proto of pprof, of which a sum needs five tables:
//
//	profile   2 sample, 4 location, 5 function, 6 string
//	sample    1 locations (innermost first), 2 values: count, nanoseconds
//	location  1 id, 4 line (innermost of what was inlined first)
//	line      1 whose code it is, by id
//	function  1 id, 2 name
func sumProfile(raw []byte) (p Profile, err error) {
	t := tables{lines: map[uint64][]uint64{}, names: map[uint64]uint64{}}
	if err := fields(raw, t.add); err != nil {
		return p, err
	}
	p.Phases = make([]Phase, len(phases))
	for i := range phases {
		p.Phases[i].Name = phases[i].name
	}
	for _, s := range t.samples {
		stack := t.stack(s.at)
		if len(stack) == 0 || len(s.values) == 0 {
			continue
		}
		ms := float64(s.values[len(s.values)-1]) / float64(time.Millisecond)
		phase := &p.Phases[phaseOf(stack)]
		phase.CPU += ms
		if p.CPU += ms; isSystem(stack[0]) {
			phase.System += ms
		}
	}
	return p, nil
}

// tables are those of a profile.
type tables struct {
	samples []sample
	lines   map[uint64][]uint64 // functions by location
	names   map[uint64]uint64   // place of a function's name in texts
	texts   []string
}

type sample struct{ at, values []uint64 }

// add takes a field of the profile.
func (t *tables) add(number int, _ uint64, b []byte) error {
	switch number {
	case 2:
		var s sample
		err := fields(b, func(n int, v uint64, packed []byte) error {
			switch n {
			case 1:
				return varints(&s.at, v, packed)
			case 2:
				return varints(&s.values, v, packed)
			}
			return nil
		})
		t.samples = append(t.samples, s)
		return err
	case 4:
		return t.addLocation(b)
	case 5:
		var id, name uint64
		err := fields(b, func(n int, v uint64, _ []byte) error {
			switch n {
			case 1:
				id = v
			case 2:
				name = v
			}
			return nil
		})
		t.names[id] = name
		return err
	case 6:
		t.texts = append(t.texts, string(b))
	}
	return nil
}

func (t *tables) addLocation(b []byte) error {
	var id uint64
	var functions []uint64
	err := fields(b, func(n int, v uint64, line []byte) error {
		switch n {
		case 1:
			id = v
		case 4:
			return fields(line, func(n int, v uint64, _ []byte) error {
				if n == 1 {
					functions = append(functions, v)
				}
				return nil
			})
		}
		return nil
	})
	t.lines[id] = functions
	return err
}

// stack are the functions at locations, the innermost first.
func (t *tables) stack(at []uint64) (names []string) {
	for _, location := range at {
		for _, function := range t.lines[location] {
			if i := t.names[function]; i < uint64(len(t.texts)) {
				names = append(names, t.texts[i])
			}
		}
	}
	return names
}

var errProfile = errors.New("it is no profile of pprof")

// fields visits the fields of a message: the value of a number, or the bytes of anything else.
func fields(b []byte, visit func(number int, v uint64, b []byte) error) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("%w: %w", errProfile, protowire.ParseError(n))
		}
		b = b[n:]
		var v uint64
		var inner []byte
		switch kind {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			inner, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		if n < 0 {
			return fmt.Errorf("%w: %w", errProfile, protowire.ParseError(n))
		}
		if b = b[n:]; kind == protowire.VarintType || kind == protowire.BytesType {
			if err := visit(int(number), v, inner); err != nil {
				return err
			}
		}
	}
	return nil
}

// varints takes a repeated number, packed or one at a time.
func varints(dst *[]uint64, v uint64, packed []byte) error {
	if packed == nil {
		*dst = append(*dst, v)
		return nil
	}
	for len(packed) > 0 {
		v, n := protowire.ConsumeVarint(packed)
		if n < 0 {
			return fmt.Errorf("%w: %w", errProfile, protowire.ParseError(n))
		}
		*dst, packed = append(*dst, v), packed[n:]
	}
	return nil
}

// writeProfile is the table of a profile.
func writeProfile(b *strings.Builder, p *Profile) {
	per := 1000 / max(1, float64(p.Shares))
	fmt.Fprintf(b, "Where the server's CPU time went: %.0f ms, %d shares durable (%s):\n\n"+
		"| phase | | us a share | of it system calls | %% |\n|---|---|---:|---:|---:|\n",
		p.CPU, p.Shares, p.File)
	for i, phase := range p.Phases {
		fmt.Fprintf(b, "| %s | %s | %.1f | %.1f | %.0f |\n", phase.Name, phases[i].what, phase.CPU*per,
			phase.System*per, 100*phase.CPU/max(1, p.CPU))
	}
	b.WriteString("\n")
}
