package wal

import (
	"fmt"
	"os"
	"time"
)

// keepRetired is how many segments wait to be used again: more of them, left by a rush, are removed.
const keepRetired = 32

// fullPause is how long no new file is tried after one could not be made: on a full disk each try would fill
// what is left, which others may need more.
const fullPause = time.Second

// poke wakes the keeper.
func (j *Journal) poke() {
	select {
	case j.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// keep makes segments ready ahead, so that a commit never waits for one to be filled.
func (j *Journal) keep() {
	defer close(j.done)
	for {
		select {
		case <-j.stop:
			return
		case <-j.wake:
		}
		j.ready.Lock()
		if j.peekNext() == nil {
			if s, err := j.makeNext(); err == nil { // else the commit that needs it tries again and says why
				j.giveNext(s)
			}
		}
		j.removeRetired()
		j.ready.Unlock()
	}
}

func (j *Journal) peekNext() *segment {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.next
}

// takeNext is the segment after the last one. Only the leader calls it.
func (j *Journal) takeNext() (*segment, error) {
	j.ready.Lock()
	defer j.ready.Unlock()
	j.mu.Lock()
	s := j.next
	j.next = nil
	j.mu.Unlock()
	if s != nil {
		return s, nil
	}
	return j.makeNext()
}

// giveNext keeps a segment as the one after the last.
func (j *Journal) giveNext(s *segment) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.next = s
}

// makeNext makes the segment after the last one: of the oldest retired one if nobody reads it. The caller
// holds ready, and there is no next.
func (j *Journal) makeNext() (*segment, error) {
	j.mu.Lock()
	id := j.active().id + 1
	var old *segment
	if len(j.retired) > 0 && j.retired[0].pins == 0 && j.retired[0].size == j.o.SegmentSize {
		old, j.retired = j.retired[0], j.retired[1:]
	}
	j.mu.Unlock()
	if old != nil {
		return j.makeSegment(id, old)
	}
	if j.full != nil && time.Since(j.fullAt) < fullPause {
		return nil, j.full
	}
	j.removeOdd()
	err := j.room(j.o.SegmentSize)
	var s *segment
	if err == nil {
		s, err = j.makeSegment(id, nil)
	}
	if j.full = err; err != nil {
		j.fullAt = time.Now()
	}
	return s, err
}

// removeRetired removes what is kept beyond the bound. The caller holds ready.
func (j *Journal) removeRetired() {
	j.removeOldest(func() bool { return len(j.retired) > keepRetired })
}

// removeOdd removes retired segments that cannot be used again for their size. The caller holds ready.
func (j *Journal) removeOdd() {
	j.removeOldest(func() bool { return j.retired[0].size != j.o.SegmentSize })
}

// removeOldest removes retired segments, the oldest first so that ids stay without a gap.
func (j *Journal) removeOldest(whileLocked func() bool) {
	for {
		j.mu.Lock()
		if len(j.retired) == 0 || j.retired[0].pins > 0 || !whileLocked() {
			j.mu.Unlock()
			return
		}
		old := j.retired[0]
		j.mu.Unlock()
		if os.Remove(j.path(old)) != nil {
			return // it costs space, no more
		}
		j.mu.Lock()
		j.retired = j.retired[1:]
		j.mu.Unlock()
	}
}

// room refuses what would pass Options.MaxSize.
func (j *Journal) room(more int64) error {
	if j.o.MaxSize == 0 {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	total := more
	for _, list := range [][]*segment{j.segments, j.retired, {j.next}} {
		for _, s := range list {
			if s != nil {
				total += s.size
			}
		}
	}
	if total > j.o.MaxSize {
		return fmt.Errorf("the journal's files would have %d bytes: up to %d are accepted",
			total, j.o.MaxSize)
	}
	return nil
}
