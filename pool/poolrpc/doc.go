// Package poolrpc is the operator's gRPC service: shares, blocks, status, curtailment by hand, the
// arming of feeders, open channels, and the operator's word where no meter or clock tells. It
// validates every field, calls the rooms through functions that its Config names, and translates.
//
// Who may call is decided by an interceptor before it; what happens is decided by pool/ledger,
// pool/governor and lease/service behind it.
package poolrpc
