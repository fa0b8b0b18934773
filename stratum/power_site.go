package stratum

import (
	"log/slog"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// Bounds of what an agent may bring.
const (
	maxSites     = 64 // on one connection
	maxSitePower = 1000 * unit.Megawatt
)

// SiteStats is one site behind an agent at one moment.
type SiteStats struct {
	Session uint64
	Site    string // the agent's name for it
	Worker  pool.WorkerID
	Device  Device // the agent
	Since   time.Time
	Report  PowerReport
}

// Sites copies what agents offer and say, in no order.
func (s *Server) Sites() []SiteStats {
	var all []SiteStats
	for _, sh := range s.shards {
		for _, se := range sh.list() {
			all = se.appendSites(all)
		}
	}
	return all
}

func (s *session) appendSites(all []SiteStats) []SiteStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.sites {
		all = append(all, SiteStats{
			Session: s.id, Site: p.site, Worker: p.worker, Device: *s.device, Since: p.since, Report: p.said,
		})
	}
	return all
}

// handleSitePower handles a frame about a site: it belongs to the connection, which needs no channel.
func (s *session) handleSitePower(h sv2.Header, payload []byte, now time.Time) error {
	switch h.Type {
	case sv2.TypeSitePowerHello:
		m, _, err := sv2.DecodeSitePowerHello(payload)
		if err != nil {
			return err
		}
		s.siteHello(m, now)
	case sv2.TypeSetSitePowerTargetSuccess:
		m, _, err := sv2.DecodeSetSitePowerTargetSuccess(payload)
		if unlessOdd(err) != nil {
			return err
		}
		s.settle(s.siteOf(m.Site), m.PowerAnswer, err)
	case sv2.TypeSetSitePowerTargetError:
		m, _, err := sv2.DecodeSetSitePowerTargetError(payload)
		if err != nil {
			return err
		}
		s.settle(s.siteOf(m.Site), sv2.PowerAnswer{Command: m.Command}, refusedOrder(m.Code))
	case sv2.TypeSitePowerReport:
		m, _, err := sv2.DecodeSitePowerReport(payload)
		if err != nil {
			return unlessOdd(err)
		}
		s.report(s.siteOf(m.Site), &m.PowerReading, now)
	}
	return nil
}

// siteOf is the actuator of a site, nil if it said no hello.
func (s *session) siteOf(site string) *powerLink {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sites[site]
}

// siteHello makes an agent the actuator of the worker that its site is to the pool. Who may speak for
// a worker is asked of the Authorizer, as for a channel; whether it does as it says, the meter shows.
func (s *session) siteHello(m sv2.SitePowerHello, now time.Time) {
	refuse := func(code string) { reply(s, sv2.SitePowerHelloError{Site: m.Site, Code: code}) }
	if m.Site == "" || printable(m.Site) != m.Site {
		refuse(sv2.CodePowerSiteRef)
		return
	}
	if code := refuseOffer(m.PowerOffer, maxSitePower); code != "" {
		refuse(code)
		return
	}
	worker, err := s.authorize(m.UserIdentity)
	if err != nil {
		if s.complain() {
			s.srv.log.Info("agent refused",
				slog.String("address", s.device.Address), slog.Any("error", err))
		}
		refuse(sv2.CodeUnknownUser)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause != nil {
		return
	}
	s.dropSiteLocked(m.Site)
	if len(s.sites) >= maxSites {
		sendLocked(s, sv2.SitePowerHelloError{Site: m.Site, Code: sv2.CodePowerTooMany})
		s.flushLocked()
		return
	}
	p := &powerLink{
		session: s, site: m.Site, worker: worker, since: now, limit: maxSitePower,
		capability: capability(m.PowerOffer),
		link:       s.srv.rooms.Registry.Open(worker, func() {}), // there is no difficulty to follow
	}
	if s.sites == nil {
		s.sites = map[string]*powerLink{}
	}
	s.sites[m.Site] = p
	sendLocked(s, sv2.SitePowerHelloAck{Site: m.Site, PowerTerms: s.powerTerms()})
	p.link.SetActuator(p)
	s.flushLocked()
}

// dropSiteLocked forgets a site; nothing more is sent for it. The site keeps its last order.
func (s *session) dropSiteLocked(site string) {
	if p := s.sites[site]; p != nil {
		delete(s.sites, site)
		s.srv.rooms.Registry.Close(p.worker, p.link)
		p.abandon()
	}
}

func (s *session) dropSitesLocked() {
	for site := range s.sites {
		s.dropSiteLocked(site)
	}
}
