package governor

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/storage"
)

const (
	// stableStream holds what each worker was last measured to hash at full power, in the book's journal:
	// its snapshot and the changes since. What a worker that sleeps through a restart would have earned is
	// told by it, and cannot be measured again before it wakes.
	stableStream = "stable"
	// stableChange is by how much of itself a rate has to change to be written anew.
	stableChange = 0.02
	// stableEvery is how often rates of workers that mine freely are written: they can be measured again.
	stableEvery = time.Hour
	// stableChunk is how many workers one record may name.
	stableChunk = 10_000
	// stableWhole is after how many records the stream is written anew.
	stableWhole = 64
)

// rates are hashes a second by worker.
type rates map[pool.WorkerID]float64

// loadStable takes over what was measured before the start.
func (g *Governor) loadStable(ctx context.Context) error {
	from, whole, err := g.cfg.Journal.Snapshot(ctx, stableStream)
	if err == nil && len(whole) > 0 {
		err = g.takeStable(whole)
	}
	if err == nil {
		err = g.cfg.Journal.Replay(ctx, stableStream, from, func(_ storage.Seq, record []byte) error {
			return g.takeStable(record)
		})
	}
	if err != nil {
		return fmt.Errorf("reading stream %s: %w", stableStream, err)
	}
	return nil
}

func (g *Governor) takeStable(record []byte) error {
	var r rates
	if err := json.Unmarshal(record, &r); err != nil {
		return err
	}
	for id, rate := range r {
		if w := g.byWorker[id]; w != nil && rate >= 0 {
			m := &w.measured
			m.stable, m.saved, m.known, m.kept = rate, rate, true, true
		}
	}
	return nil
}

// keepStable makes measured rates durable: of workers that give way at once, of all now and then, or at
// the end.
func (g *Governor) keepStable(ctx context.Context, now time.Time, all bool) {
	if g.cfg.Journal == nil {
		return
	}
	all = all || now.Sub(g.stableAt) >= stableEvery
	if all {
		g.stableAt = now
	}
	changed := g.stableSince(all)
	if len(changed) == 0 {
		return
	}
	if err := g.writeStable(ctx, changed); err != nil {
		g.log.Warn("keeping measured hashrates failed", slog.Any("error", err))
	}
}

// stableSince are the rates that are to be written, in records of a bounded size.
func (g *Governor) stableSince(all bool) (chunks []rates) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for _, w := range g.workers {
		m := &w.measured
		if !m.known || !all && !(w.ordered() && w.reduced()) ||
			math.Abs(m.stable-m.saved) <= stableChange*math.Max(m.stable, m.saved) && m.kept {
			continue
		}
		if n%stableChunk == 0 {
			chunks = append(chunks, rates{})
		}
		n++
		chunks[len(chunks)-1][w.ID] = shortRate(m.stable)
	}
	return chunks
}

// shortRate is a rate to five digits: it is not known any better.
func shortRate(rate float64) float64 {
	short, err := strconv.ParseFloat(strconv.FormatFloat(rate, 'g', 5, 64), 64)
	if err != nil {
		return rate
	}
	return short
}

// writeStable appends what has changed, and now and then replaces all before by what it comes to.
func (g *Governor) writeStable(ctx context.Context, chunks []rates) error {
	var records [][]byte
	for _, c := range chunks {
		record, err := json.Marshal(c)
		if err != nil {
			return err
		}
		records = append(records, record)
	}
	if _, err := g.cfg.Journal.Append(ctx, storage.Write{
		Stream: stableStream, Expect: storage.Any, Records: records,
	}); err != nil {
		return err
	}
	g.mu.Lock()
	for _, c := range chunks {
		for id, rate := range c {
			m := &g.byWorker[id].measured
			m.saved, m.kept = rate, true
		}
	}
	g.mu.Unlock()
	if g.stableWrites++; g.stableWrites%stableWhole > 0 {
		return nil
	}
	return g.foldStable(ctx)
}

// foldStable replaces the stream's records by a snapshot of what is saved.
func (g *Governor) foldStable(ctx context.Context) error {
	last, err := g.cfg.Journal.Last(ctx, stableStream)
	if err != nil {
		return err
	}
	whole := rates{}
	g.mu.Lock()
	for _, w := range g.workers {
		if w.measured.kept {
			whole[w.ID] = w.measured.saved
		}
	}
	g.mu.Unlock()
	state, err := json.Marshal(whole)
	if err != nil {
		return err
	}
	if err := g.cfg.Journal.PutSnapshot(ctx, stableStream, last, state); err != nil {
		return err
	}
	return g.cfg.Journal.Trim(ctx, stableStream, last)
}
