package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// maxBody bounds a request's body.
const maxBody = 4 << 10

// MeterReading is the answer of GET /v1/meters/...: watts, a counter of joules since the meter was
// installed, and when both were measured.
type MeterReading struct {
	Watts  unit.Watts  `json:"watts"`
	Energy unit.Joules `json:"energy_joules"`
	Time   time.Time   `json:"time"`
}

// meters shows the site over HTTP as its meters see it.
type meters struct {
	site  *site
	class float64 // largest relative error of a reading of watts
	fault func(pool.WorkerID, Fault) error

	mu  sync.Mutex
	rng *rand.Rand // guarded by mu
}

// handler routes the simulation's HTTP interface.
//
//	GET  /v1/meters/{feeder}/{total|mining|base}   a MeterReading
//	GET  /v1/meters/{feeder}/tenant/{tenant}       the same for a tenant's branch
//	PUT  /v1/loads/{feeder}/{tenant}               {"watts":N}: what a tenant draws
//	PUT  /v1/faults/{worker}                       a Fault; {} heals
//	GET  /v1/truth                                 a Truth since the last mark
//	POST /v1/truth/mark                            the same, and begins a new one
//	GET  /v1/devices                               a DeviceView each
func (m *meters) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/meters/{feeder}/{branch}", func(w http.ResponseWriter, r *http.Request) {
		m.read(w, r.PathValue("feeder"), r.PathValue("branch"), "")
	})
	mux.HandleFunc("GET /v1/meters/{feeder}/tenant/{tenant}", func(w http.ResponseWriter, r *http.Request) {
		m.read(w, r.PathValue("feeder"), "tenant", r.PathValue("tenant"))
	})
	mux.HandleFunc("PUT /v1/loads/{feeder}/{tenant}", m.putLoad)
	mux.HandleFunc("PUT /v1/faults/{worker}", m.putFault)
	mux.HandleFunc("GET /v1/truth", tell(func() any { return m.site.truth(false) }))
	mux.HandleFunc("POST /v1/truth/mark", tell(func() any { return m.site.truth(true) }))
	mux.HandleFunc("GET /v1/devices", tell(func() any { return m.site.views() }))
	return mux
}

func tell(what func() any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { answer(w, what()) }
}

func (m *meters) read(w http.ResponseWriter, id, branch, tenant string) {
	roles := map[string]fleet.Role{
		"total": fleet.Total, "mining": fleet.Mining, "base": fleet.Base, "tenant": fleet.Tenant,
	}
	role, ok := roles[branch]
	if !ok {
		refuse(w, http.StatusNotFound,
			fmt.Errorf("branch %q: total, mining, base or tenant/NAME is accepted", branch))
		return
	}
	_, joules, err := m.site.read(fleet.FeederID(id), role, tenant)
	if err != nil {
		refuse(w, http.StatusNotFound, err)
		return
	}
	watts, err := m.sample(fleet.FeederID(id), role, tenant)
	if err != nil {
		refuse(w, http.StatusNotFound, err)
		return
	}
	answer(w, MeterReading{
		Watts: unit.Watts(math.Round(watts)), Energy: unit.Joules(joules), Time: time.Now().UTC(),
	})
}

func (m *meters) putLoad(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Watts *int64 `json:"watts"`
	}
	if err := decode(r, &body); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	if body.Watts == nil {
		refuse(w, http.StatusBadRequest,
			errors.New("watts is missing: a whole number of 0 or more is accepted"))
		return
	}
	feeder, tenant := fleet.FeederID(r.PathValue("feeder")), r.PathValue("tenant")
	if err := m.site.setLoad(feeder, tenant, unit.Watts(*body.Watts)); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (m *meters) putFault(w http.ResponseWriter, r *http.Request) {
	var f Fault
	err := decode(r, &f)
	if err == nil {
		err = m.fault(pool.WorkerID(r.PathValue("worker")), f)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// decode reads one JSON object of known fields.
func decode(r *http.Request, into any) error {
	d := json.NewDecoder(io.LimitReader(r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("body: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	if d.More() {
		return errors.New("body: one JSON object is accepted")
	}
	return nil
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the peer may be gone: nothing to do about it
}

func refuse(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
}

// DeviceView is one device as it truly is.
type DeviceView struct {
	Worker   pool.WorkerID  `json:"worker"`
	Feeder   fleet.FeederID `json:"feeder"`
	Model    string         `json:"model"`
	Firmware string         `json:"firmware"`
	State    string         `json:"state"`
	Watts    float64        `json:"watts"`
	Full     float64        `json:"full_watts"`
	Hashrate unit.Hashrate  `json:"hashrate"` // unscaled
	Fault    Fault          `json:"fault"`
}

// views are all devices in the order of the plan.
func (s *site) views() (list []DeviceView) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.now()
	s.advanceLocked(t)
	for _, f := range s.feeders {
		for _, d := range f.devices {
			list = append(list, DeviceView{
				Worker: d.worker.ID, Feeder: f.ID, Model: d.worker.Model, Firmware: d.firmware.Name,
				State: d.state(t).String(), Watts: d.watts(t), Full: d.full(),
				Hashrate: d.hashrate(d.planned(t)), Fault: d.fault,
			})
		}
	}
	return list
}
