package load

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"time"

	"github.com/hashlease/hashlease/stratum"
)

// order is what the measuring process asks of the target.
type order struct {
	Op   string `json:"op"` // one of the ops below
	File string `json:"file,omitempty"`
}

// The ops.
const (
	opTip     = "tip"     // a new block, known by its header
	opFill    = "fill"    // the full template for it
	opWhole   = "whole"   // a new block, known by its header, and the full template right behind it
	opEasy    = "easy"    // a new block, after which half of all hashes are blocks
	opState   = "state"   // nothing but the answer
	opFree    = "free"    // debug.FreeOSMemory
	opProfile = "profile" // begins a CPU profile into File, or ends the one that runs
	opHeap    = "heap"    // writes a heap profile to File
)

// answer is the target's word after each order, and once at the start.
type answer struct {
	Address   string        `json:"address"`
	Authority string        `json:"authority"`
	At        int64         `json:"at"`       // Unix nanoseconds: when the tip was known
	FoundAt   int64         `json:"found_at"` // the same of our last block; 0 if none
	Stock     int           `json:"stock"`    // handshake keys that are ready
	Heap      uint64        `json:"heap"`     // bytes in live and dead objects
	Spans     uint64        `json:"spans"`    // bytes that hold them, free slots in between included
	Stacks    uint64        `json:"stacks"`   // bytes
	Runtime   uint64        `json:"runtime"`  // bytes of the runtime's own
	Durable   uint64        `json:"durable"`  // shares by the ledger's count
	Stats     stratum.Stats `json:"stats"`
	Error     string        `json:"error,omitempty"`
}

// obey carries out orders until there are no more.
func (t *target) obey(r io.Reader, w io.Writer) error {
	in, out := json.NewDecoder(r), json.NewEncoder(w)
	if err := out.Encode(t.state()); err != nil {
		return fmt.Errorf("saying where the server is: %w", err)
	}
	defer pprof.StopCPUProfile()
	for {
		var o order
		switch err := in.Decode(&o); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("reading an order: %w", err)
		}
		at, read, err := t.act(o)
		if read != nil {
			err = <-read
		}
		a := t.state()
		if !at.IsZero() {
			a.At = at.UnixNano()
		}
		if err != nil {
			a.Error = err.Error()
		}
		if err := out.Encode(a); err != nil {
			return fmt.Errorf("answering an order: %w", err)
		}
	}
}

// act carries out one order. The channel, if there is one, carries the end of it.
func (t *target) act(o order) (at time.Time, read chan error, err error) {
	switch o.Op {
	case opTip:
		at = t.chain.advance(chainBits)
	case opWhole:
		at, read = t.whole()
	case opEasy:
		at = t.chain.advance(easyBits)
	case opFill:
		t.chain.fill()
	case opFree:
		debug.FreeOSMemory()
	case opProfile:
		err = profile(o.File)
	case opHeap:
		err = heapProfile(o.File)
	case opState:
	default:
		err = fmt.Errorf("order %q is not known", o.Op)
	}
	return at, read, err
}

func (t *target) state() *answer {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	a := &answer{
		Address: t.ln.Addr().String(), Authority: t.authority.Public().String(),
		Heap: m.HeapAlloc, Spans: m.HeapInuse, Stacks: m.StackInuse,
		Runtime: m.MSpanInuse + m.MCacheInuse + m.GCSys + m.OtherSys + m.BuckHashSys,
		Durable: t.shares.Stats().Shares, Stats: t.server.Stats(),
	}
	if found := t.chain.foundAt(); !found.IsZero() {
		a.FoundAt = found.UnixNano()
	}
	if t.identity.Stock != nil {
		a.Stock = t.identity.Stock.Len()
	}
	return a
}

// profile begins a CPU profile, or without a file ends the one that runs.
func profile(file string) error {
	if file == "" {
		pprof.StopCPUProfile() // writes and flushes; the file is closed with the process
		return nil
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	return pprof.StartCPUProfile(f)
}

func heapProfile(file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	runtime.GC()
	return errors.Join(pprof.Lookup("heap").WriteTo(f, 0), f.Close())
}
