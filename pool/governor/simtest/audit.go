package simtest

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/hashlease/hashlease/pool/audit"
)

// openAudit opens the evidence log as a new process does, and lets it write until the process ends.
func (w *world) openAudit(ctx context.Context, s *server) error {
	if w.cfg.Audit == "" {
		return nil
	}
	var err error
	cfg := audit.DefaultConfig(w.cfg.Audit)
	cfg.Gather = 10 * time.Second // of simulated time: writes to a real disk take real time
	if s.audit, err = audit.Open(cfg, time.Now()); err != nil {
		return fmt.Errorf("opening the evidence log: %w", err)
	}
	s.written = make(chan error, 1)
	go func() { s.written <- s.audit.Run(ctx) }() // ends with ctx; awaited by closeAudit
	return nil
}

// closeAudit lets go of the log after its process has ended. What its queue still had is written: the
// queue of a process that is killed is lost, and the chain is whole either way.
func (s *server) closeAudit() error {
	if s.audit == nil {
		return nil
	}
	if err := <-s.written; err != nil {
		return err
	}
	return s.audit.Close(time.Now())
}

// judgeAudit verifies the whole log as somebody does who trusts nobody: chained, complete, signed, and its
// figures what its records come to.
func (w *world) judgeAudit(ctx context.Context) error {
	if w.cfg.Audit == "" {
		return nil
	}
	log, err := audit.Open(audit.DefaultConfig(w.cfg.Audit), time.Now())
	if err != nil {
		return fmt.Errorf("opening the evidence log: %w", err)
	}
	for _, site := range w.sites {
		var bundle bytes.Buffer
		q := audit.Query{Site: site.ID, From: w.began, Until: time.Now().Add(time.Second), Zone: "UTC"}
		if _, err := log.Report(ctx, q, false, &bundle); err != nil {
			w.fail("audit", "site %s: no report: %v", site.ID, err)
			continue
		}
		res, err := audit.Verify(&bundle, audit.Trust{})
		switch {
		case err != nil:
			w.fail("audit", "site %s: %v", site.ID, err)
		case !res.Sealed || res.Skipped > 0 && res.Records == 0:
			w.fail("audit", "site %s: %d records, sealed %v", site.ID, res.Records, res.Sealed)
		}
		w.result.Records += int(res.Records) //nolint:gosec // far below
	}
	return log.Close(time.Now())
}
