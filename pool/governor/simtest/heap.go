package simtest

import (
	"container/heap"
	"time"
)

// event is something that happens at an instant.
type event struct {
	at  time.Time
	seq uint64 // events of one instant happen in the order in which they were made
	do  func()
}

// events are what is to come, the next first.
type events []event

var _ heap.Interface = (*events)(nil)

// Len implements heap.Interface.
func (e events) Len() int { return len(e) }

// Less implements heap.Interface.
func (e events) Less(i, j int) bool {
	if !e[i].at.Equal(e[j].at) {
		return e[i].at.Before(e[j].at)
	}
	return e[i].seq < e[j].seq
}

// Swap implements heap.Interface.
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }

// Push implements heap.Interface.
func (e *events) Push(x any) { *e = append(*e, x.(event)) } //nolint:errcheck,forcetypeassert // ours alone

// Pop implements heap.Interface.
func (e *events) Pop() any {
	old := *e
	last := old[len(old)-1]
	old[len(old)-1] = event{}
	*e = old[:len(old)-1]
	return last
}

// at lets something happen at an instant. The caller holds mu.
func (w *world) at(t time.Time, do func()) {
	w.seq++
	heap.Push(&w.events, event{t, w.seq, do})
}

// in lets something happen after a while. The caller holds mu.
func (w *world) in(d time.Duration, do func()) { w.at(time.Now().Add(d), do) }
