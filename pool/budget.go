package pool

import (
	"math"
	"sync/atomic"
)

// ShareBudget bounds the shares a second of all channels together. While their wishes sum up to
// less, each has its own; beyond, all are scaled down alike. A fifth is kept for channels that open,
// because they ask for more shares until their hashrate is known. Its methods are safe for
// concurrent use, and a nil budget has no bound.
type ShareBudget struct {
	bound   float64      // immutable: shares a minute
	settled atomic.Int64 // wished by channels whose hashrate is known, in 1/1000 a minute
	opening atomic.Int64 // the same of those that open
	turns   atomic.Uint32
}

const (
	openingPart = 0.2 // of the budget
	budgetBand  = 1.2 // a scale that is nearer to the one in use is not worth a change
	budgetLeast = 1e-3
)

// NewShareBudget bounds channels to so many shares a second.
func NewShareBudget(perSecond float64) *ShareBudget {
	return &ShareBudget{bound: perSecond * 60}
}

// Wished is the sum of what channels would like to send, in shares a second.
func (b *ShareBudget) Wished() float64 {
	if b == nil {
		return 0
	}
	return float64(b.settled.Load()+b.opening.Load()) / 60_000
}

// Scale is what a settled channel gets of its wish: 1 while the budget suffices.
func (b *ShareBudget) Scale() float64 { return float64(b.scale(false)) }

// move adds to the sum of wishes, in shares a minute.
func (b *ShareBudget) move(opening bool, wish float32) {
	if b == nil || wish == 0 {
		return
	}
	sum := &b.settled
	if opening {
		sum = &b.opening
	}
	sum.Add(int64(math.Round(float64(wish) * 1000)))
}

// scale is what a channel gets of its wish.
func (b *ShareBudget) scale(opening bool) float32 {
	if b == nil {
		return 1
	}
	settled, open := float64(b.settled.Load())/1000, float64(b.opening.Load())/1000
	free, sum := b.bound*(1-openingPart), settled
	if opening {
		free, sum = max(b.bound-settled, b.bound*openingPart), open
	}
	if sum <= free {
		return 1
	}
	return float32(max(free/sum, budgetLeast))
}

// turn spreads channels evenly over a minute, in 1/65536 of it.
func (b *ShareBudget) turn() uint16 {
	if b == nil {
		return 0
	}
	return uint16(b.turns.Add(1) * 40503) // the golden ratio
}
