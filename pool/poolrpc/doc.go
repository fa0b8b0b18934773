// Package poolrpc is the operator's gRPC service: shares, blocks, status, curtailment by hand
// and the arming of feeders. It validates every field, calls the rooms through functions that its
// Config names, and translates.
//
// Who may call is decided by an interceptor before it; what happens is decided by pool/ledger and
// pool/governor behind it.
package poolrpc
