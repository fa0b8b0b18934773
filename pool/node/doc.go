// Package node talks to bitcoin nodes: it takes templates from btcd or Bitcoin
// Core and gives them solved blocks.
//
// Btcd and Core follow one node each. Relay joins several: templates come from
// the first one that is ready, blocks go to all of them at once and to a spool
// on disk. Watch turns templates into rounds for the miners. Child builds and
// starts a btcd of our own for the demo and for tests.
//
// What a node says is checked before it is believed: a template with a wrong
// field is an error that names the field, never a job.
//
// The package leaves coinbases and jobs to package pool, and what a found block is
// worth to pool/ledger, which it reaches through the small Blocks interface only.
//
// Lock order: the mu of a Relay or a follower, then that of its board.
package node
