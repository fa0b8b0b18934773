package stratumtest

import (
	"encoding/json"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashlease/hashlease/pool"
)

// follow acts on what changes the work.
func (l *v1Link) follow(m *V1Message) error {
	switch m.Method {
	case "mining.notify":
		j, err := parseV1Notify(m)
		if err != nil {
			l.miner.fault("%v", err)
			return err
		}
		l.job(j)
	case "mining.set_difficulty":
		return l.difficulty(m)
	case "mining.set_extranonce":
		if !slices.Contains(l.profile.Opening, V1ExtranonceSubscribe) {
			l.miner.fault("mining.set_extranonce came, which was not subscribed to")
			return nil
		}
		prefix, err := m.text(0)
		if err == nil && len(m.Params) > 1 {
			err = json.Unmarshal(m.Params[1], &l.jobs.size)
		}
		if err != nil {
			return err
		}
		return l.extranonce(prefix)
	case "mining.set_version_mask":
		return l.mask(m)
	}
	return nil
}

func (l *v1Link) mask(m *V1Message) error {
	if l.profile.Early && !l.authorized {
		l.miner.fault("%s came before the answer to mining.authorize", m.Method)
		return errors.New("mask before authorize")
	}
	text, err := m.text(0)
	if err != nil {
		return err
	}
	mask, err := exactWord(m.Method, text)
	if l.profile.Mask != 0 {
		l.jobs.mask = mask & l.profile.Mask
	}
	return err
}

// difficulty holds for the jobs that follow.
func (l *v1Link) difficulty(m *V1Message) error {
	if len(m.Params) != 1 {
		l.miner.fault("mining.set_difficulty has %d parameters", len(m.Params))
		return nil
	}
	raw := m.Params[0]
	target, err := V1Difficulty(raw)
	if err != nil {
		l.miner.fault("%v", err)
		return err
	}
	hard := target.Cmp(pool.TargetFromBits(0x1d00ffff)) <= 0
	if l.profile.Whole && hard && strings.ContainsAny(string(raw), ".eE") {
		l.miner.fault("difficulty %s is not written as an integer", raw)
	}
	l.jobs.target, l.jobs.difficulty = target, true
	return nil
}

// job takes a job, and mines it if the connection is open.
func (l *v1Link) job(j *v1Job) {
	p := l.profile
	if len(j.id) > p.JobID {
		l.miner.fault("job id %q is longer than %d", j.id, p.JobID)
	}
	if _, err := strconv.ParseUint(j.id, 16, 64); err != nil {
		l.miner.fault("job id %q is no hexadecimal number", j.id)
	}
	if slices.Contains(l.ids, j.id) {
		l.miner.fault("job id %q came again: it is ignored", j.id)
		return
	}
	l.ids = append(l.ids, j.id)
	l.ids = l.ids[max(0, len(l.ids)-p.Remembers):]
	if n := l.jobs.coinbase(j); n > p.Coinbase {
		l.miner.fault("coinbase has %d bytes, %d are taken", n, p.Coinbase)
	}
	space := l.jobs.space(j)
	if slices.Contains(l.spaces, space) {
		l.miner.fault("a job repeats the work of another")
	}
	l.spaces = append(l.spaces, space)
	l.spaces = l.spaces[max(0, len(l.spaces)-16):]
	if !l.jobs.difficulty {
		l.miner.fault("mining.notify came before any mining.set_difficulty")
	}
	l.jobs.newest = j
	l.mine()
}

// mine starts on the newest job, once everything is there. A pool without a node may have none for long.
func (l *v1Link) mine() {
	if !l.authorized || !l.subscribed {
		return
	}
	if !l.mining {
		l.mining = true
		l.miner.link.Store(l)
		l.miner.sessions.Add(1)
	}
	if l.jobs.newest == nil {
		return
	}
	l.miner.hasher.work.Store(l.jobs.ready(l.jobs.newest, time.Now()))
}

// v1Redirection ends a session by the pool's client.reconnect.
type v1Redirection struct {
	host, port string
	wait       time.Duration
}

// Error says where to.
func (r *v1Redirection) Error() string { return "pool asks to reconnect to " + strconv.Quote(r.host) }

// endpoint is where to go; what is empty stays as it is.
func (r *v1Redirection) endpoint(now Endpoint) *Endpoint {
	_, port, err := net.SplitHostPort(now.Address)
	if err != nil || r.port == "" || r.port == "0" || r.port == port {
		return nil
	}
	host, _, _ := net.SplitHostPort(now.Address)
	return &Endpoint{Address: net.JoinHostPort(host, r.port)}
}

// reconnect follows client.reconnect, to the host that the firmware is configured for and no other.
func (l *v1Link) reconnect(m *V1Message) error {
	if !l.profile.Reconnects {
		return nil
	}
	r := &v1Redirection{}
	if len(m.Params) > 1 {
		_ = json.Unmarshal(m.Params[0], &r.host) // null is no host
		r.port = strings.Trim(string(m.Params[1]), `"`)
	}
	if len(m.Params) > 2 {
		seconds, _ := strconv.ParseFloat(strings.Trim(string(m.Params[2]), `"`), 64)
		r.wait = time.Duration(min(max(0, seconds), 600) * float64(time.Second))
	}
	host, _, err := net.SplitHostPort(l.miner.cfg.Pool().Address)
	if err == nil && r.host != "" && r.host != host {
		l.miner.fault("client.reconnect names the host %q: it is not followed", r.host)
		return nil
	}
	return r
}
