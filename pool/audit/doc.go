// Package audit keeps the evidence of what was done about power: an append-only log of every order and of
// every reading that mattered, in which each record is chained to the one before it by SHA-256. From the
// log it works out what a lease, a curtailment, a limit or a month came to, and anybody who has the
// records can check both, offline: Verify needs nothing but the file. docs/audit.md describes every byte.
//
// Noting a record never blocks and never fails for the one who notes it. What could not be kept is counted,
// and the count is a record of the chain.
//
// What happened, and when to say so, belongs to the rooms that note it: pool/governor for the most part.
// Prices of leases and what is owed for them belong to package lease.
//
// Lock order: Log.writeMu before Log.mu. No I/O is done under mu.
package audit
