package noise

import "context"

// Stock holds ephemeral keys made ahead, so that a storm of reconnects meets a
// responder that has a third of its work behind it. Each key leaves the stock once.
// An empty stock is no fault: the handshake makes its key itself.
type Stock struct {
	keys chan keypair // bounded; Run blocks when full, take does not block when empty
}

// NewStock makes an empty stock for at most size keys (about 200 bytes each).
func NewStock(size int) *Stock {
	return &Stock{keys: make(chan keypair, max(size, 1))}
}

// Run keeps the stock full until ctx ends, and returns nil then.
func (s *Stock) Run(ctx context.Context) error {
	for {
		k, err := newKeypair()
		if err != nil {
			return err
		}
		select {
		case s.keys <- k:
		case <-ctx.Done():
			return nil
		}
	}
}

// Len is how many keys are ready.
func (s *Stock) Len() int { return len(s.keys) }

func (s *Stock) take() (keypair, bool) {
	select {
	case k := <-s.keys:
		return k, true
	default:
		return keypair{}, false
	}
}
