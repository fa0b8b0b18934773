package testpool

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/stratum"
	"github.com/hashlease/hashlease/stratum/conformance"
)

// handler serves the control protocol.
func (p *Pool) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.offer)
	mux.HandleFunc("GET /blocks", func(w http.ResponseWriter, _ *http.Request) {
		p.found.Lock()
		defer p.found.Unlock()
		answer(w, append([]string{}, p.found.hashes...))
	})
	post := func(verb string, do func(r *http.Request) error) {
		mux.HandleFunc("POST /"+verb, func(w http.ResponseWriter, r *http.Request) {
			if err := do(r); err != nil {
				http.Error(w, err.Error(), http.StatusConflict)
				return
			}
			w.WriteHeader(http.StatusNoContent)
		})
	}
	post(conformance.VerbTip, func(*http.Request) error { return p.publish(p.block()) })
	post(conformance.VerbTemplate, func(*http.Request) error { return p.publish(p.again()) })
	post(conformance.VerbRotate, func(*http.Request) error { return p.rotate() })
	post(conformance.VerbDrain, func(r *http.Request) error { return p.drain(r.Context()) })
	post(conformance.VerbExpect, p.expect)
	post(conformance.VerbPrefix, func(r *http.Request) error {
		return p.each(r, func(s *stratum.Server, c *stratum.ChannelStats) error {
			return s.SetPrefix(c.Session, c.Channel)
		})
	})
	post(conformance.VerbGroup, func(r *http.Request) error {
		p.mu.Lock()
		p.payouts++
		to := pool.Payout{Script: fmt.Sprintf("\x51%d", p.payouts)}
		p.mu.Unlock()
		return p.each(r, func(s *stratum.Server, c *stratum.ChannelStats) error {
			return s.SetPayout(c.Session, c.Channel, to)
		})
	})
	return mux
}

// offer says what the control can do and how long the server waits.
func (p *Pool) offer(w http.ResponseWriter, _ *http.Request) {
	ms := func(d time.Duration) int64 { return d.Milliseconds() }
	answer(w, conformance.Control{
		Verbs: []string{
			conformance.VerbTip, conformance.VerbTemplate, conformance.VerbRotate,
			conformance.VerbDrain, conformance.VerbExpect, conformance.VerbBlocks,
			conformance.VerbPrefix, conformance.VerbGroup,
		},
		Timeouts: map[string]int64{
			conformance.WaitHandshake: ms(p.cfg.HandshakeTimeout),
			conformance.WaitOpen:      ms(p.cfg.OpenTimeout),
			conformance.WaitAck:       ms(p.cfg.AckAfter),
		},
	})
}

// expect orders another hashrate of a worker.
func (p *Pool) expect(r *http.Request) error {
	var m conformance.Expectation
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
		return fmt.Errorf("decoding the request: %w", err)
	}
	links := slices.Clone(p.registry.Links(pool.WorkerID(m.Worker)))
	if len(links) == 0 {
		return fmt.Errorf("worker %q has no channel", m.Worker)
	}
	for _, l := range links {
		l.Expect(fleet.Expectation{Hashrate: unit.Hashrate(m.Hashrate)})
	}
	return nil
}

// each changes the channels of the named workers.
func (p *Pool) each(r *http.Request, do func(*stratum.Server, *stratum.ChannelStats) error) error {
	var m conformance.Workers
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
		return fmt.Errorf("decoding the request: %w", err)
	}
	p.mu.Lock()
	s := p.server
	p.mu.Unlock()
	names := append(m.Workers, m.Worker)
	changed := 0
	for _, c := range s.Channels() {
		_, last, _ := strings.Cut(string(c.Worker), ".")
		meant := func(name string) bool {
			return name == string(c.Worker) || strings.HasSuffix(name, "/"+last)
		}
		if !slices.ContainsFunc(names, meant) {
			continue
		}
		if err := do(s, &c); err != nil {
			return err
		}
		changed++
	}
	if changed == 0 {
		return fmt.Errorf("none of the workers %q has a channel", names)
	}
	return nil
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the asker has gone away if it fails
}
