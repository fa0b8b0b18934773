// Package inventory remembers the machines that were found at sites, and says which of them is which
// worker. What was found is durable when Note returns: one record a machine in stream "inventory" of the
// book's journal, with a snapshot when many have piled up. Matching is pure.
//
// Finding machines, and what their interfaces say, belongs to pool/device. An inventory gives no orders: a
// machine takes part once the configuration names it as a worker.
package inventory
