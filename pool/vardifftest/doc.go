// Package vardifftest simulates miners as what they are, Poisson processes, and sets the pool's
// difficulty rule beside those of others on them. Every run is seeded. The rules of others
// are written from descriptions of their behaviour. It mines nothing and speaks no protocol.
package vardifftest
