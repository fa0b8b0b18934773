package device

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/hashlease/hashlease/pool/device/md5crypt"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

func init() {
	openers["whatsminer-v2"] = opener{port: 4028, open: openWhatsMinerV2, is: isWhatsMinerV2}
}

// whatsMinerV2 is the interface of older WhatsMiners, as the vendor's API documentation 2.0 describes it:
// one question a connection, writes encrypted and with a token of 30 minutes. It takes a limit in watts,
// for which it restarts its mining.
type whatsMinerV2 struct {
	api cgAPI
	cfg Config

	key, token string // what writes are encrypted with and signed by; empty: to be asked for

	state  wm2State   // as it was last read
	own    unit.Watts // the limit that its owner had set, as it was seen; 0: not known
	faults []string
	every  time.Time // of faults
}

func openWhatsMinerV2(cfg Config) (Driver, error) {
	if cfg.Login == (Login{}) {
		cfg.Login = Login{User: "admin", Password: "admin"}
	}
	return newMachine("whatsminer-v2", cfg, &whatsMinerV2{api: newCGAPI(cfg), cfg: cfg}), nil
}

// wm2Version is what get_version answers, as far as it is used.
type wm2Version struct {
	API      string `json:"api_ver"`
	Firmware string `json:"fw_ver"` // begins with its date
}

// wm2Last is the first firmware whose machines are for the newer interface, which has them here, too.
const wm2Last = "20241101"

func isWhatsMinerV2(ctx context.Context, cfg Config) bool {
	var v wm2Version
	w := &whatsMinerV2{api: newCGAPI(cfg), cfg: cfg}
	err := w.read(ctx, "get_version", &v)
	return err == nil && v.Firmware != "" && v.Firmware < wm2Last && !strings.HasPrefix(v.API, "3")
}

// wm2State is what status answers, as far as it is used.
type wm2State struct {
	Off    string `json:"mineroff"`
	OldOff string `json:"btmineroff"`
	Limit  number `json:"power_limit_set"`
}

func (s *wm2State) off() bool {
	return strings.EqualFold(s.Off, "true") || strings.EqualFold(s.OldOff, "true")
}

// wm2Summary is what summary answers, as far as it is used.
type wm2Summary struct {
	Summary []struct {
		Watts   number `json:"Power"`
		Now     number `json:"HS RT"`  // MH/s
		Last    number `json:"MHS 5s"` // of older firmware
		Average number `json:"MHS av"` //
		Factory number `json:"Factory GHS"`
		Stable  *bool  `json:"Hash Stable"`
		Elapsed number `json:"Elapsed"`
		Chip    number `json:"Chip Temp Max"`
		Inlet   number `json:"Env Temp"`
		MAC     string `json:"MAC"`
	} `json:"SUMMARY"`
}

// read asks what needs no token. Answers of cgminer's commands are read whole, of others their message.
func (w *whatsMinerV2) read(ctx context.Context, command string, out any) error {
	b, err := w.api.exchange(ctx, fmt.Appendf(nil, "{\"cmd\":%q}\n", command))
	if err == nil {
		err = wm2Decode(b, out)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	return nil
}

// wm2Reply is an answer: STATUS is a text, or cgminer's list.
type wm2Reply struct {
	Status json.RawMessage `json:"STATUS"`
	Code   number          `json:"Code"`
	Msg    json.RawMessage `json:"Msg"`
}

func wm2Decode(b []byte, out any) error {
	var r wm2Reply
	if err := decodeAnswer(b, &r); err != nil {
		return err
	}
	if bytes.HasPrefix(r.Status, []byte("[")) {
		if _, err := cgStatus(b); err != nil || out == nil {
			return err
		}
		return decodeAnswer(b, out)
	}
	var status string
	if json.Unmarshal(r.Status, &status) != nil {
		return fmt.Errorf("%w: no STATUS", ErrAnswer)
	}
	if status != "S" {
		return wm2Refusal(int(r.Code), r.Msg)
	}
	if out == nil {
		return nil
	}
	return decodeAnswer(r.Msg, out)
}

// errToken says that a token is not, or no longer, good.
var errToken = fmt.Errorf("%w: its token", ErrLogin)

// Codes of refusals.
const (
	wm2BadJSON    = 23
	wm2Permission = 45
	wm2BadToken   = 135
	wm2BadBase64  = 137
)

func wm2Refusal(code int, msg json.RawMessage) error {
	switch code {
	case wm2BadToken:
		return errToken
	case wm2Permission:
		return fmt.Errorf("%w: code %d: %s: %s", ErrLogin, code, whatsMinerWrites, quote(msg))
	}
	return fmt.Errorf("%w: code %d: %s", ErrRefused, code, quote(msg))
}

// write sends an encrypted command. A token that has ended is asked for anew, once.
func (w *whatsMinerV2) write(ctx context.Context, command string, more map[string]string) error {
	for again := false; ; again = true {
		if w.token == "" {
			if err := w.logIn(ctx); err != nil {
				return fmt.Errorf("%s: %w", command, err)
			}
		}
		err := w.writeOnce(ctx, command, more)
		if err == nil {
			return nil
		}
		if again || !errors.Is(err, errToken) {
			return fmt.Errorf("%s: %w", command, err)
		}
		w.token = ""
	}
}

func (w *whatsMinerV2) writeOnce(ctx context.Context, command string, more map[string]string) error {
	ask := map[string]string{"cmd": command, "token": w.token}
	maps.Copy(ask, more)
	plain, err := json.Marshal(ask)
	if err != nil {
		return fmt.Errorf("writing a request: %w", err)
	}
	send, err := json.Marshal(map[string]any{"enc": 1, "data": wm2Seal(w.key, plain)})
	if err != nil {
		return fmt.Errorf("writing a request: %w", err)
	}
	b, err := w.api.exchange(ctx, send)
	if err != nil {
		return err
	}
	var sealed struct {
		Text string `json:"enc"`
	}
	if err := decodeAnswer(b, &sealed); err != nil {
		return err
	}
	if sealed.Text == "" { // it did not come to decrypt, or could not
		var r wm2Reply
		if json.Unmarshal(b, &r) == nil && (r.Code == wm2BadJSON || r.Code == wm2BadBase64) {
			w.token = ""
			return fmt.Errorf("%w: it cannot decrypt what its password encrypts", ErrLogin)
		}
		return wm2Decode(b, nil)
	}
	if b, err = wm2Unseal(w.key, sealed.Text); err != nil {
		return err
	}
	return wm2Decode(b, nil)
}

// logIn makes key and token of the password and of what the machine says.
func (w *whatsMinerV2) logIn(ctx context.Context) error {
	var t struct {
		Time string `json:"time"`
		Salt string `json:"salt"`
		New  string `json:"newsalt"`
	}
	if err := w.read(ctx, "get_token", &t); err != nil {
		return err
	}
	if t.Time == "" || t.Salt == "" || t.New == "" {
		return fmt.Errorf("%w: get_token without time, salt and newsalt", ErrAnswer)
	}
	w.key = md5crypt.Sum(w.cfg.Login.Password, t.Salt)
	w.token = md5crypt.Sum(w.key+t.Time[max(0, len(t.Time)-4):], t.New)
	w.cfg.veil.hide(w.key)
	w.cfg.veil.hide(w.token)
	return nil
}

// wm2Seal encrypts block by block with a key made of a text, as base64. What is missing to a block is zero.
func wm2Seal(key string, plain []byte) string {
	sum := sha256.Sum256([]byte(key))
	block, err := aes.NewCipher(sum[:])
	if err != nil {
		panic(err) // the length of a sum is a key's
	}
	b := append(plain, make([]byte, -len(plain)&(aes.BlockSize-1))...)
	for n := 0; n < len(b); n += aes.BlockSize {
		block.Encrypt(b[n:], b[n:])
	}
	return base64.StdEncoding.EncodeToString(b)
}

// wm2Unseal is wm2Seal backwards.
func wm2Unseal(key, text string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b)%aes.BlockSize != 0 {
		return nil, fmt.Errorf("%w: an encrypted answer of whole blocks is accepted", ErrAnswer)
	}
	sum := sha256.Sum256([]byte(key))
	block, err := aes.NewCipher(sum[:])
	if err != nil {
		panic(err) // as above
	}
	for n := 0; n < len(b); n += aes.BlockSize {
		block.Decrypt(b[n:], b[n:])
	}
	return bytes.TrimRight(b, "\x00"), nil
}

func (w *whatsMinerV2) identify(ctx context.Context) (Identity, error) {
	var v wm2Version
	if err := w.read(ctx, "get_version", &v); err != nil {
		return Identity{}, err
	}
	var d struct {
		Details []struct {
			Model string `json:"Model"`
		} `json:"DEVDETAILS"`
	}
	if err := w.read(ctx, "devdetails", &d); err != nil {
		return Identity{}, err
	}
	if err := w.readState(ctx); err != nil {
		return Identity{}, err
	}
	var sum wm2Summary
	if err := w.read(ctx, "summary", &sum); err != nil && !w.silent(err) {
		return Identity{}, err
	}
	var pools cgPools
	if err := w.read(ctx, "pools", &pools); err != nil && !w.silent(err) {
		return Identity{}, err
	}
	id := Identity{Firmware: firmware("WhatsMiner", v.Firmware), Workers: pools.facts().workers}
	if len(d.Details) > 0 {
		id.Model = whatsMinerModel(d.Details[0].Model)
	}
	if len(sum.Summary) > 0 {
		n := &sum.Summary[0]
		id.MAC, id.Nominal.Hashrate = macOf(n.MAC), unit.Hashrate(n.Factory)*1e9
	}
	return id, nil
}

func (w *whatsMinerV2) readState(ctx context.Context) error {
	w.state = wm2State{}
	if err := w.read(ctx, "status", &w.state); err != nil {
		return err
	}
	if is := w.limit(); len(w.cfg.Curve) > 0 && is >= w.cfg.Curve.Full().Watts {
		w.own = is
	}
	return nil
}

// limit is what it was limited to, 0 if it was not.
func (w *whatsMinerV2) limit() unit.Watts { return watts(float64(w.state.Limit)) }

func (w *whatsMinerV2) see(ctx context.Context) (fleet.Sighting, error) {
	if err := w.readState(ctx); err != nil {
		return fleet.Sighting{}, err
	}
	var sum wm2Summary
	if err := w.read(ctx, "summary", &sum); err != nil && !w.silent(err) {
		return fleet.Sighting{}, err
	}
	var pools cgPools
	if err := w.read(ctx, "pools", &pools); err != nil && !w.silent(err) {
		return fleet.Sighting{}, err
	}
	if w.cfg.Now().Sub(w.every) >= slowEvery {
		if err := w.readFaults(ctx); err != nil {
			return fleet.Sighting{}, err
		}
	}
	f := pools.facts()
	s := fleet.Sighting{
		Wattage: fleet.WattsMeasured, Pool: f.pool, Backups: f.backups, Errors: w.faults,
		Activity: fleet.ActivityMoving,
	}
	if is := w.limit(); w.caps() && is > 0 && is < w.cfg.Curve.Full().Watts {
		s.Target = is
	}
	sum.into(&s)
	if w.state.off() {
		w.seeOff(&s)
	}
	return s, nil
}

// silent says that a refusal is that of a machine which is off: its mining software does not run.
func (w *whatsMinerV2) silent(err error) bool { return w.state.off() && errors.Is(err, ErrRefused) }

// into fills in what a summary says.
func (sum *wm2Summary) into(s *fleet.Sighting) {
	if len(sum.Summary) == 0 {
		return
	}
	n := &sum.Summary[0]
	s.Watts, s.Hashrate = watts(float64(n.Watts)), unit.Hashrate(max(n.Now, n.Last))*1e6
	s.Uptime = seconds(int64(min(max(n.Elapsed, 0), 1<<32)))
	s.Chip, s.Inlet = degrees(float64(n.Chip)), degrees(float64(n.Inlet))
	if s.Hashrate > 0 && (n.Stable == nil || *n.Stable) {
		s.Activity = fleet.ActivityMining
	}
}

// seeOff tells sleep from the way there.
func (w *whatsMinerV2) seeOff(s *fleet.Sighting) {
	s.Activity = fleet.ActivityAsleep
	if float64(s.Watts) > asleepBelow(w.cfg) {
		s.Activity = fleet.ActivityMoving
	}
	if s.Watts == 0 { // its supply does not say while it is off
		s.Watts, s.Wattage = w.cfg.Sleep, fleet.WattsEstimated
	}
}

// readFaults reads its error codes: texts, or objects with a time by code.
func (w *whatsMinerV2) readFaults(ctx context.Context) error {
	var f struct {
		Codes []json.RawMessage `json:"error_code"`
	}
	if err := w.read(ctx, "get_error_code", &f); err != nil {
		return err
	}
	w.faults, w.every = nil, w.cfg.Now()
	for _, c := range f.Codes[:min(len(f.Codes), fleet.MaxErrors)] {
		var text string
		var dated map[string]string
		if json.Unmarshal(c, &text) == nil {
			w.faults = append(w.faults, "code "+text)
		} else if json.Unmarshal(c, &dated) == nil {
			for code, at := range dated {
				w.faults = append(w.faults, "code "+code+" at "+at)
				break
			}
		}
	}
	return nil
}

// set looks first, and limits before it starts, so that a machine wakes to its cap.
func (w *whatsMinerV2) set(ctx context.Context, s fleet.Setpoint) error {
	if s.Mode == fleet.Capped && (!w.caps() || s.Watts < w.cfg.Curve[0].Watts) {
		return fmt.Errorf("%w: a cap needs the machine's curve, and at least %v",
			ErrCannot, w.capability().Min)
	}
	if err := w.readState(ctx); err != nil {
		return err
	}
	if s.Mode == fleet.Paused {
		if w.state.off() {
			return nil
		}
		return w.write(ctx, "power_off", map[string]string{"respbefore": "true"})
	}
	if err := w.aim(ctx, s); err != nil || !w.state.off() {
		return err
	}
	return w.write(ctx, "power_on", nil)
}

// aim limits its power if that is another limit: it restarts for it.
func (w *whatsMinerV2) aim(ctx context.Context, s fleet.Setpoint) error {
	if !w.caps() {
		return nil
	}
	is, full := w.limit(), w.cfg.Curve.Full().Watts
	want := min(s.Watts, full)
	if s.Mode == fleet.Free {
		if is == 0 || is >= full {
			return nil
		}
		want = max(w.own, full)
	}
	if want == is {
		return nil
	}
	return w.write(ctx, "adjust_power_limit", map[string]string{"power_limit": fmt.Sprint(int64(want))})
}

// caps says that it is known what full power is.
func (w *whatsMinerV2) caps() bool { return len(w.cfg.Curve) > 1 }

// capability: off within 15 s, a start takes up to 25 minutes to look for clocks (power.md, 6). A limit is
// kept; whether it sleeps on after a reboot is not documented.
func (w *whatsMinerV2) capability() fleet.Capability {
	c := fleet.Capability{
		Max: fullWatts(w.cfg.Curve), Step: 1, CanPause: true, CanCap: w.caps(), Restarts: true,
		HoldsAlone: true, Forgets: true, Measured: true, ShedIn: 15 * time.Second, ReturnIn: 25 * time.Minute,
	}
	if c.CanCap {
		c.Min = w.cfg.Curve[0].Watts
	}
	return c
}

func (w *whatsMinerV2) close() {}
