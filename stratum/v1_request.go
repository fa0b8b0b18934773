package stratum

import (
	"bytes"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/sv1"
)

// handle acts on the request in hand. They may come in any order.
func (d *v1) handle(now time.Time) {
	switch string(d.request.Method) {
	case "mining.submit":
		d.submitShare(now)
	case "mining.subscribe":
		d.subscribe(now)
	case "mining.authorize":
		d.authorizeUser(now)
	case "mining.configure":
		d.configured(now)
	case "mining.extranonce.subscribe":
		d.mu.Lock()
		d.pushes = true
		d.mu.Unlock()
		d.answer("true")
	case "mining.suggest_difficulty":
		d.suggestDifficulty(d.request.Params, now)
	case "mining.suggest_target":
		d.suggestTarget(now)
	case "mining.get_transactions", "mining.get_txnhashes":
		d.answer("[]") // a job of ours is not to be checked by its transactions
	case "mining.ping", "client.ping", "ping":
		d.answer(`"pong"`)
	case "mining.get_version", "client.get_version":
		d.answer(`"hashlease"`)
	default:
		d.handleOld(now)
	}
}

// handleOld acts on "method(argument)", which some send, and refuses what is not known.
func (d *v1) handleOld(now time.Time) {
	name, argument, found := bytes.Cut(d.request.Method, []byte{'('})
	if argument, closed := bytes.CutSuffix(argument, []byte{')'}); found && closed &&
		string(name) == "mining.suggest_difficulty" {
		d.suggest(sv1.ParseDifficulty(argument), now)
		return
	}
	d.fail(sv1.CodeOther, "method is not known")
}

// subscribe gives the connection its extranonce1. A second one changes nothing.
func (d *v1) subscribe(now time.Time) {
	m := sv1.ParseSubscribe(d.request.Params)
	if len(m.Agent) > 0 {
		d.meetAgent(m.Agent, now)
	}
	if !d.subscribed && !d.takePrefix(m.Session) {
		d.fail(sv1.CodeOther, "no extranonce is free")
		return
	}
	d.mu.Lock()
	if out := d.outLocked(); out != nil {
		*out = sv1.AppendSubscribed(*out, d.request.ID, sv1.Subscribed{
			Session: d.srv.rooms.Sessions.ID(d.prefix), Extranonce1: d.prefix[:], Size: sv1.Extranonce2Size,
		})
	}
	d.mu.Unlock()
	if d.subscribed {
		return
	}
	d.subscribed = true
	if d.user != "" {
		if message := d.begin(now); message != "" {
			d.say(message)
		}
	}
}

// takePrefix takes the extranonce prefix that a session id names, or any.
func (d *v1) takePrefix(session []byte) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cause != nil {
		return false
	}
	if len(session) <= 64 {
		if prefix, ok := d.srv.rooms.Sessions.Prefix(string(session)); ok {
			if used, ok := d.srv.prefixes.Claim(prefix); ok {
				d.prefix, d.resumed, d.owns = prefix, used, true
				return true
			}
		}
	}
	prefix, full := d.srv.takePrefix()
	d.prefix, d.owns = prefix, !full
	return !full
}

// authorizeUser says who mines. The channel opens with the first one; further ones are workers behind it.
func (d *v1) authorizeUser(now time.Time) {
	m, err := sv1.ParseAuthorize(d.request.Params)
	if err != nil {
		d.fail(sv1.CodeUnauthorized, err.Error())
		return
	}
	if d.user != "" && d.user != string(m.User) {
		d.authorizeAnother(m.User, now)
		return
	}
	known := d.user != ""
	wish := pool.ParsePassword(string(m.Password))
	d.user = string(m.User)
	d.want(wish.Difficulty, max(wish.Difficulty, wish.Least))
	code := ""
	switch {
	case known:
	case d.subscribed:
		d.opening = true
		code = d.begin(now)
		d.opening = false
	default:
		_, _, code = d.admit(d.user)
	}
	switch {
	case code != "":
		d.user = ""
		d.fail(sv1.CodeUnauthorized, code)
	case known || !d.subscribed:
		d.answer("true")
	}
}

// authorizeAnother lets a further worker mine on the connection: its shares are credited to it, and it is
// measured like a worker with a channel. All have one difficulty and one coinbase.
func (d *v1) authorizeAnother(user []byte, now time.Time) {
	payout, worker, code := d.admit(string(user))
	if code != "" {
		d.fail(sv1.CodeUnauthorized, code)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.channels[d.channelID.Load()]
	switch {
	case c == nil:
		d.failLocked(sv1.CodeNotSubscribed, "the first worker of the connection does not mine yet")
	case payout != c.group.payout:
		d.failLocked(sv1.CodeUnauthorized, "the coinbase of this connection pays somebody else")
	case !d.nameLocked(c, string(user), worker, now):
		d.failLocked(sv1.CodeUnauthorized, "too many workers are authorized on this connection")
	default:
		if out := d.outLocked(); out != nil {
			*out = sv1.AppendTrue(*out, d.request.ID)
		}
	}
}

// begin opens the channel when both are known, who mines and under which extranonce. It says why not.
func (d *v1) begin(now time.Time) (message string) {
	message = d.open(opening{
		identity: d.user, kind: pool.Extended, maxTarget: d.easiest(), prefix: &d.prefix, v1: d,
		start: d.wants.start,
	}, now)
	if message == "" {
		d.askVersion()
	}
	return message
}

// say shows a line to the people at the miner.
func (d *v1) say(text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.showLocked(text)
}
