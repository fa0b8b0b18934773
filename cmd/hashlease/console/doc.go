// Package console is the operator's web page: one live view of pool, power and leases behind a login,
// with /healthz for load balancers and /metrics for Prometheus.
//
// It reads the rooms' copied figures and owns no state of theirs. What it can order, the emergency stop
// of a site and limits from outside, it asks of the governor. What the figures mean, TLS and the listener
// are left to others. Everything that a browser gets is embedded; scripts never build HTML from strings
// that came from a miner, a tenant or a node.
//
// Lock order: view.mu is held while the rooms are read, and nothing else is.
package console
