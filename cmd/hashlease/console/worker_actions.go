package console

import (
	"net/http"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
)

// sleepWorker lets one machine sleep until it is woken by hand, as hashlease device sleep does.
func (c *Console) sleepWorker(w http.ResponseWriter, r *http.Request) error {
	return c.tellWorker(w, r, func(id pool.WorkerID) error {
		return c.read.actions.ceiling(r.Context(), id, governor.Ceiling{Mode: fleet.Paused})
	})
}

// wakeWorker ends what was ordered by hand, as hashlease device wake does.
func (c *Console) wakeWorker(w http.ResponseWriter, r *http.Request) error {
	return c.tellWorker(w, r, func(id pool.WorkerID) error {
		return c.read.actions.wake(r.Context(), id)
	})
}

// releaseWorker lets a quarantined machine take part again, as hashlease worker release does.
func (c *Console) releaseWorker(w http.ResponseWriter, r *http.Request) error {
	return c.tellWorker(w, r, func(id pool.WorkerID) error {
		return c.read.actions.release(r.Context(), id)
	})
}

// tellWorker orders something of the path's worker. A body says nothing here: what it would say is refused.
func (c *Console) tellWorker(
	w http.ResponseWriter, r *http.Request, order func(pool.WorkerID) error,
) error {
	if err := readBody(r, &struct{}{}); err != nil {
		return err
	}
	if err := order(pool.WorkerID(r.PathValue("worker"))); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// Orders that the page offers for a worker.
const (
	offerSleep   = "sleep"
	offerWake    = "wake"
	offerRelease = "release"
)

// offer is what an operator may order of a worker in its present state; empty: nothing. The governor has the
// last word.
func offer(w *governor.WorkerStatus, arm fleet.Arm) string {
	switch {
	case w.Isolated, w.Lying:
		return offerRelease
	case w.Ceiling != nil:
		return offerWake
	case arm == fleet.Act && w.Reachable && !w.Pinned && !w.Kept:
		return offerSleep
	}
	return ""
}
