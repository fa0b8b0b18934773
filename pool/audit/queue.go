package audit

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// queue is between those who note and the writer. Putting never waits: what finds no place is counted.
type queue struct {
	wake chan struct{} // capacity 1: full means that a wake is on its way
	most int           // immutable

	mu      sync.Mutex
	records []Record
	missing uint64
	kinds   map[Kind]uint64 // of the missing
	total   uint64          // ever missing
}

func newQueue(most int) *queue {
	return &queue{wake: make(chan struct{}, 1), most: most, kinds: map[Kind]uint64{}}
}

func (q *queue) put(r *Record) {
	q.mu.Lock()
	if len(q.records) >= q.most {
		q.missing++
		q.total++
		q.kinds[r.Kind]++
	} else {
		q.records = append(q.records, *r)
	}
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// keepBuffer is how many records' room is kept after a burst.
const keepBuffer = 4096

// take hands over what waits and what is missing behind it, and goes on in buf.
func (q *queue) take(buf []Record) (records []Record, missing uint64, text string) {
	if cap(buf) > keepBuffer {
		buf = nil
	}
	clear(buf[:cap(buf)]) // no text is kept alive
	q.mu.Lock()
	defer q.mu.Unlock()
	records, missing = q.records, q.missing
	if missing > 0 {
		var said []string
		for _, k := range slices.Sorted(maps.Keys(q.kinds)) {
			said = append(said, fmt.Sprintf("%s %d", k, q.kinds[k]))
		}
		text = strings.Join(said, ", ")
	}
	q.records, q.missing = buf[:0], 0
	clear(q.kinds)
	return records, missing, text
}

func (q *queue) waiting() (n int, lost uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.records), q.total
}
