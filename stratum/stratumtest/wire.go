package stratumtest

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashlease/hashlease/stratum/noise"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// writeTimeout is for one write: the kernel's buffer takes hundreds of messages, a full one is a dead peer.
const writeTimeout = 2 * time.Second

// wire is the sending side of a connection.
type wire struct {
	conn *noise.Conn

	mu     sync.Mutex
	plain  []byte // guarded by mu: scratch
	sealed []byte // guarded by mu: scratch
	broken bool   // guarded by mu
}

// send writes one message. A failed write breaks the connection, which the reader then notices.
func (w *wire) send(msg sv2.Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sendLocked(msg)
}

func (w *wire) sendLocked(msg sv2.Message) {
	if w.broken {
		return
	}
	w.plain = msg.AppendFrame(w.plain[:0])
	w.sealed = w.conn.AppendFrame(w.sealed[:0], w.plain)
	_ = w.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := w.conn.Conn.Write(w.sealed); err != nil {
		w.broken = true
		_ = w.conn.Close()
	}
}

// minReport is the shortest period of reports that a device agrees to.
const minReport = 100 * time.Millisecond

// reporter tells at the agreed period what a device observes.
type reporter struct {
	power *obedience             // immutable
	tell  func(sv2.PowerReading) // immutable

	mu     sync.Mutex
	period time.Duration // guarded by mu; 0: silent
	timer  *time.Timer   // guarded by mu
	seq    uint32        // guarded by mu
}

// start reports every period from now on; 0 ends it.
func (r *reporter) start(period time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.timer != nil {
		r.timer.Stop()
	}
	r.period = 0
	if period > 0 {
		r.period = max(period, minReport)
		r.timer = time.AfterFunc(rand.N(r.period), r.report) // spread over the fleet
	}
}

// stop ends the reports.
func (r *reporter) stop() { r.start(0) }

// report tells what the device observes and arms the next report. It runs on its own timer.
func (r *reporter) report() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.period == 0 {
		return
	}
	r.timer.Reset(r.period)
	o := r.power.device.Observe()
	if o.Silent {
		return
	}
	r.seq++
	r.tell(sv2.PowerReading{
		Command: r.power.command(), Seq: r.seq,
		Power: watts(o.Watts), Source: o.Source, State: o.State,
		HashRate: float32(max(0, o.Hashrate)), Hottest: o.Hottest, Energy: uint64(max(0, o.Energy)),
		Age: sv2.MillisOf(o.Age),
	})
}
