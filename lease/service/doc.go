// Package service runs the lease book: one loop owns it, fires its timers by service time,
// journals its events in groups and answers once they are durable. What is claimed goes to
// the governor as one set of caps, what meters prove comes back as commands, what is owed goes
// to the ledger, and every change goes to whoever watches.
//
// After a restart it folds the journal, fires what it missed in order, orders the caps again, and
// only then serves. If the journal fails, nothing is answered as done, the book takes no
// command, and it is rebuilt from the journal once that works again.
//
// The rules of a lease belong to package lease, the wire and keys to lease/leaserpc, and
// power to pool/governor.
package service
