package load

import (
	"context"
	"fmt"
	"time"
)

// Memory is what connections weigh while nothing comes, in bytes of resident memory.
type Memory struct {
	Window
	Connections int     `json:"connections"`
	Idle        float64 `json:"idle_s"`
	Empty       int64   `json:"empty_bytes"`          // before the first connection
	Grown       float64 `json:"per_connection"`       // after the wait
	Freed       float64 `json:"per_connection_freed"` // after debug.FreeOSMemory
	Heap        float64 `json:"heap_per_connection"`  // after that, by the server's own count
	Spans       float64 `json:"spans_per_connection"` // the same with the free slots in between
	Stacks      float64 `json:"stacks_per_connection"`
	Runtime     float64 `json:"runtime_per_connection"`
}

// weighEmpty is the server before the first connection that counts.
func (r *run) weighEmpty() (resident int64, a answer, err error) {
	if a, err = r.child.ask(opFree); err != nil {
		return 0, a, err
	}
	resident, err = residentOf(r.pid())
	return resident, a, err
}

// memory waits with idle connections and weighs the server.
func (r *run) memory(ctx context.Context, empty int64, before answer) (m Memory, err error) {
	m = Memory{Connections: len(r.crowd.clients), Idle: r.cfg.Idle.Seconds(), Empty: empty}
	w, err := openWindow(r.pid())
	if err != nil {
		return m, err
	}
	if err := pause(ctx, r.cfg.Idle); err != nil {
		return m, err
	}
	if m.Window, err = w.close(); err != nil {
		return m, err
	}
	if err := r.weigh(&m, before); err != nil {
		return m, err
	}
	if k := r.crowd.lost.Load(); k > 0 {
		return m, fmt.Errorf("server ended %d idle connections", k)
	}
	return m, nil
}

// weigh says what each connection added to the empty server.
func (r *run) weigh(m *Memory, before answer) error {
	n := float64(m.Connections)
	grown, err := residentOf(r.pid())
	if err != nil {
		return err
	}
	freed, after, err := r.weighEmpty()
	if err != nil {
		return err
	}
	m.Grown, m.Freed = float64(grown-m.Empty)/n, float64(freed-m.Empty)/n
	m.Heap = (float64(after.Heap) - float64(before.Heap)) / n
	m.Spans = (float64(after.Spans) - float64(before.Spans)) / n
	m.Runtime = (float64(after.Runtime) - float64(before.Runtime)) / n
	m.Stacks = (float64(after.Stacks) - float64(before.Stacks)) / n
	return nil
}

// Channels is what further channels of a connection weigh.
type Channels struct {
	Proxies
	Grown float64 `json:"per_channel"`       // resident bytes
	Freed float64 `json:"per_channel_freed"` // after debug.FreeOSMemory
	Heap  float64 `json:"heap_per_channel"`
	Tip   Tip     `json:"tip"`
}

// channelsOf opens more channels on every connection, weighs them and sends tips.
func (r *run) channelsOf(ctx context.Context, p Proxies) (c Channels, err error) {
	c = Channels{Proxies: p}
	if err := r.warm(ctx); err != nil {
		return c, err
	}
	empty, before, err := r.weighEmpty()
	if err != nil {
		return c, err
	}
	for _, cl := range r.crowd.clients {
		if err := cl.more(ctx, p.Channels-2); err != nil {
			return c, err
		}
	}
	r.channels = p.Connections * p.Channels
	if err := pause(ctx, min(r.cfg.Idle, 10*time.Second)); err != nil {
		return c, err
	}
	grown, err := residentOf(r.pid())
	if err != nil {
		return c, err
	}
	freed, after, err := r.weighEmpty()
	if err != nil {
		return c, err
	}
	n := float64((p.Channels - 2) * p.Connections)
	c.Grown, c.Freed = float64(grown-empty)/n, float64(freed-empty)/n
	c.Heap = (float64(after.Heap) - float64(before.Heap)) / n
	c.Tip, err = r.tip(ctx, 3)
	return c, err
}
