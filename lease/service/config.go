package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/hashlease/hashlease/lease"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/ledger"
	"github.com/hashlease/hashlease/pool/unit"
)

// Stream is the journal's stream of lease events: record n is event n.
const Stream = "leases"

// Curtailer makes room on the feeders and says what it can and did. The governor is one.
//
// SetCaps replaces the whole set; a revision below the newest seen is ignored. Capacity and
// Delivered return what is newer than after, and may wait for it.
type Curtailer interface {
	SetCaps(ctx context.Context, rev fleet.Revision, caps []fleet.Cap) error
	Capacity(ctx context.Context, after uint64) ([]fleet.Capacity, error)
	Delivered(ctx context.Context, after uint64) ([]fleet.Proof, error)
}

// Poster takes entries into the ledger, durably; one that it has already counts as done.
type Poster interface {
	Post(ctx context.Context, entries ...ledger.Entry) error
}

var _ Poster = (*ledger.Entries)(nil)

// Config is what a Service needs to know.
type Config struct {
	Sites []fleet.Site
	Term  uint32    // fencing epoch of this process: caps of a later one win
	Price unit.Msat // a kWh, for new leases; 0: free
	// Penalty is the price of a kWh that a tenant draws beyond what it holds, for new leases.
	Penalty unit.Msat
	Share   int64 // parts in a million of a charge that go to the curtailed workers' account
	Limits  lease.Limits
	Log     *slog.Logger // nil: silent
	// Wall reads the wall clock; nil: time.Now. Elapsed time always comes from the monotonic clock.
	Wall func() time.Time
}

// DefaultConfig is free power on no site.
func DefaultConfig() Config { return Config{Limits: lease.DefaultLimits()} }

// Validate lists every fault.
func (c *Config) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Price < 0 || c.Price > 1e15 {
		fault("price %d msat a kWh: 0 to 1e15 is accepted", int64(c.Price))
	}
	if c.Penalty < 0 || c.Penalty > 1e15 {
		fault("penalty %d msat a kWh: 0 to 1e15 is accepted", int64(c.Penalty))
	}
	if c.Share < 0 || c.Share > million {
		fault("share %d: 0 to %d parts in a million are accepted", c.Share, million)
	}
	if c.Limits.Live < 1 || c.Limits.Retained < c.Limits.Live || c.Limits.Requests < c.Limits.Live {
		fault("limits %+v: at least 1 live lease, and no fewer retained ones and requests, are accepted",
			c.Limits)
	}
	seen := map[fleet.SiteID]bool{}
	for _, s := range c.Sites {
		if seen[s.ID] {
			fault("site %q is there twice", s.ID)
		}
		seen[s.ID] = true
		for _, f := range s.Feeders {
			if f.Site != s.ID {
				fault("feeder %q of site %q says that it is of site %q", f.ID, s.ID, f.Site)
			}
		}
	}
	if _, err := c.book(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// book is an empty book over the sites' feeders.
func (c *Config) book() (*lease.Book, error) {
	var fs []lease.Feeder
	for _, s := range c.Sites {
		for _, f := range s.Feeders {
			fs = append(fs, lease.Feeder{
				ID: lease.FeederID(f.ID), Site: lease.SiteID(s.ID), Notice: f.Notice,
			})
		}
	}
	return lease.NewBook(fs, c.Limits)
}

// Bounds of the loop.
const (
	maxPending  = 4096             // calls that wait for one commit
	maxBatch    = 8192             // events of one commit, before the last command's
	retryAfter  = time.Second      // between tries of a journal, a governor or a ledger that failed
	callTimeout = 10 * time.Second // of one try
	markEvery   = time.Minute      // service time is recorded this often while leases run
	snapEvery   = 4096             // events between snapshots, at least
)
