package governor

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/storage"
)

const (
	// provenStream holds what commissionings and dispatches have shown, in the book's journal. Records are
	// changes: a fleet's proofs do not fit into one. A record that begins anew replaces all before it.
	provenStream = "commission"
	// provenChunk is how many workers one record may name.
	provenChunk = 10_000
	// provenRecords is after how many records the stream is written anew.
	provenRecords = 512
	// refreshEvery is how often proofs that dispatches have refreshed are written down.
	refreshEvery = time.Hour
)

// provenRecord is one change.
type provenRecord struct {
	Anew      bool                            `json:"anew,omitempty"`
	Workers   map[pool.WorkerID]int64         `json:"workers,omitempty"` // proven when; 0: not any more
	Responses []Response                      `json:"responses,omitempty"`
	Feeders   map[fleet.FeederID]commissioned `json:"feeders,omitempty"`
}

// commissioned is what is kept of a feeder's last commissioning.
type commissioned struct {
	Begun    bool      `json:"begun,omitempty"` // and not ended: broken off, or under way
	Why      string    `json:"why,omitempty"`   // it stopped
	At       time.Time `json:"at,omitzero"`     // when it was last done
	Findings []Finding `json:"findings,omitempty"`
}

// maxFindings bounds the findings that are kept of a feeder.
const maxFindings = 1000

// loadProven takes over what was shown before the start.
func (g *Governor) loadProven(ctx context.Context) error {
	from, _, err := g.cfg.Journal.Snapshot(ctx, provenStream)
	if err != nil {
		return fmt.Errorf("reading stream %s: %w", provenStream, err)
	}
	err = g.cfg.Journal.Replay(ctx, provenStream, from, func(_ storage.Seq, record []byte) error {
		var p provenRecord
		if err := json.Unmarshal(record, &p); err != nil {
			return err
		}
		g.takeProven(&p)
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading stream %s: %w", provenStream, err)
	}
	return nil
}

func (g *Governor) takeProven(p *provenRecord) {
	if p.Anew {
		clear(g.responses)
		for _, w := range g.workers {
			w.provenAt = time.Time{}
		}
		for _, f := range g.feeders {
			f.commissioned = commissioned{}
		}
	}
	for id, at := range p.Workers {
		if w := g.byWorker[id]; w != nil {
			w.provenAt = time.Time{}
			if at > 0 {
				w.provenAt = time.Unix(at, 0)
			}
		}
	}
	for i := range p.Responses {
		if r := &p.Responses[i]; len(g.responses) < MaxResponses || g.responses[r.ResponseKey] != nil {
			g.responses[r.ResponseKey] = r
		}
	}
	for id, c := range p.Feeders {
		if f := g.byFeeder[id]; f != nil {
			f.commissioned = c
		}
	}
}

// noteProven makes what is known of workers, and of how their kinds answer, durable.
func (g *Governor) noteProven(ctx context.Context, workers []*worker) error {
	p := provenRecord{Workers: map[pool.WorkerID]int64{}}
	kinds := map[ResponseKey]bool{}
	g.mu.Lock()
	for _, w := range workers {
		p.Workers[w.ID] = unixOf(w.provenAt)
		kinds[w.kind()] = true
	}
	for k := range kinds {
		if r := g.responses[k]; r != nil {
			p.Responses = append(p.Responses, r.clone())
		}
	}
	g.mu.Unlock()
	if err := g.appendProven(ctx, &p); err != nil {
		return fmt.Errorf("noting what was proven: %w", err)
	}
	return nil
}

// noteCommission makes a change of a feeder's commissioning durable.
func (g *Governor) noteCommission(ctx context.Context, f *feeder, change func(*commissioned)) error {
	g.mu.Lock()
	next := f.commissioned
	g.mu.Unlock()
	change(&next)
	if len(next.Findings) > maxFindings {
		next.Findings = next.Findings[:maxFindings]
	}
	err := g.appendProven(ctx, &provenRecord{Feeders: map[fleet.FeederID]commissioned{f.ID: next}})
	if err != nil {
		return fmt.Errorf("noting the commissioning: %w", err)
	}
	g.mu.Lock()
	f.commissioned = next
	g.mu.Unlock()
	return nil
}

func unixOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func (r *Response) clone() Response {
	c := *r
	c.Samples = slices.Clone(r.Samples)
	return c
}

// appendProven writes a change, and now and then everything anew.
func (g *Governor) appendProven(ctx context.Context, p *provenRecord) error {
	if g.cfg.Journal == nil {
		return nil
	}
	g.provenMu.Lock()
	defer g.provenMu.Unlock()
	record, err := json.Marshal(p)
	if err != nil {
		return err
	}
	_, err = g.cfg.Journal.Append(ctx, storage.Write{
		Stream: provenStream, Expect: storage.Any, Records: [][]byte{record},
	})
	if err != nil {
		return err
	}
	g.provenWrites++
	if g.provenWrites < provenRecords {
		return nil
	}
	if err := g.writeProvenAnew(ctx); err != nil {
		g.log.Warn("writing proofs anew failed", slog.Any("error", err))
	}
	g.provenWrites = 0
	return nil
}

// writeProvenAnew replaces all records by what they come to.
func (g *Governor) writeProvenAnew(ctx context.Context) error {
	before, err := g.cfg.Journal.Last(ctx, provenStream)
	if err != nil {
		return err
	}
	var records [][]byte
	for _, p := range g.allProven() {
		record, err := json.Marshal(p)
		if err != nil {
			return err
		}
		records = append(records, record)
	}
	if _, err = g.cfg.Journal.Append(ctx, storage.Write{
		Stream: provenStream, Expect: storage.Any, Records: records,
	}); err != nil {
		return err
	}
	if before == 0 { // they are the first
		return nil
	}
	// The snapshot says only where reading begins: records before it are gone, or about to be.
	if err := g.cfg.Journal.PutSnapshot(ctx, provenStream, before, []byte("{}")); err != nil {
		return err
	}
	return g.cfg.Journal.Trim(ctx, provenStream, before)
}

// allProven is everything in records of a bounded size.
func (g *Governor) allProven() []*provenRecord {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := []*provenRecord{{Anew: true, Feeders: map[fleet.FeederID]commissioned{}}}
	for _, f := range g.feeders {
		all[0].Feeders[f.ID] = f.commissioned
	}
	const kindsEach = 100
	for i, k := range slices.Collect(maps.Keys(g.responses)) {
		if i%kindsEach == 0 {
			all = append(all, &provenRecord{})
		}
		last := all[len(all)-1]
		last.Responses = append(last.Responses, g.responses[k].clone())
	}
	n := 0
	for _, w := range g.workers {
		if w.provenAt.IsZero() {
			continue
		}
		if n%provenChunk == 0 {
			all = append(all, &provenRecord{Workers: map[pool.WorkerID]int64{}})
		}
		n++
		all[len(all)-1].Workers[w.ID] = w.provenAt.Unix()
	}
	return all
}

// keepProven writes down what dispatches have refreshed, now and then.
func (g *Governor) keepProven(ctx context.Context, now time.Time) {
	if g.cfg.Journal == nil {
		return
	}
	g.mu.Lock()
	due := now.Sub(g.refreshedAt) >= refreshEvery
	if due {
		g.refreshedAt = now
	}
	changed := g.learnt
	if due {
		g.learnt = false
	}
	g.mu.Unlock()
	if !due || !changed {
		return
	}
	g.provenMu.Lock()
	defer g.provenMu.Unlock()
	if err := g.writeProvenAnew(ctx); err != nil {
		g.log.Warn("keeping what dispatches have shown failed", slog.Any("error", err))
	}
}
