package lease

import (
	"container/heap"
	"time"
)

// due is what a lease waits for. At one instant ends come first, so that a slot that
// begins where another ends finds its watts; then orders, then starts.
type due struct {
	at   time.Time
	kind dueKind
}

type dueKind uint8

const (
	nothingDue dueKind = iota
	endDue
	orderDue
	startDue
)

// next is what the lease waits for by the clock.
func (l *Lease) next() due {
	switch l.State {
	case Scheduled:
		return due{l.OrderAt, orderDue}
	case Preparing:
		return due{l.Slot.Start, startDue}
	case Active, Degraded:
		return due{l.Slot.End, endDue}
	default:
		return due{}
	}
}

// retime moves the record to its place in the heap.
func (b *Book) retime(r *record) {
	r.due = r.lease.next()
	switch {
	case r.due.kind == nothingDue && r.index >= 0:
		heap.Remove(&b.timers, r.index)
	case r.due.kind == nothingDue:
	case r.index >= 0:
		heap.Fix(&b.timers, r.index)
	default:
		heap.Push(&b.timers, r)
	}
}

// timerHeap orders records by what is due, older leases first.
type timerHeap []*record

func (h timerHeap) Len() int { return len(h) }

func (h timerHeap) Less(i, j int) bool {
	x, y := h[i], h[j]
	if c := x.due.at.Compare(y.due.at); c != 0 {
		return c < 0
	}
	if x.due.kind != y.due.kind {
		return x.due.kind < y.due.kind
	}
	return x.lease.Created < y.lease.Created
}

func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push is for package heap.
func (h *timerHeap) Push(x any) {
	r := x.(*record) //nolint:errcheck // only records are pushed
	r.index = len(*h)
	*h = append(*h, r)
}

// Pop is for package heap.
func (h *timerHeap) Pop() any {
	old := *h
	r := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	r.index = -1
	return r
}
