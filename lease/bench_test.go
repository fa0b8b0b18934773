package lease_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hashlease/hashlease/lease"
	"github.com/hashlease/hashlease/pool/unit"
)

// BenchmarkAdmission is the whole decision on one slot, best fit over four feeders, with n slots
// booked: mean 12 h over 400 days. "check" only decides, "book" books and cancels.
func BenchmarkAdmission(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		book := bookedBook(b, n)
		rng := rand.New(rand.NewPCG(1, 2))
		commands := make([]lease.Create, 4096)
		for i := range commands {
			commands[i] = randomCreate(rng, 1<<40+i)
			commands[i].Feeder = ""
		}
		b.Run(fmt.Sprintf("check/booked=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := book.Check(commands[i%len(commands)], t0); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("book/booked=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				c := commands[i%len(commands)]
				c.UID = lease.UID(fmt.Sprint("n", i))
				if _, err := book.Step(c, t0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// bookedBook holds n random slots over four feeders.
func bookedBook(b *testing.B, n int) *lease.Book {
	b.Helper()
	var feeders []lease.Feeder
	for i := range 4 {
		feeders = append(feeders, lease.Feeder{ID: feederOf(i), Site: "yard", Notice: time.Minute})
	}
	huge := int(1e9)
	book, err := lease.NewBook(feeders, lease.Limits{Live: huge, Retained: huge, Requests: huge})
	if err != nil {
		b.Fatal(err)
	}
	for i := range feeders {
		c := lease.SetCapacity{Feeder: feederOf(i), Steps: []lease.CapacityStep{{From: t0, Watts: 1e12}}}
		if _, err := book.Step(c, t0); err != nil {
			b.Fatal(err)
		}
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range n {
		if _, err := book.Step(randomCreate(rng, i), t0); err != nil {
			b.Fatal(err)
		}
	}
	return book
}

func feederOf(i int) lease.FeederID { return lease.FeederID(fmt.Sprint("f", i)) }

func randomCreate(rng *rand.Rand, i int) lease.Create {
	start := t0.Add(time.Duration(60+rng.IntN(399*86400)) * time.Second)
	return lease.Create{
		UID: lease.UID(fmt.Sprint("l", i)), Tenant: "acme", Site: "yard", Feeder: feederOf(i % 4),
		Watts: unit.Watts(1+rng.IntN(5000)) * unit.Kilowatt, Start: start,
		End: start.Add(time.Duration(10+rng.IntN(86390)) * time.Second),
	}
}
