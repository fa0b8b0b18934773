package devicetest

import (
	"net/http"
	"sync"
	"time"

	"github.com/hashlease/hashlease/pool/device"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// Fault is one way in which a meter fails.
type Fault uint8

// A sound meter; one that answers after Delay; with status 500; with bytes that are no reading; with the
// watts of one moment for ever, at its time; with more bytes than anybody should read; with a redirect.
const (
	Sound Fault = iota
	Slow
	Broken
	Garbage
	Frozen
	Endless
	Elsewhere
)

// HTTPMeter is an http.Handler that answers as a plain HTTP meter does. Its zero value reads 0 W.
type HTTPMeter struct {
	Delay time.Duration // of a Slow meter

	mu     sync.Mutex
	watts  unit.Watts
	energy float64
	since  time.Time // until when energy is counted
	fault  Fault
	frozen fleet.Reading
}

var _ http.Handler = (*HTTPMeter)(nil)

// Set makes the meter show watts from now on.
func (m *HTTPMeter) Set(w unit.Watts) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.readLocked()
	m.watts = w
}

// Fail makes the meter fail from now on; Sound ends it.
func (m *HTTPMeter) Fail(f Fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault, m.frozen = f, m.readLocked()
}

// readLocked counts energy up to now.
func (m *HTTPMeter) readLocked() fleet.Reading {
	now := time.Now()
	if !m.since.IsZero() {
		m.energy += float64(m.watts) * now.Sub(m.since).Seconds()
	}
	m.since = now
	return fleet.Reading{Watts: m.watts, Energy: unit.Joules(m.energy), At: now}
}

// ServeHTTP answers one read.
func (m *HTTPMeter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	reading, fault := m.readLocked(), m.fault
	if fault == Frozen {
		reading = m.frozen
	}
	m.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch fault {
	case Slow:
		wait := time.NewTimer(m.Delay)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-r.Context().Done():
			return
		}
	case Broken:
		http.Error(w, "meter bus timeout", http.StatusInternalServerError)
		return
	case Garbage:
		_, _ = w.Write([]byte(`{"watts": "about ten`))
		return
	case Endless:
		block := make([]byte, 64<<10)
		for i := range block {
			block[i] = ' '
		}
		for {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	case Elsewhere:
		http.Redirect(w, r, "/other", http.StatusFound)
		return
	case Sound, Frozen:
	}
	_, _ = w.Write(device.AppendReading(nil, reading))
}
