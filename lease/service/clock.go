package service

import "time"

// maxStep is the jump of the wall clock that is still believed.
const maxStep = 5 * time.Second

// clock makes service time: it never goes back, not even over a restart, and a jump of the
// wall clock that the monotonic clock does not share makes it suspect. A
// suspect clock goes on by monotonic time after a jump forward, and stands still after one back.
//
// It is owned by the loop.
type clock struct {
	wall    func() time.Time
	last    time.Time // service time of the last read
	mono    time.Time // when that was, with the monotonic reading
	seen    time.Time // what the wall clock said then
	suspect bool
}

// newClock starts at the later of the high-water mark and the wall clock. A wall clock that
// is behind the mark at the start is waited for like one that jumped back.
func newClock(wall func() time.Time, high time.Time) *clock {
	if wall == nil {
		wall = time.Now
	}
	c := &clock{wall: wall, mono: time.Now(), seen: wall().Round(0)}
	c.last = c.seen
	if high.After(c.last) {
		c.last = high
		c.suspect = high.Sub(c.seen) > maxStep
	}
	return c
}

// read is service time now, and whether timers may fire and slots may be booked by it.
func (c *clock) read() (time.Time, bool) {
	mono, wall := time.Now(), c.wall().Round(0)
	elapsed := mono.Sub(c.mono)
	jump := wall.Sub(c.seen) - elapsed
	c.mono, c.seen = mono, wall
	if jump > maxStep || jump < -maxStep {
		c.suspect = true
	}
	ahead := wall.Sub(c.last)
	switch {
	case c.suspect && ahead > maxStep+elapsed: // wall ran away: only elapsed time counts
		c.last = c.last.Add(elapsed)
	case ahead < -maxStep: // wall is far behind: stand still until it catches up
		c.suspect = true
	case ahead > 0:
		c.last, c.suspect = wall, false
	default:
		c.suspect = false
	}
	return c.last.UTC(), !c.suspect
}

// accept believes the wall clock as it is, on an operator's word. Time does not go back even so.
func (c *clock) accept() {
	c.mono, c.seen = time.Now(), c.wall().Round(0)
	if c.seen.After(c.last) {
		c.last = c.seen
	}
	c.suspect = c.last.Sub(c.seen) > maxStep
}
