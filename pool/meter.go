package pool

import (
	"time"

	"github.com/hashlease/hashlease/pool/unit"
)

const (
	meterSlot  = 10 * time.Second
	meterSlots = 30 // a window of five minutes
)

// meter sums credited work over a sliding window. All times count from the channel's opening.
type meter struct {
	newest int32 // number of the slot that is being filled
	work   [meterSlots]float32
}

// advance clears the slots between the newest one and now. A clock that steps back is
// taken to stand still.
func (m *meter) advance(now time.Duration) {
	slot := int32(now / meterSlot)
	for range min(slot-m.newest, meterSlots) {
		m.newest++
		m.work[m.newest%meterSlots] = 0
	}
	m.newest = max(m.newest, slot)
}

func (m *meter) add(work uint64, now time.Duration) {
	m.advance(now)
	m.work[m.newest%meterSlots] += float32(work)
}

// rate is the work a second over the window, or since the start if that is less long ago; the
// first seconds count as one slot, lest a lucky share look like a giant.
func (m *meter) rate(now time.Duration) unit.Hashrate {
	m.advance(now)
	sum := 0.0
	for _, w := range m.work {
		sum += float64(w)
	}
	age := max(now, meterSlot)
	window := (meterSlots-1)*meterSlot + max(0, now-time.Duration(m.newest)*meterSlot)
	return unit.Hashrate(sum / min(age, window).Seconds())
}
