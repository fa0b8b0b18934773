package service

import "time"

// maxStep is the jump of the wall clock that is still believed.
const maxStep = 5 * time.Second

// clock makes service time: it never goes back, not even over a restart, and a jump of the
// wall clock that the monotonic clock does not share makes it suspect. A
// suspect clock goes on by elapsed time after a jump forward, and stands still after one back until
// the wall clock has caught up. A jump that is taken back is forgotten.
//
// It is owned by the loop.
type clock struct {
	wall    func() time.Time
	last    time.Time // service time of the last read
	mono    time.Time // when that was, with the monotonic reading
	trusted time.Time // what the wall clock said when it was last trusted
	since   time.Time // when that was, with the monotonic reading
	suspect bool
}

// newClock starts at the later of the high-water mark and the wall clock. A wall clock that
// is behind the mark at the start is waited for like one that jumped back.
func newClock(wall func() time.Time, high time.Time) *clock {
	if wall == nil {
		wall = time.Now
	}
	c := &clock{wall: wall, last: high}
	c.accept()
	return c
}

// read is service time now, and whether timers may fire and slots may be booked by it.
func (c *clock) read() (time.Time, bool) {
	mono, wall := time.Now(), c.wall().Round(0)
	expected := c.trusted.Add(mono.Sub(c.since))
	c.mono = mono
	switch {
	case c.last.Sub(wall) > maxStep: // far behind: stand still
		c.suspect = true
	case wall.Sub(expected) > maxStep: // ran away: only elapsed time counts
		c.suspect = true
		c.advance(expected)
	default:
		c.suspect = false
		c.trusted, c.since = wall, mono
		c.advance(wall)
	}
	return c.last.UTC(), !c.suspect
}

func (c *clock) advance(to time.Time) {
	if to.After(c.last) {
		c.last = to
	}
}

// accept believes the wall clock as it is, at the start or on an operator's word. Time does
// not go back even so.
func (c *clock) accept() {
	c.mono, c.trusted = time.Now(), c.wall().Round(0)
	c.since = c.mono
	c.advance(c.trusted)
	c.suspect = c.last.Sub(c.trusted) > maxStep
}
