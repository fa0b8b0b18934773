// Package conformance checks any Stratum V2 pool from outside, over TCP and Noise, against numbered
// rules taken from the specification. It knows nothing of the pool's inside: what a server must do at
// its socket is a rule with a Check, what only its own tests can show names those tests, and what does
// not concern a server says why.
//
// The client is its own, on packages noise and sv2, because it has to send what no honest client
// would: broken seals, frames in pieces, lengths that lie. How the rules are run, and the control
// protocol by which a pool under test lets itself be steered, is in docs/sv2-conformance.md.
package conformance
