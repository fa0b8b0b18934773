package console

import (
	"encoding/json"
	"net/http"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
)

// historyView is the chart of a feeder or of a site: columns of watts by second, oldest first.
type historyView struct {
	At     []int64 `json:"at"` // Unix seconds
	Base   []int64 `json:"base"`
	Mining []int64 `json:"mining"`
	Tenant []int64 `json:"tenant"`
	Bound  []int64 `json:"bound"` // what mining might draw
	Limit  []int64 `json:"limit"`
}

// history answers ?feeder=ID, or ?site=ID with the sum over its feeders.
func (c *Console) history(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	f := c.frame()
	var ids []fleet.FeederID
	switch feeder, site := fleet.FeederID(q.Get("feeder")), fleet.SiteID(q.Get("site")); {
	case feeder != "" && f.hasFeeder(feeder):
		ids = append(ids, feeder)
	case feeder == "":
		for _, s := range f.power.Sites {
			if s.ID != site {
				continue
			}
			for i := range s.Feeders {
				ids = append(ids, s.Feeders[i].ID)
			}
		}
	}
	if len(ids) == 0 {
		http.Error(w, "feeder or site: the id of a configured one is accepted", http.StatusNotFound)
		return
	}
	all := make([][]governor.Sample, len(ids))
	for i, id := range ids {
		all[i] = c.read.history(id)
	}
	c.answer(w, sum(all))
}

// sum adds feeders up second by second. A feeder that has no sample in a second counts with
// its last one, and not at all before its first.
func sum(feeders [][]governor.Sample) historyView {
	v := historyView{
		At: []int64{}, Base: []int64{}, Mining: []int64{}, Tenant: []int64{},
		Bound: []int64{}, Limit: []int64{},
	}
	next := make([]int, len(feeders))
	for i := range feeders {
		feeders[i] = metered(feeders[i])
	}
	for {
		at, more := earliest(feeders, next)
		if !more {
			return v
		}
		var s governor.Sample
		for i, samples := range feeders {
			for next[i] < len(samples) && samples[next[i]].At.Unix() <= at {
				next[i]++
			}
			if next[i] > 0 {
				add(&s, &samples[next[i]-1])
			}
		}
		v.At = append(v.At, at)
		v.Base = append(v.Base, int64(s.Base))
		v.Mining = append(v.Mining, int64(s.Mining))
		v.Tenant = append(v.Tenant, int64(s.Tenant))
		v.Bound = append(v.Bound, int64(s.Bound))
		v.Limit = append(v.Limit, int64(s.Limit))
	}
}

// metered leaves out the seconds before the first reading.
func metered(samples []governor.Sample) []governor.Sample {
	for i, s := range samples {
		if s.Total > 0 || s.Mining > 0 {
			return samples[i:]
		}
	}
	return nil
}

func earliest(feeders [][]governor.Sample, next []int) (at int64, more bool) {
	for i, samples := range feeders {
		if next[i] >= len(samples) {
			continue
		}
		if t := samples[next[i]].At.Unix(); !more || t < at {
			at, more = t, true
		}
	}
	return at, more
}

func add(sum, s *governor.Sample) {
	sum.Base += s.Base
	sum.Mining += s.Mining
	sum.Tenant += s.Tenant
	sum.Bound += s.Bound
	sum.Limit += s.Limit
}

// answer writes JSON.
func (c *Console) answer(w http.ResponseWriter, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		http.Error(w, "these figures cannot be shown", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(data) // a browser that went away is not our failure
}
