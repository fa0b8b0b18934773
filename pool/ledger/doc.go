// Package ledger keeps what is owed and by whom: credited work per worker (Shares),
// found blocks with their outcomes (Blocks) and double-entry money (Entries). Each is a fold
// of journaled records; what it acknowledged is durable.
//
// It leaves deciding what a share is worth to package pool, when a lease is charged and how much to
// lease/service, sending blocks to pool/node, and durability to storage.
//
// Lock order: the gate of a stream before mu. No journal call is made under mu.
package ledger
