package console

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/hashlease/hashlease/lease"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/node"
	"github.com/hashlease/hashlease/stratum"
)

// openMetrics registers what /metrics exports.
func (c *Console) openMetrics() error {
	c.metrics = prometheus.NewRegistry()
	return errors.Join(
		c.metrics.Register(collector{c}),
		c.metrics.Register(collectors.NewGoCollector()),
		c.metrics.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})),
	)
}

// serveMetrics lets a session through, or "Authorization: Bearer" with the admin key.
func (c *Console) serveMetrics(w http.ResponseWriter, r *http.Request) {
	if c.session(r) == "" && !c.bearer(r) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="hashlease"`)
		http.Error(w, "the admin key is needed: Authorization: Bearer KEY is accepted",
			http.StatusUnauthorized)
		return
	}
	promhttp.HandlerFor(c.metrics, promhttp.HandlerOpts{MaxRequestsInFlight: 4}).ServeHTTP(w, r)
}

// bearer says whether the request has the admin key. A wrong one counts as a failed login.
func (c *Console) bearer(r *http.Request) bool {
	scheme, key, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	now, source := time.Now(), sourceOf(r)
	if !ok || !strings.EqualFold(scheme, "bearer") || len(key) > maxKey || !c.attempts.may(source, now) {
		return false
	}
	if c.cfg.AdminKey(strings.TrimSpace(key)) {
		return true
	}
	c.counts.refused.Add(1)
	c.attempts.failed(source, now)
	return false
}

// collector reads the rooms when it is asked. Its labels are names from the configuration and fixed
// words; no worker, tenant or device is a label.
type collector struct{ c *Console }

// Describe sends nothing: the metrics are not checked before they are there.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect sends one look at all rooms.
func (m collector) Collect(out chan<- prometheus.Metric) {
	f, s := m.c.frame(), sink{out}
	s.stratum(f)
	s.node(f)
	s.ledger(f)
	s.leases(f)
	s.power(f)
	own := m.c.Stats()
	s.gauge("console_sessions", "Logged-in sessions.", float64(own.Sessions))
	s.gauge("console_streams", "Open live pages.", float64(own.Streams))
	s.count("console_logins_total", "Logins.", own.Logins)
	s.count("console_refused_total", "Refused logins.", own.Refused)
	s.count("console_dropped_total", "Live pages cut because they read too slowly.", own.Dropped)
}

// sink writes metrics.
type sink struct{ out chan<- prometheus.Metric }

// send writes one metric. Labels are pairs of name and value.
func (s sink) send(name, help string, kind prometheus.ValueType, v float64, labels ...string) {
	var names, values []string
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, strings.ToValidUTF8(labels[i+1], "?"))
	}
	d := prometheus.NewDesc("hashlease_"+name, help, names, nil)
	metric, err := prometheus.NewConstMetric(d, kind, v, values...)
	if err != nil {
		metric = prometheus.NewInvalidMetric(d, err)
	}
	s.out <- metric
}

func (s sink) gauge(name, help string, v float64, labels ...string) {
	s.send(name, help, prometheus.GaugeValue, v, labels...)
}

func (s sink) count(name, help string, v uint64, labels ...string) {
	s.send(name, help, prometheus.CounterValue, float64(v), labels...)
}

func (s sink) flag(name, help string, v bool, labels ...string) {
	n := 0.0
	if v {
		n = 1
	}
	s.gauge(name, help, n, labels...)
}

func (s sink) stratum(f *frame) {
	st := &f.stratum
	s.gauge("stratum_sessions", "Connections of miners.", float64(st.Sessions))
	s.gauge("stratum_channels", "Open mining channels.", float64(st.Channels))
	s.gauge("stratum_hashrate_hashes_per_second", "Measured hashrate, not multiplied by any scale.",
		float64(st.Hashrate))
	s.count("stratum_handshakes_total", "Connections that began to speak Stratum V1 or V2.", st.Handshakes)
	s.count("stratum_handshakes_failed_total",
		"Connections that ended before: what came was no handshake, or of a dialect that the port has not.",
		st.HandshakesFailed)
	s.count("stratum_connections_refused_total", "Connections over a bound.", st.ConnectionsRefused)
	s.count("stratum_shares_submitted_total", "Shares read.", st.Submitted)
	s.count("stratum_shares_accepted_total", "Shares found valid.", st.Accepted)
	s.count("stratum_shares_durable_total", "Valid shares in the journal.", st.Durable)
	s.count("stratum_shares_acknowledged_total", "Durable shares acknowledged on the wire.", st.Acknowledged)
	s.count("stratum_blocks_total", "Shares that were blocks.", st.Blocks)
	s.gauge("stratum_named_workers", "Workers behind proxies that are known by name.", float64(st.Names))
	s.count("stratum_shares_unnamed_total", "Shares without the name that was agreed on.", st.SharesUnnamed)
	s.count("stratum_shares_crowded_total", "Shares credited to their proxy: no place for the name.",
		st.SharesCrowded)
	s.count("stratum_names_refused_total", "Names behind proxies that may not mine.", st.NamesRefused)
	for reason, n := range st.Rejected {
		s.count("stratum_shares_rejected_total", "Refused shares.", n, "reason", reason)
	}
	s.ports(st.Ports)
	s.latency("stratum_tip_to_last_job_seconds", "From a new round to the last session's job.",
		st.TipToLastJob)
	s.latency("stratum_share_to_ack_seconds", "From a share to its acknowledgement.", st.ShareToAck)
}

// ports sends the connections of each port. Several may be configured by the same words, as :0; a series that
// came twice would cost the whole answer.
func (s sink) ports(all []stratum.PortStats) {
	type series struct {
		port    string
		dialect stratum.Dialect
	}
	live, opened, failed := map[series]int64{}, map[series]uint64{}, map[string]uint64{}
	for i := range all {
		p := &all[i]
		failed[p.Name] += p.Failed
		for d, n := range p.Live {
			live[series{p.Name, d}] += n
			opened[series{p.Name, d}] += p.Opened[d]
		}
	}
	for k, n := range live {
		labels := []string{"port", k.port, "dialect", k.dialect.String()}
		s.gauge("stratum_port_connections", "Connections of miners on a port.", float64(n), labels...)
		s.count("stratum_port_connections_total", "Connections that came to speak Stratum.", opened[k],
			labels...)
	}
	for port, n := range failed {
		s.count("stratum_port_connections_failed_total", "Connections that never came to speak Stratum.", n,
			"port", port)
	}
}

func (s sink) latency(name, help string, l stratum.Latency) {
	s.gauge(name, help, l.P50.Seconds(), "quantile", "0.5")
	s.gauge(name, help, l.P99.Seconds(), "quantile", "0.99")
	s.gauge(name, help, l.Max.Seconds(), "quantile", "1")
}

func (s sink) node(f *frame) {
	s.flag("node_ready", "Whether there is work for miners.", f.work.Phase == node.Ready)
	for _, n := range f.nodes {
		s.flag("node_up", "Whether a node is ready.", n.State.Phase == node.Ready, "node", n.Name)
	}
	s.gauge("node_height_blocks", "Height of the block being mined.", float64(f.watch.Height))
	s.count("node_rounds_total", "Rounds published.", f.watch.Rounds)
	s.count("node_blocks_found_total", "Blocks sent to the nodes.", f.relay.Found)
	s.count("node_blocks_accepted_total", "Blocks that a node took.", f.relay.Accepted)
	s.count("node_blocks_refused_total", "Blocks that every node refused.", f.relay.Refused)
	s.count("node_blocks_resent_total", "Blocks sent again.", f.relay.Resent)
	s.gauge("node_blocks_pending", "Blocks without an outcome.", float64(f.relay.Pending))
}

func (s sink) ledger(f *frame) {
	s.gauge("ledger_workers", "Workers ever credited.", float64(f.shares.Workers))
	s.count("ledger_shares_total", "Shares credited since the start.", f.shares.Shares)
	s.count("ledger_credits_total", "Durable batches of credits.", f.shares.Credits)
	s.count("ledger_credits_failed_total", "Batches that could not be written.", f.shares.Refused)
	s.gauge("ledger_unbooked_records", "Records that no slice covers.", float64(f.shares.Unbooked))
	s.count("ledger_slices_total", "Slices written to the book.", f.shares.Slices)
	s.count("ledger_slices_failed_total", "Slices that failed.", f.shares.Failures)
	s.gauge("ledger_blocks_found", "Blocks ever found.", float64(f.blockStats.Found))
	s.gauge("ledger_blocks_accepted", "Accepted ones of the blocks that are kept.",
		float64(f.blockStats.Accepted))
}

func (s sink) leases(f *frame) {
	b := &f.book
	for _, st := range lease.States() {
		s.gauge("lease_leases", "Leases in the book.", float64(b.Leases[st]), "state", st.String())
	}
	s.gauge("lease_watchers", "Open watches.", float64(b.Watchers))
	s.gauge("lease_owed", "Charges that are not in the ledger yet.", float64(b.Owed))
	s.count("lease_commits_total", "Commits of the book.", b.Commits)
	s.count("lease_append_errors_total", "Commits that failed.", b.AppendErrors)
	s.count("lease_refused_total", "Refused commands.", b.Refused)
	s.count("lease_caps_total", "Sets of caps ordered.", b.CapsSent)
	s.count("lease_caps_failed_total", "Sets of caps that the governor refused.", b.CapsFailed)
	s.count("lease_posted_total", "Charges posted.", b.Posted)
	s.count("lease_posts_failed_total", "Charges that could not be posted.", b.PostsFailed)
	s.flag("lease_read_only", "Whether the book takes no commands after a failed commit.", b.ReadOnly)
	s.flag("lease_clock_suspect", "Whether the clock jumped.", b.ClockSuspect)
}

func (s sink) power(f *frame) {
	p := &f.power
	s.flag("governor_ready", "Whether it knows what tenants hold.", p.Ready)
	s.count("governor_orders_total", "Setpoints that left for devices.", p.Orders)
	s.count("governor_refreshes_total", "Setpoints told again.", p.Refreshes)
	s.count("governor_failures_total", "Setpoints that could not be sent.", p.Failures)
	for _, site := range p.Sites {
		for i := range site.Feeders {
			s.feeder(f.at, string(site.ID), &site.Feeders[i])
		}
		for i := range site.Branches {
			s.branch(string(site.ID), &site.Branches[i])
		}
		s.flag("governor_site_stopped", "Whether an emergency stop is in force.", site.Stop != nil,
			"site", string(site.ID))
		s.price(string(site.ID), &site.Price)
	}
}

// price sends what power costs at a site, where that is configured.
func (s sink) price(site string, p *governor.PriceStatus) {
	if !p.Known {
		return
	}
	s.gauge("governor_tariff_msat_per_kwh", "What power costs now.", float64(p.Price), "site", site)
	s.gauge("governor_workers_stopped_by_price", "Workers that power costs more than they earn.",
		float64(p.Stopped), "site", site)
	s.gauge("governor_saved_msat_per_hour", "What stopping them saves.", float64(p.Saved), "site", site)
	s.flag("governor_price_feed_lost", "Whether a price feed is configured and does not count.",
		p.FeedFault != "", "site", site)
}

// machines counts those that have interfaces of their own.
func (s sink) machines(f *governor.FeederStatus, labels []string) {
	v := devicesOf(f)
	for _, m := range []struct {
		name, help string
		n          int
	}{
		{"", "Machines that are asked on interfaces of their own.", v.Own},
		{"_silent", "... those that did not answer the last time.", v.Silent},
		{"_elsewhere", "... those without a session here.", v.Elsewhere},
		{"_escaped", "... those whose session is gone while they hash elsewhere.", v.Escaped},
		{"_stray", "... those that do other than ordered by their own word.", v.Strays},
		{"_backups", "... those that have backup pools.", v.Backups},
	} {
		s.gauge("governor_devices"+m.name, m.help, float64(m.n), labels...)
	}
	s.gauge("governor_workers_by_hand", "Workers that an operator holds down.", float64(v.ByHand), labels...)
}

func (s sink) feeder(now time.Time, site string, f *governor.FeederStatus) {
	labels := []string{"site", site, "feeder", string(f.ID)}
	for _, w := range []struct {
		name, help string
		watts      float64
	}{
		{"limit", "Limit.", float64(f.Limit)},
		{"total", "Metered power.", float64(f.Total)},
		{"mining", "Metered power of mining.", float64(f.Mining)},
		{"base", "Base load.", float64(f.Base)},
		{"tenant", "Metered power of tenants.", float64(f.Tenant)},
		{"claimed", "What tenants hold or draw.", float64(f.Claimed)},
		{"bound", "What mining may draw.", float64(f.Bound)},
		{"ordered", "What the orders lead to.", float64(f.Ordered)},
		{"headroom", "What tenants can be sold at most.", float64(f.Headroom.Firm)},
		{"excess", "Mining beyond what the orders explain.", float64(f.Excess)},
	} {
		s.gauge("governor_"+w.name+"_watts", w.help, w.watts, labels...)
	}
	s.gauge("governor_workers", "Workers.", float64(len(f.Workers)), labels...)
	s.gauge("governor_workers_curtailed", "Workers below full power by order.",
		float64(f.Curtailed), labels...)
	s.gauge("governor_workers_unknown", "Workers counted in full for want of knowledge.",
		float64(f.Unknown), labels...)
	s.gauge("governor_workers_stuck", "Workers that do not do as ordered.", float64(f.Stuck), labels...)
	s.gauge("governor_workers_lying", "Workers that say they are down and hash as before.",
		float64(f.Lying), labels...)
	s.gauge("governor_workers_quarantined", "Workers that are left alone because others set them.",
		float64(f.Isolated), labels...)
	s.machines(f, labels)
	s.flag("governor_meters_fresh", "Whether no reading is stale.", f.Fresh, labels...)
	for _, m := range f.Meters {
		s.flag("governor_meter_ok", "Whether a meter is fresh and consistent with its counter.",
			m.State == governor.MeterOK, append(labels[:4:4], "meter", m.Name)...)
	}
	s.gauge("governor_workers_counted", "Workers that headroom counts on.",
		float64(f.Headroom.Counted), labels...)
	s.gauge("governor_notice_seconds", "From the first order to the meter's proof, as it is sold.",
		f.Headroom.Notice.Seconds(), labels...)
	s.gauge("governor_commission_findings", "What the last commissioning found wrong.",
		float64(len(f.Headroom.Findings)), labels...)
	s.gauge("governor_overruns", "Tenants that draw more than they hold.",
		float64(len(f.Overruns)), labels...)
	if !f.ReadingAt.IsZero() {
		s.gauge("governor_reading_age_seconds", "Age of the oldest reading.",
			now.Sub(f.ReadingAt).Seconds(), labels...)
	}
}
