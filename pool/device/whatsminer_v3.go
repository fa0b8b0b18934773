package device

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

func init() {
	openers["whatsminer-v3"] = opener{port: 4433, open: openWhatsMinerV3, is: isWhatsMinerV3}
}

// whatsMinerV3 is the interface of WhatsMiners whose firmware is of May 2024 or later, as the vendor's API
// documentation 3.0 describes it: frames of JSON over TCP, a token in each write. Since 3.0.3 it is told
// watts, which it obeys while it mines and keeps.
type whatsMinerV3 struct {
	cfg  Config
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	info wm3Info    // as it was last read
	set3 wm3Setting // likewise
	own  unit.Watts // that its owner had set, as it was seen; 0: not known
}

func openWhatsMinerV3(cfg Config) (Driver, error) {
	return newMachine("whatsminer-v3", cfg, newWhatsMinerV3(cfg)), nil
}

func newWhatsMinerV3(cfg Config) *whatsMinerV3 {
	if cfg.Login == (Login{}) {
		cfg.Login = Login{User: "super", Password: "super"}
	}
	return &whatsMinerV3{cfg: cfg, dial: cfg.Gate.DialContext}
}

func isWhatsMinerV3(ctx context.Context, cfg Config) bool {
	w := newWhatsMinerV3(cfg)
	err := w.talk(ctx, func(conn net.Conn) error { return w.readInfo(lined{conn}) })
	return err == nil && w.info.System.API != ""
}

// lined ends what it sends with a newline, for whom it may concern: a web server does not wait for more then.
type lined struct{ net.Conn }

// Write sends b and a newline.
func (l lined) Write(b []byte) (int, error) {
	n, err := l.Conn.Write(append(slices.Clip(b), '\n'))
	return min(n, len(b)), err
}

// wm3Info is what get.device.info answers, as far as it is used. Numbers are texts.
type wm3Info struct {
	Miner struct {
		Type    string `json:"type"`
		Serial  string `json:"miner-sn"`
		Working string `json:"working"` // false: its mining service is stopped
	} `json:"miner"`
	Network struct {
		MAC  string `json:"mac"`
		Host string `json:"hostname"`
	} `json:"network"`
	System struct {
		API      string `json:"api"`
		Switch   string `json:"apiswitch"` // 0: nothing may be written
		Firmware string `json:"fwversion"`
	} `json:"system"`
	Salt   string              `json:"salt"`
	Errors []map[string]string `json:"error-code"` // time by code, and a reason
}

// wm3Setting is what get.miner.setting answers, as far as it is used.
type wm3Setting struct {
	Power *number `json:"power"` // W that it was told to draw; not before API 3.0.3
	Boot  string  `json:"fast-boot"`
	Limit number  `json:"power-limit"`
}

// wm3Status is what get.miner.status answers, as far as it is used. Asleep it leaves parts out.
type wm3Status struct {
	Summary struct {
		Watts   number  `json:"power-realtime"`
		Tuned   *number `json:"up-freq-finish"` // 0 while it looks for its clocks
		Now     number  `json:"hash-realtime"`  // TH/s
		Factory number  `json:"factory-hash"`   // TH/s
		Elapsed number  `json:"elapsed"`
		Chip    number  `json:"chip-temp-max"`
		Inlet   number  `json:"environment-temperature"`
	} `json:"summary"`
	Pools []struct {
		URL      string `json:"url"`
		Account  string `json:"account"`
		Priority number `json:"pool-priority"`
		Active   bool   `json:"stratum-active"`
		Status   string `json:"status"`
	} `json:"pools"`
}

// talk calls f with a connection of its own: the machine serves ten.
func (w *whatsMinerV3) talk(ctx context.Context, f func(net.Conn) error) error {
	conn, err := w.dial(ctx, "tcp", w.cfg.Address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	return f(conn)
}

// wm3Ask is a request. A write has all of it.
type wm3Ask struct {
	Command string `json:"cmd"`
	Param   any    `json:"param,omitempty"`
	Time    int64  `json:"ts,omitempty"`
	Token   string `json:"token,omitempty"`
	Account string `json:"account,omitempty"`
}

func (w *whatsMinerV3) read(conn net.Conn, command, param string, out any) error {
	ask := wm3Ask{Command: command}
	if param != "" {
		ask.Param = param
	}
	return wm3Exchange(conn, ask, out)
}

// write signs a command with what the machine said last: its salt belongs to the token.
func (w *whatsMinerV3) write(conn net.Conn, command string, param any) error {
	ts := w.cfg.Now().Unix()
	sum := sha256.Sum256(fmt.Appendf(nil, "%s%s%s%d", command, w.cfg.Login.Password, w.info.Salt, ts))
	token := base64.StdEncoding.EncodeToString(sum[:])[:8]
	w.cfg.veil.hide(token)
	return wm3Exchange(conn, wm3Ask{command, param, ts, token, w.cfg.Login.User}, nil)
}

// wm3Exchange sends a frame and reads one: a length of four bytes, the least first, and JSON.
func wm3Exchange(conn net.Conn, ask wm3Ask, out any) error {
	body, err := json.Marshal(ask)
	if err != nil {
		return fmt.Errorf("writing a request: %w", err)
	}
	frame := append(binary.LittleEndian.AppendUint32(nil, uint32(len(body))), body...)
	if _, err := conn.Write(frame); err != nil {
		return fmt.Errorf("asking the machine: %w", err)
	}
	b, err := readFrame(conn)
	if err != nil {
		return fmt.Errorf("%s: %w", ask.Command, err)
	}
	var reply struct {
		Code *int            `json:"code"`
		Msg  json.RawMessage `json:"msg"`
	}
	if err := decodeAnswer(b, &reply); err != nil {
		return fmt.Errorf("%s: %w", ask.Command, err)
	}
	if reply.Code == nil {
		return fmt.Errorf("%s: %w: no code", ask.Command, ErrAnswer)
	}
	if err := wm3Code(*reply.Code, reply.Msg); err != nil {
		return fmt.Errorf("%s: %w", ask.Command, err)
	}
	if out == nil {
		return nil
	}
	return decodeAnswer(reply.Msg, out)
}

// maxBeats is how many heartbeats may come before an answer.
const maxBeats = 16

// readFrame reads the next frame that is no heartbeat, which has no bytes.
func readFrame(r io.Reader) ([]byte, error) {
	for range maxBeats {
		var head [4]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return nil, frameError(err)
		}
		n := binary.LittleEndian.Uint32(head[:])
		switch {
		case n == 0:
			continue
		case n > MaxAnswer:
			return nil, fmt.Errorf("%w: a frame of %d bytes, at most %d is accepted", ErrAnswer, n, MaxAnswer)
		}
		b, err := io.ReadAll(io.LimitReader(r, int64(n))) // grows with what comes, not with what was said
		if err == nil && len(b) < int(n) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, frameError(err)
		}
		return b, nil
	}
	return nil, fmt.Errorf("%w: %d heartbeats and no answer", ErrAnswer, maxBeats)
}

func frameError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it hung up within a frame", ErrAnswer)
	}
	return fmt.Errorf("reading the machine's answer: %w", err)
}

// wm3Code is what a code means: 0 is good, -4 is no permission, and -1 any failure, a wrong token too.
func wm3Code(code int, msg json.RawMessage) error {
	said := strings.ToLower(string(msg))
	switch {
	case code == 0:
		return nil
	case code == -4, code == -1 && (strings.Contains(said, "token") || strings.Contains(said, "password")):
		return fmt.Errorf("%w: code %d: %s: %s", ErrLogin, code, whatsMinerWrites, quote(msg))
	}
	return fmt.Errorf("%w: code %d: %s", ErrRefused, code, quote(msg))
}

// whatsMinerWrites is what WhatsMiners want before they are told anything.
const whatsMinerWrites = "writing needs a password other than the factory's and the API switched on"

func (w *whatsMinerV3) readInfo(conn net.Conn) error {
	w.info = wm3Info{}
	return w.read(conn, "get.device.info", "", &w.info)
}

func (w *whatsMinerV3) readSetting(conn net.Conn) error {
	w.set3 = wm3Setting{}
	if err := w.read(conn, "get.miner.setting", "", &w.set3); err != nil {
		return err
	}
	if is := w.power(); len(w.cfg.Curve) > 0 && is >= w.cfg.Curve.Full().Watts {
		w.own = is
	}
	return nil
}

// power is what it was told to draw, 0 if nothing.
func (w *whatsMinerV3) power() unit.Watts {
	if w.set3.Power == nil {
		return 0
	}
	return watts(float64(*w.set3.Power))
}

func (w *whatsMinerV3) identify(ctx context.Context) (Identity, error) {
	var st wm3Status
	err := w.talk(ctx, func(conn net.Conn) error {
		if err := w.readInfo(conn); err != nil {
			return err
		}
		if err := w.readSetting(conn); err != nil {
			return err
		}
		return w.read(conn, "get.miner.status", "summary+pools", &st)
	})
	if err != nil {
		return Identity{}, err
	}
	return Identity{
		Model: whatsMinerModel(w.info.Miner.Type), Firmware: firmware("WhatsMiner", w.info.System.Firmware),
		Serial: w.info.Miner.Serial, MAC: macOf(w.info.Network.MAC), Host: w.info.Network.Host,
		Workers: st.pools().workers,
		Nominal: fleet.Point{Hashrate: unit.Hashrate(st.Summary.Factory) * 1e12},
	}, nil
}

// whatsMinerModel is the model without its variant: M60S_VK40 is a WhatsMiner M60S.
func whatsMinerModel(s string) string {
	name, _, _ := strings.Cut(s, "_")
	if name, _, _ = strings.Cut(name, "V"); name == "" {
		return ""
	}
	return "WhatsMiner " + name
}

func (s *wm3Status) pools() (f slowFacts) {
	for _, p := range s.Pools {
		f.addPool(p.URL, p.Account, p.Active, true)
	}
	return f.settled()
}

func (w *whatsMinerV3) see(ctx context.Context) (fleet.Sighting, error) {
	var st wm3Status
	err := w.talk(ctx, func(conn net.Conn) error {
		if err := w.read(conn, "get.miner.status", "summary+pools", &st); err != nil {
			return err
		}
		if err := w.readInfo(conn); err != nil {
			return err
		}
		return w.readSetting(conn)
	})
	if err != nil {
		return fleet.Sighting{}, err
	}
	pools, n := st.pools(), &st.Summary
	s := fleet.Sighting{
		Watts: watts(float64(n.Watts)), Wattage: fleet.WattsMeasured,
		Hashrate: unit.Hashrate(n.Now) * 1e12, Uptime: seconds(int64(min(max(n.Elapsed, 0), 1<<32))),
		Chip: degrees(float64(n.Chip)), Inlet: degrees(float64(n.Inlet)), Pool: pools.pool,
		Backups: pools.backups, Errors: w.errors(), Activity: w.activity(&st),
	}
	if s.Watts == 0 { // its supply does not say while it is off
		s.Watts, s.Wattage = w.cfg.Sleep, fleet.WattsEstimated
	}
	if is := w.power(); w.caps() && is > 0 && is < w.cfg.Curve.Full().Watts {
		s.Target = is
	}
	return s, nil
}

// errors are its codes with their reasons.
func (w *whatsMinerV3) errors() (list []string) {
	for _, e := range w.info.Errors[:min(len(w.info.Errors), fleet.MaxErrors)] {
		for code := range e {
			if code != "reason" {
				list = append(list, strings.TrimSpace(code+" "+e["reason"]))
				break
			}
		}
	}
	return list
}

func (w *whatsMinerV3) stopped() bool { return strings.EqualFold(w.info.Miner.Working, "false") }

func (w *whatsMinerV3) activity(st *wm3Status) fleet.Activity {
	drawn := float64(st.Summary.Watts)
	tuned := st.Summary.Tuned == nil || *st.Summary.Tuned != 0
	switch {
	case w.stopped() && drawn > asleepBelow(w.cfg):
		return fleet.ActivityMoving
	case w.stopped():
		return fleet.ActivityAsleep
	case !tuned || st.Summary.Now <= 0:
		return fleet.ActivityMoving
	}
	return fleet.ActivityMining
}

// leastAwake is what no machine of a rack draws asleep.
const leastAwake = 150

// asleepBelow is what a rack's machine draws at most when it has come to its sleep.
func asleepBelow(cfg Config) float64 {
	return max(leastAwake, 1.5*float64(cfg.Sleep)+0.05*float64(fullWatts(cfg.Curve)))
}

// fullWatts is a curve's full power, 0 if there is none.
func fullWatts(c fleet.Curve) unit.Watts {
	if len(c) == 0 {
		return 0
	}
	return c.Full().Watts
}

// set tells watts before it starts the service, so that a machine wakes to its cap. While it looks for
// its clocks, watts would count from its next start only: then it is asked to wait.
func (w *whatsMinerV3) set(ctx context.Context, s fleet.Setpoint) error {
	if s.Mode == fleet.Capped && (!w.caps() || s.Watts < w.cfg.Curve[0].Watts) {
		return fmt.Errorf("%w: a cap needs API 3.0.3, the machine's curve, and at least %v",
			ErrCannot, w.capability().Min)
	}
	return w.talk(ctx, func(conn net.Conn) error {
		if err := w.readInfo(conn); err != nil {
			return err
		}
		switch {
		case w.info.System.Switch == "0":
			return fmt.Errorf("%w: its API is switched to reading only", ErrCannot)
		case s.Mode == fleet.Paused && w.stopped():
			return nil
		case s.Mode == fleet.Paused:
			return w.write(conn, "set.miner.service", "stop")
		}
		if err := w.aim(conn, s); err != nil || !w.stopped() {
			return err
		}
		if err := w.readInfo(conn); err != nil { // for a fresh salt
			return err
		}
		return w.write(conn, "set.miner.service", "start")
	})
}

// aim tells watts if they are others, and reads them back.
func (w *whatsMinerV3) aim(conn net.Conn, s fleet.Setpoint) error {
	if err := w.readSetting(conn); err != nil || !w.caps() {
		return err
	}
	want := min(s.Watts, w.cfg.Curve.Full().Watts)
	if s.Mode == fleet.Free {
		if is := w.power(); is == 0 || is >= w.cfg.Curve.Full().Watts {
			return nil
		}
		want = max(w.own, w.cfg.Curve.Full().Watts)
	}
	if want == w.power() {
		return nil
	}
	if !w.stopped() {
		var st wm3Status
		if err := w.read(conn, "get.miner.status", "summary", &st); err != nil {
			return err
		}
		if st.Summary.Tuned != nil && *st.Summary.Tuned == 0 {
			return fmt.Errorf("%w: it looks for its clocks, and takes watts when it has them", ErrRefused)
		}
	}
	if err := w.write(conn, "set.miner.power", int64(want)); err != nil {
		return err
	}
	if err := w.readSetting(conn); err != nil {
		return err
	}
	if is := w.power(); is != want {
		return fmt.Errorf("%w: its power is %v after it was set to %v", ErrRefused, is, want)
	}
	return nil
}

// caps says that it takes watts, and that it is known what full power is.
func (w *whatsMinerV3) caps() bool { return w.set3.Power != nil && len(w.cfg.Curve) > 1 }

// capability: off within 15 s; a start takes up to 25 minutes to look for clocks, or seconds with fast boot
// (power.md, 6). Whether a stopped service stays so over a reboot is not documented.
func (w *whatsMinerV3) capability() fleet.Capability {
	c := fleet.Capability{
		Max: fullWatts(w.cfg.Curve), Step: 1, CanPause: w.info.System.Switch != "0", HoldsAlone: true,
		Forgets: true, Measured: true, ShedIn: 15 * time.Second, ReturnIn: 25 * time.Minute,
	}
	if w.set3.Boot == "enable" {
		c.ReturnIn = 30 * time.Second
	}
	if c.CanCap = w.caps() && c.CanPause; c.CanCap {
		c.Min = w.cfg.Curve[0].Watts
	}
	return c
}

func (w *whatsMinerV3) close() {}
