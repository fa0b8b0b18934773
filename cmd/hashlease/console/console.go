package console

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// How long access lasts, and how much of it there may be at one time.
const (
	linkLife    = 15 * time.Minute
	sessionLife = 12 * time.Hour
	maxLinks    = 64
	maxSessions = 64
)

// Console serves the page. Make it with New; it starts no goroutine of its own.
type Console struct {
	// immutable after New
	cfg     Config
	log     *slog.Logger
	read    reader
	handler http.Handler
	metrics *prometheus.Registry
	started time.Time
	done    chan struct{} // closed by Close: streams end
	over    sync.Once

	links    *tokens
	sessions *tokens
	attempts *attempts
	view     view
	counts   counters
}

// counters are the console's own; all atomic, because every request counts.
type counters struct {
	streams atomic.Int64 // open now
	logins  atomic.Uint64
	refused atomic.Uint64 // wrong keys and links, and attempts over the rate
	dropped atomic.Uint64 // streams whose reader was too slow
}

// Stats are the console's own figures.
type Stats struct {
	Sessions int
	Streams  int
	Logins   uint64
	Refused  uint64 // wrong keys and links, and attempts over the rate
	Dropped  uint64 // streams whose reader was too slow
}

// New makes a console over running rooms.
func New(cfg Config) (*Console, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configuring the console: %w", err)
	}
	return newConsole(cfg, roomsOf(&cfg))
}

// newConsole makes a console over anything that can be read like the rooms.
func newConsole(cfg Config, r reader) (*Console, error) {
	if err := cfg.validateAccess(); err != nil {
		return nil, fmt.Errorf("configuring the console: %w", err)
	}
	cfg.Scale = cmp.Or(cfg.Scale, 1)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &Console{
		cfg: cfg, log: cfg.Log, read: r, started: time.Now(), done: make(chan struct{}),
		links: newTokens(maxLinks, linkLife), sessions: newTokens(maxSessions, sessionLife),
		attempts: newAttempts(),
	}
	if err := c.openMetrics(); err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	h, err := c.routes()
	if err != nil {
		return nil, fmt.Errorf("reading the embedded files: %w", err)
	}
	c.handler = h
	return c, nil
}

// Handler serves everything of the console.
func (c *Console) Handler() http.Handler { return c.handler }

// LoginURL is a link that logs its first user in, within 15 minutes. base is the console's address
// as a browser reaches it: https://host:port.
func (c *Console) LoginURL(base string) string {
	return base + "/login?link=" + c.links.issue(time.Now())
}

// Close ends the live streams, so that a server that shuts down does not wait for browsers.
func (c *Console) Close() { c.over.Do(func() { close(c.done) }) }

// Stats copies the console's own figures.
func (c *Console) Stats() Stats {
	return Stats{
		Sessions: c.sessions.count(time.Now()), Streams: int(c.counts.streams.Load()),
		Logins: c.counts.logins.Load(), Refused: c.counts.refused.Load(), Dropped: c.counts.dropped.Load(),
	}
}
