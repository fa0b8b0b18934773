package stratum

import (
	"bytes"
	"errors"
	"syscall"
	"time"

	"github.com/hashlease/hashlease/stratum/sv1"
)

// errLater says that a line was not handled, and that only serve can do that.
var errLater = errors.New("line is left to serve")

// poll judges the shares that have come. All other lines are left to serve, with what follows them: one
// that authorizes asks who that is, and one that is malformed may be waited for to be paid.
func (d *v1) poll() (rests bool) {
	d.polled, d.inPoll = true, 0
	defer func() { d.polled = false }()
	var err error
	for err == nil {
		err = d.in.next(d.pollLine)
	}
	d.flush() // a refusal that no channel gave
	switch {
	case errors.Is(err, errLater):
		return false
	case errors.Is(err, syscall.EAGAIN):
		d.times()
		return d.debt == 0
	}
	d.failed = d.ended(err)
	return false
}

// pollLine handles a line that is a share of an open channel, unless it would have to wait. Names that share
// the connection are known when they are authorized, so that none is asked for here.
func (d *v1) pollLine(line []byte) error {
	d.inPoll++
	if d.inPoll > pollFrames || d.debt > 0 || d.channelID.Load() == 0 || d.shard.full(&d.session) {
		return errLater
	}
	if bytes.IndexByte(line, '\\') >= 0 {
		return errLater // escapes are undone in place, and serve needs the line as it came
	}
	r, err := sv1.ParseRequest(line)
	if err != nil || string(r.Method) != "mining.submit" {
		return errLater // serve answers it
	}
	now := time.Now()
	d.request, d.refused = r, false
	d.submitShare(now)
	d.debt = d.chargeFor(!d.refused, false, now)
	return nil
}
