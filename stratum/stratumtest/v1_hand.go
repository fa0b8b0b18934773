package stratumtest

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// maxByHand is how many hashes a share by hand may take.
const maxByHand = 1 << 24

// V1Hand mines by hand: it follows what a script has read and makes one share when it is told to. Its zero
// value but for the profile is ready.
type V1Hand struct {
	Profile V1Profile
	Name    string // of the worker, in shares
	Session string // from the last mining.subscribe

	jobs  v1Jobs
	known map[string]v1Held
	last  uint64 // id given
	nonce uint32 // to begin the next search with
}

// v1Held is a job with what held when it came.
type v1Held struct {
	job *v1Job
	at  v1Jobs
}

// Opening is a step of the opening, under the next id.
func (h *V1Hand) Opening(s V1Step, a V1Account) string {
	h.last++
	return h.Profile.Request(s, h.last, a)
}

// Follow takes a message that was read.
func (h *V1Hand) Follow(m *V1Message) (err error) {
	switch m.Method {
	case "mining.notify":
		j, err := parseV1Notify(m)
		if err != nil {
			return err
		}
		if h.known == nil {
			h.known = map[string]v1Held{}
		}
		h.jobs.newest = j
		h.known[j.id] = v1Held{j, h.jobs}
	case "mining.set_difficulty":
		if len(m.Params) != 1 {
			return fmt.Errorf("%s has %d parameters", m.Method, len(m.Params))
		}
		h.jobs.target, err = V1Difficulty(m.Params[0])
	case "mining.set_extranonce":
		var prefix string
		if prefix, err = m.text(0); err == nil {
			h.jobs.prefix, err = hex.DecodeString(prefix)
		}
	case "mining.set_version_mask":
		var mask string
		if mask, err = m.text(0); err == nil {
			h.jobs.mask, err = exactWord(m.Method, mask)
		}
	case "":
		h.reply(m)
	}
	return err
}

// reply takes the results that matter, told by their shape.
func (h *V1Hand) reply(m *V1Message) {
	var parts []json.RawMessage
	var prefix string
	var topics [][]string
	if json.Unmarshal(m.Result, &parts) == nil && len(parts) == 3 &&
		json.Unmarshal(parts[1], &prefix) == nil {
		h.jobs.prefix, _ = hex.DecodeString(prefix)
		_, _ = json.Unmarshal(parts[2], &h.jobs.size), json.Unmarshal(parts[0], &topics)
		for _, t := range topics {
			h.Session = t[len(t)-1]
		}
		return
	}
	var granted struct {
		Mask string `json:"version-rolling.mask"`
	}
	if json.Unmarshal(m.Result, &granted) == nil && granted.Mask != "" {
		h.jobs.mask, _ = exactWord("version-rolling.mask", granted.Mask)
	}
}

// V1Share says which share to make.
type V1Share struct {
	Job   string // empty: the newest
	Later uint32 // seconds of header time
	Roll  uint32 // version bits, whatever the mask
	Bits  bool   // a sixth parameter even without a mask
}

// Mine is mining.submit of a share that meets its job's target.
func (h *V1Hand) Mine(s V1Share) (line string, err error) {
	held := v1Held{h.jobs.newest, h.jobs}
	if s.Job != "" {
		held = h.known[s.Job]
	}
	j := held.job
	if j == nil {
		return "", fmt.Errorf("there is no job %q", s.Job)
	}
	if now, ok := h.known[j.id]; ok {
		held = now
	}
	mask := held.at.mask
	held.at.mask, held.at.counter = 0, h.jobs.counter
	rolled := *j
	rolled.version ^= s.Roll
	w := held.at.ready(&rolled, time.Time{})
	h.jobs.counter = held.at.counter
	w.v1.bits, w.v1.mask = s.Roll, mask
	if s.Bits {
		w.v1.mask = ^uint32(0)
	}
	h.last++
	e := newEngine()
	e.load(w, j.time+s.Later)
	h.nonce += 1 << 20
	for n := h.nonce; ; n++ {
		if n-h.nonce > maxByHand {
			return "", fmt.Errorf("no share of job %q in %d hashes: its target is too hard", j.id, maxByHand)
		}
		if e.hash(n); w.target.Meets(&e.out) {
			found := solution{nonce: n, time: j.time + s.Later}
			return v1Request(h.Profile.id("mining.submit", h.last), "mining.submit",
				h.Profile.share(h.Name, w, found)), nil
		}
	}
}
