package pool_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/hashlease/hashlease/pool"
)

// Ensure that a subscriber is woken once for any number of rounds and then sees the newest.
func TestFeed_NewestWins(t *testing.T) {
	f := pool.NewFeed()
	if f.Current() != nil {
		t.Fatal("a new feed has a round")
	}
	early, cancel := f.Subscribe()
	defer cancel()
	if len(early) != 0 {
		t.Fatal("woken without a round")
	}
	for i := range uint64(3) {
		f.Publish(&pool.Round{Seq: i + 1})
	}
	late, cancelLate := f.Subscribe()
	for _, wake := range []<-chan struct{}{early, late} {
		<-wake
		if len(wake) != 0 || f.Current().Seq != 3 {
			t.Errorf("%d wakes left, round %d", len(wake), f.Current().Seq)
		}
	}
	cancelLate()
	cancelLate()
	f.Publish(&pool.Round{Seq: 4})
	if len(early) != 1 || len(late) != 0 {
		t.Errorf("%d and %d wakes after one was cancelled", len(early), len(late))
	}
}

// Ensure that every subscriber sees the last round while others come and go.
func TestFeed_IsSafeForConcurrentUse(t *testing.T) {
	f := pool.NewFeed()
	const rounds = 1000
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			wake, cancel := f.Subscribe()
			defer cancel()
			for range wake {
				_, other := f.Subscribe()
				other()
				if f.Current().Seq == rounds {
					return
				}
			}
		})
	}
	for i := range uint64(rounds) {
		f.Publish(&pool.Round{Seq: i + 1})
	}
	wg.Wait()
}

// Rounds in between may be missed, the newest is not.
func ExampleFeed() {
	f := pool.NewFeed()
	wake, cancel := f.Subscribe()
	defer cancel()
	f.Publish(&pool.Round{Seq: 1})
	f.Publish(&pool.Round{Seq: 2})
	<-wake
	fmt.Println(f.Current().Seq)
	// Output: 2
}
