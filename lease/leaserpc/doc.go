// Package leaserpc serves tenants over gRPC: leases, capacity and their changes as they happen. It knows
// who calls (API keys, of which only hashes are held), what each key may do and
// how often, checks every field, and answers refusals with typed details. Its interceptors guard
// every service of the same gRPC server, the operator's too.
//
// What a lease is belongs to package lease, how it is kept to lease/service.
package leaserpc
