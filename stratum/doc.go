// Package stratum serves miners: it accepts connections, speaks Stratum V2 over Noise, keeps
// sessions and their channels, hands shares to the ledger and acknowledges them once they are
// durable, and carries the in-band power extension.
//
// Judging shares, building jobs and choosing difficulty belong to package pool; bytes to
// stratum/noise and stratum/sv2; what a credit is worth to pool/ledger; whose power is cut
// to pool/fleet and pool/governor. Sessions never hear of leases.
//
// Goroutines: one per connection (its reader), two per shard (one follows the feed and the
// clock, one commits credits), and a short-lived writer for a session whose peer reads too
// slowly. Lock order: session.mu before shard.mu; no I/O that can block under either.
package stratum
