package fleet

// Evidence says how far an order is known to have taken effect. Each step is
// stronger than the one before; only MeterConfirmed counts towards a lease.
type Evidence uint8

// Steps of evidence: nothing ordered, order sent, device agreed, its hashrate
// follows in our own shares, it says so itself, the feeder's meter shows it.
const (
	NoOrder Evidence = iota
	Requested
	Acknowledged
	HashDown
	WattsDown
	MeterConfirmed
)

// String is the step in words.
func (e Evidence) String() string {
	words := [...]string{"none", "requested", "acknowledged", "hash down", "watts down", "meter confirmed"}
	if int(e) >= len(words) {
		return "unknown"
	}
	return words[e]
}
