package console

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
)

// farmed is figures in which some machines of the first feeder have interfaces of their own: one answers and
// mines elsewhere, one has escaped, one is silent and was put to sleep by somebody else.
func farmed() *figures {
	at := time.Now()
	f := fakeRooms{start: at}.figures(at)
	ws := f.power.Sites[0].Feeders[0].Workers
	seen := func(pool string, backups ...string) *governor.Seen {
		return &governor.Seen{Sighting: fleet.Sighting{
			At: at, Hashrate: 150e12, Pool: pool, Backups: backups, Firmware: "Braiins OS 26.04",
		}}
	}
	ws[1].Seen, ws[1].Elsewhere = seen("other.example:3333", "b.example:3333"), true
	ws[2].Seen, ws[2].Elsewhere, ws[2].Escaped = seen("b.example:3333"), true, true
	ws[3].Seen, ws[3].Stray = seen("ours.example:3333"), governor.StrayAsleep
	ws[3].Seen.Failures, ws[3].Seen.Err = 3, errors.New("no answer")
	ws[4].Ceiling = &governor.Ceiling{Mode: fleet.Paused, At: at}
	return f
}

// Ensure that machines with interfaces of their own are counted by what is to be known of them.
func TestDevices_AreCountedByFeeder(t *testing.T) {
	c := open(t, farmed)
	v := c.snapshot(c.frame())
	want := devicesView{Own: 3, Silent: 1, Elsewhere: 2, Escaped: 1, Strays: 1, Backups: 1, ByHand: 1}
	if got := v.Sites[0].Feeders[0].Devices; got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := v.Sites[0].Feeders[1].Devices; got != (devicesView{}) {
		t.Errorf("a feeder without any: %+v", got)
	}
	text, err := json.Marshal(v.Sites[0].Feeders[0])
	if err != nil || !strings.Contains(string(text), `"devices":{"own":3,"silent":1,"elsewhere":2,`) {
		t.Errorf("%s, %v", text, err)
	}
}

// Ensure that a machine that mines elsewhere is listed with what it says that it does.
func TestWorkers_ShowsMachinesThatMineElsewhere(t *testing.T) {
	c := open(t, func() *figures {
		f := farmed()
		f.channels = nil
		return f
	})
	rows := c.workerRows(c.frame())
	says := "Braiins OS 26.04 at other.example:3333"
	if r := rows[1]; !r.Elsewhere || r.Hashrate != 150e12 || r.Device != says {
		t.Errorf("%+v", r)
	}
	if r := rows[5]; r.Elsewhere || r.Hashrate != 0 {
		t.Errorf("one without an interface: %+v", r)
	}
}
