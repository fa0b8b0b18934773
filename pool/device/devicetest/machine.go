package devicetest

import (
	"bytes"
	"io"
	"math"
	"net/http"
	"net/http/httputil"
	"sync"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// Body is the machine behind an emulated interface: its physics.
type Body interface {
	// State is what the machine is doing now.
	State() BodyState
	// Order starts the transition to full power, to watts, or to sleep, as slow as the machine is.
	Order(mode fleet.Mode, watts unit.Watts)
	// Reboot lets the machine begin anew from next to nothing, towards full power, watts or sleep: what
	// its firmware has kept.
	Reboot(mode fleet.Mode, watts unit.Watts)
}

// Rebooter is an emulator whose machine can be rebooted. What its firmware keeps then, it keeps; sessions and
// tokens are gone. An emulator says in its comment what is documented; where nothing is, it forgets.
type Rebooter interface{ Reboot() }

// BodyState is what a machine is doing.
type BodyState struct {
	Mode     fleet.Mode // that it was last told
	Moving   bool       // on its way there
	Watts    unit.Watts // drawn now
	Target   unit.Watts // drawn when it gets there
	Hashrate unit.Hashrate
	Curve    fleet.Curve
	Sleep    unit.Watts    // drawn asleep
	Uptime   time.Duration // of its mining software
}

// Pool is one pool slot of a machine.
type Pool struct {
	URL, User, Password string
}

// Facts are what never changes about a machine.
type Facts struct {
	Model   string // as its firmware spells it
	Version string // of its firmware
	Serial  string
	MAC     string
	Host    string
}

// Defects are what is wrong with a machine's interface. The zero value is a sound one.
type Defects struct {
	Dead   bool          // nobody answers: connections are taken and nothing is said
	Deaf   bool          // orders are answered well and do nothing
	Late   time.Duration // before each answer
	Watts  float64       // factor on the watts that it reports; 0: 1
	Login  bool          // refuses every login
	Expire bool          // forgets its sessions and tokens after one use
	Broken bool          // answers with bytes that are no answer
	Echo   bool          // refuses what it is asked, and repeats all of it in the refusal
	Flood  bool          // answers without an end
	Away   string        // sends everybody to this URL; over HTTP only
	Fault  string        // a code of digits that it complains of, in whatever way its interface does
}

// Machine is what all emulated interfaces stand in front of: facts, pools, defects and a body. An
// interface shows it as its vendor documents; it is safe for several goroutines.
type Machine struct {
	Facts Facts
	Body  Body

	mu       sync.Mutex
	pools    []Pool
	active   int
	defects  Defects
	orders   int
	settings map[string]float64 // of the firmware; what it loses at a reboot, its emulator takes away
}

// NewMachine is a machine that mines at the first of its pools.
func NewMachine(f Facts, b Body, pools ...Pool) *Machine {
	return &Machine{Facts: f, Body: b, pools: pools}
}

// Pools are the machine's pools and which of them is active.
func (m *Machine) Pools() (pools []Pool, active int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Pool(nil), m.pools...), m.active
}

// SetPools replaces the machine's pools, as some interfaces do with each write.
func (m *Machine) SetPools(p []Pool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pools, m.active = append([]Pool(nil), p...), 0
}

// Escape moves the machine to its n-th pool, from 0.
func (m *Machine) Escape(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.active = n
}

// Fail sets what is wrong from now on.
func (m *Machine) Fail(d Defects) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.defects = d
}

// Defects are what is wrong now.
func (m *Machine) Defects() Defects {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.defects
}

// Order is an order that came over the interface: it is counted, and obeyed unless the machine is deaf.
func (m *Machine) Order(mode fleet.Mode, watts unit.Watts) {
	m.count()
	m.obey(mode, watts)
}

// count notes an order that came.
func (m *Machine) count() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.orders++
}

// obey does as ordered unless the machine is deaf.
func (m *Machine) obey(mode fleet.Mode, watts unit.Watts) {
	if !m.Defects().Deaf {
		m.Body.Order(mode, watts)
	}
}

// Orders counts the orders that came, obeyed or not: writes, as a machine in observe must have none.
func (m *Machine) Orders() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.orders
}

// Setting is a number that the firmware was set to, 0 if it was not.
func (m *Machine) Setting(name string) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.settings[name]
}

// SetSetting sets a number that the firmware keeps.
func (m *Machine) SetSetting(name string, v float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.settings == nil {
		m.settings = map[string]float64{}
	}
	m.settings[name] = v
}

// Answers plays those defects of an HTTP interface that need no knowledge of it, and says whether the
// request is to be answered.
func (m *Machine) Answers(w http.ResponseWriter, r *http.Request) bool {
	d := m.Defects()
	if d.Late > 0 {
		wait := time.NewTimer(d.Late)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-r.Context().Done():
			return false
		}
	}
	switch {
	case d.Dead:
		_, _ = io.Copy(io.Discard, r.Body) // the context ends with the connection once the body is read
		<-r.Context().Done()
		return false
	case d.Broken:
		_, _ = w.Write([]byte(`{"power": [`)) // who does not listen gets nothing
		return false
	case d.Away != "":
		http.Redirect(w, r, d.Away, http.StatusTemporaryRedirect)
		return false
	case d.Flood:
		flood(w)
		return false
	case d.Echo:
		echo(w, r)
		return false
	}
	return true
}

// flood writes the beginning of an object and then nothing but blanks, until nobody listens.
func flood(w io.Writer) {
	blanks := bytes.Repeat([]byte(" "), 64<<10)
	_, err := w.Write([]byte(`{"power": 1,`))
	for err == nil {
		_, err = w.Write(blanks)
	}
}

// echo refuses in every way that an interface over HTTP has, with the whole request as the reason.
func echo(w http.ResponseWriter, r *http.Request) {
	whole, _ := httputil.DumpRequest(r, true) // what cannot be read is not repeated
	if r.Method == http.MethodGet && r.Header.Get("Authorization") == "" {
		w.Header().Set("WWW-Authenticate", `Digest realm="antMiner", nonce="1", qop="auth"`)
		w.WriteHeader(http.StatusUnauthorized)
	}
	text := string(whole)
	writeJSON(w, map[string]any{
		"result": false, "error": text, "stats": "error", "msg": text, "token": text, "power": text,
	})
}

// Reported is the watts that the machine says it draws.
func (m *Machine) Reported() unit.Watts {
	w, d := m.Body.State().Watts, m.Defects()
	if d.Watts > 0 {
		w = unit.Watts(math.Round(float64(w) * d.Watts))
	}
	return w
}

// Rig is the simplest Body: straight ramps between the points of a curve.
type Rig struct {
	Curve    fleet.Curve
	Sleep    unit.Watts
	ShedIn   time.Duration // from an order to less
	ReturnIn time.Duration // from an order to more

	mu         sync.Mutex
	mode       fleet.Mode
	from, to   unit.Watts
	began, end time.Time
	up         time.Time
}

var _ Body = (*Rig)(nil)

// State implements Body.
func (r *Rig) State() BodyState {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	r.startLocked(now)
	w := r.wattsLocked(now)
	s := BodyState{
		Mode: r.mode, Moving: now.Before(r.end), Watts: w, Target: r.to,
		Curve: r.Curve, Sleep: r.Sleep, Uptime: now.Sub(r.up),
	}
	if w > r.Sleep {
		s.Hashrate = r.Curve.At(max(w, r.Curve[0].Watts))
	}
	return s
}

// Order implements Body.
func (r *Rig) Order(mode fleet.Mode, watts unit.Watts) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	r.startLocked(now)
	to := r.goal(mode, watts)
	r.mode = mode
	if to == r.to {
		return
	}
	r.from, r.to, r.began = r.wattsLocked(now), to, now
	took := r.ReturnIn
	if to < r.from {
		took = r.ShedIn
	}
	r.end = now.Add(took)
}

// Reboot implements Body.
func (r *Rig) Reboot(mode fleet.Mode, watts unit.Watts) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	r.startLocked(now)
	r.mode, r.to = mode, r.goal(mode, watts)
	r.from, r.began, r.end, r.up = r.Sleep, now, now.Add(r.ReturnIn), now
}

// goal is the power that an order leads to.
func (r *Rig) goal(mode fleet.Mode, watts unit.Watts) unit.Watts {
	full := r.Curve.Full().Watts
	switch mode {
	case fleet.Paused:
		return r.Sleep
	case fleet.Capped:
		return min(max(watts, r.Curve[0].Watts), full)
	case fleet.Free:
	}
	return full
}

// startLocked sets a new rig to full power.
func (r *Rig) startLocked(now time.Time) {
	if r.up.IsZero() {
		r.up, r.began, r.end = now, now, now
		r.from, r.to = r.Curve.Full().Watts, r.Curve.Full().Watts
	}
}

func (r *Rig) wattsLocked(now time.Time) unit.Watts {
	if !now.Before(r.end) {
		return r.to
	}
	part := float64(now.Sub(r.began)) / float64(r.end.Sub(r.began))
	return r.from + unit.Watts(math.Round(float64(r.to-r.from)*part))
}
