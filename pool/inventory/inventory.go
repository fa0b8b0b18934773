package inventory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashlease/hashlease/pool/device"
	"github.com/hashlease/hashlease/storage"
)

const (
	// stream is ours in the book's journal.
	stream = "inventory"
	// MaxMachines bounds what is remembered.
	MaxMachines = 100_000
	// pileUp is how many records may follow a snapshot before the next.
	pileUp = 4096
)

// ErrUnknown says that a machine is not in the inventory.
var ErrUnknown = errors.New("no such machine in the inventory")

// ErrFull says that no further machine can be remembered.
var ErrFull = fmt.Errorf("the inventory holds %d machines already", MaxMachines)

// Machine is one that was found, as it was found last.
type Machine struct {
	Key      string          `json:"key"` // MAC, else serial number, else address
	Address  string          `json:"address,omitempty"`
	Identity device.Identity `json:"identity"`
	Problem  string          `json:"problem,omitempty"` // why Identity is not whole
	Pool     string          `json:"pool,omitempty"`    // that it mined at
	Backups  []string        `json:"backups,omitempty"`
	First    time.Time       `json:"first"`
	Last     time.Time       `json:"last"`
	// Gone says that it was forgotten: the record takes it out.
	Gone bool `json:"gone,omitempty"`
}

// Inventory is the machines that were found. It is safe for several goroutines.
type Inventory struct {
	journal storage.Journal

	writing sync.Mutex // one Note at a time; before mu

	mu       sync.Mutex
	machines map[string]Machine // guarded by mu, by key
	at       map[string]string  // guarded by mu, key by address
	piled    int                // guarded by writing: records since the snapshot
}

// Load reads what a journal remembers.
func Load(ctx context.Context, j storage.Journal) (*Inventory, error) {
	v := &Inventory{journal: j, machines: map[string]Machine{}, at: map[string]string{}}
	seq, state, err := j.Snapshot(ctx, stream)
	if err != nil {
		return nil, fmt.Errorf("reading the inventory: %w", err)
	}
	if state != nil {
		var all []Machine
		if err := json.Unmarshal(state, &all); err != nil {
			return nil, fmt.Errorf("reading the inventory's snapshot: %w", err)
		}
		for _, m := range all {
			v.put(m)
		}
	}
	err = j.Replay(ctx, stream, seq, func(at storage.Seq, b []byte) error {
		var m Machine
		if err := json.Unmarshal(b, &m); err != nil {
			return fmt.Errorf("record %d: %w", at, err)
		}
		v.put(m)
		v.piled++
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the inventory: %w", err)
	}
	return v, nil
}

// put takes a machine in its newest state. Who had its address before has another now, that nobody knows.
func (v *Inventory) put(m Machine) {
	old, had := v.machines[m.Key]
	if had && v.at[old.Address] == m.Key {
		delete(v.at, old.Address)
	}
	if m.Gone {
		delete(v.machines, m.Key)
		return
	}
	if other, ok := v.at[m.Address]; ok && m.Address != "" {
		moved := v.machines[other]
		moved.Address = ""
		v.machines[other] = moved
	}
	v.machines[m.Key] = m
	if m.Address != "" {
		v.at[m.Address] = m.Key
	}
}

// keyOf is what tells a machine from others: addresses change hands, so they come last.
func keyOf(id *device.Identity, address string) string {
	switch {
	case id.MAC != "":
		return "mac " + strings.ToLower(id.MAC)
	case id.Serial != "":
		return "serial " + id.Serial
	}
	return "address " + address
}

// Note remembers a machine that was found now, and returns it as it is remembered.
func (v *Inventory) Note(ctx context.Context, f *device.Found, now time.Time) (Machine, error) {
	v.writing.Lock()
	defer v.writing.Unlock()
	m := Machine{
		Key: keyOf(&f.Identity, f.Address), Address: f.Address, Identity: f.Identity, Problem: f.Problem,
		Pool: f.Sighting.Pool, Backups: f.Sighting.Backups, First: now, Last: now,
	}
	v.mu.Lock()
	old, had := v.machines[m.Key]
	full := !had && len(v.machines) >= MaxMachines
	if known, ok := v.at[f.Address]; ok && f.Problem != "" { // it told more when it was let in
		old, had = v.machines[known], true
		m.Key, m.Identity = old.Key, old.Identity
	}
	v.mu.Unlock()
	if full {
		return Machine{}, ErrFull
	}
	if had {
		m.First = old.First
	}
	return m, v.write(ctx, m)
}

// Forget takes a machine out.
func (v *Inventory) Forget(ctx context.Context, key string) error {
	v.writing.Lock()
	defer v.writing.Unlock()
	v.mu.Lock()
	_, ok := v.machines[key]
	v.mu.Unlock()
	if !ok {
		return fmt.Errorf("%w: %q", ErrUnknown, key)
	}
	return v.write(ctx, Machine{Key: key, Gone: true})
}

// write makes a machine's new state durable, and then takes it.
func (v *Inventory) write(ctx context.Context, m Machine) error {
	b, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("writing a machine: %w", err)
	}
	seq, err := v.journal.Append(ctx, storage.Write{
		Stream: stream, Expect: storage.Any, Records: [][]byte{b},
	})
	if err != nil {
		return fmt.Errorf("writing the inventory: %w", err)
	}
	v.mu.Lock()
	v.put(m)
	v.mu.Unlock()
	if v.piled++; v.piled < pileUp {
		return nil
	}
	v.piled = 0
	return v.snapshot(ctx, seq)
}

func (v *Inventory) snapshot(ctx context.Context, at storage.Seq) error {
	b, err := json.Marshal(v.List())
	if err != nil {
		return fmt.Errorf("writing the inventory's snapshot: %w", err)
	}
	err = errors.Join(v.journal.PutSnapshot(ctx, stream, at, b), v.journal.Trim(ctx, stream, at))
	if err != nil {
		return fmt.Errorf("writing the inventory's snapshot: %w", err)
	}
	return nil
}

// List is all machines by address, those whose address is not known last.
func (v *Inventory) List() []Machine {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := make([]Machine, 0, len(v.machines))
	for _, m := range v.machines {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b Machine) int { return compareAddress(a, b) })
	return all
}
