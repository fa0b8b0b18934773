package console

import (
	"fmt"
	"log/slog"
	"net/http"
	"time"
)

// Bounds of the live streams.
const (
	maxStreams  = 32
	streamEvery = time.Second
	streamWrite = 5 * time.Second // a browser that takes longer for one piece is cut
)

// stream sends the page's parts as server-sent events: each when it has changed, looked at once a second.
// Nothing is queued for a client: what it missed while it was slow it gets as it is now.
// Its goroutine is the request's and ends with it, with the session or with Close.
func (c *Console) stream(w http.ResponseWriter, r *http.Request) {
	defer c.counts.streams.Add(-1)
	if c.counts.streams.Add(1) > maxStreams {
		w.Header().Set("Retry-After", "10")
		http.Error(w, "too many open pages", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("X-Accel-Buffering", "no")
	if r.Method == http.MethodHead {
		return
	}
	secret := c.session(r)
	out := client{w: w, control: http.NewResponseController(w), sent: map[string]uint64{}}
	tick := time.NewTicker(streamEvery)
	defer tick.Stop()
	for {
		if err := out.send(c.frame()); err != nil {
			if r.Context().Err() == nil {
				c.counts.dropped.Add(1)
				c.log.Debug("live page cut", slog.Any("error", err))
			}
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-c.done:
			return
		case <-tick.C:
		}
		if !c.sessions.has(secret, time.Now()) {
			out.say("over", []byte("{}")) //nolint:errcheck // it ends either way
			return
		}
	}
}

// client is one open page. It is owned by its request's goroutine.
type client struct {
	w       http.ResponseWriter
	control *http.ResponseController
	sent    map[string]uint64 // version by part
}

// send writes the parts that the client does not have.
func (cl *client) send(f *frame) error {
	for _, p := range f.parts {
		if cl.sent[p.name] == p.version {
			continue
		}
		if err := cl.say(p.name, p.data); err != nil {
			return err
		}
		cl.sent[p.name] = p.version
	}
	return nil
}

// say writes one event. The data is JSON and so has no line breaks.
func (cl *client) say(name string, data []byte) error {
	// A writer without deadlines is a test's.
	_ = cl.control.SetWriteDeadline(time.Now().Add(streamWrite))
	if _, err := fmt.Fprintf(cl.w, "event: %s\ndata: %s\n\n", name, data); err != nil {
		return fmt.Errorf("writing the event %s: %w", name, err)
	}
	if err := cl.control.Flush(); err != nil {
		return fmt.Errorf("flushing the event %s: %w", name, err)
	}
	return nil
}
