package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/hashlease/hashlease/cmd/hashlease/console"
	"github.com/hashlease/hashlease/pool/audit"
	"github.com/hashlease/hashlease/pool/poolrpc"
)

// auditDir is the evidence log's in the storage directory.
const auditDir = "audit"

// openAudit opens the evidence log. The caller has the book open, so nobody else serves here.
func (s *server) openAudit() (err error) {
	cfg := audit.DefaultConfig(filepath.Join(s.cfg.Path(s.cfg.Storage.Dir), auditDir))
	cfg.Log, cfg.Version, cfg.Keep = s.log, programVersion(), s.cfg.Storage.AuditMonths
	cfg.Queue = min(max(cfg.Queue, 8*len(s.cfg.Workers)), 1<<22)
	if s.audit, err = audit.Open(cfg, time.Now()); err != nil {
		return fmt.Errorf("opening the evidence log: %w", err)
	}
	s.closers = append(s.closers, func() error { return s.audit.Close(time.Now()) })
	return nil
}

// report writes the file of a report.
func (s *server) report(ctx context.Context, w poolrpc.ReportWish, to io.Writer) error {
	q, err := s.query(w)
	if err != nil {
		return err
	}
	_, err = s.audit.Report(ctx, q, !w.Records, to)
	return err
}

// consoleReport is report for the console.
func (s *server) consoleReport(ctx context.Context, w console.ReportWish, to io.Writer) error {
	wish := poolrpc.ReportWish{Site: w.Site, Claim: w.Claim, Month: w.Month, Records: true}
	return s.report(ctx, wish, to)
}

// query is what is asked for in the words of the log. Months are the site's own.
func (s *server) query(w poolrpc.ReportWish) (audit.Query, error) {
	q := audit.Query{Site: w.Site, Claim: w.Claim, Limit: w.Limit, From: w.From, Until: w.Until}
	sites, _, err := s.cfg.Fleet()
	if err != nil {
		return q, err
	}
	zone := time.UTC
	found := false
	for i := range sites {
		if sites[i].ID == w.Site {
			found = true
			if sites[i].Zone != nil {
				zone = sites[i].Zone
			}
		}
	}
	if !found {
		return q, poolrpc.As(poolrpc.ErrUnknown, fmt.Errorf("there is no site %q", w.Site))
	}
	q.Zone = zone.String()
	if w.Month != "" {
		if q.From, err = time.ParseInLocation("2006-01", w.Month, zone); err != nil {
			return q, err
		}
		q.Until = q.From.AddDate(0, 1, 0)
	}
	return q, nil
}
