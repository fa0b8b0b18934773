package chaos

import (
	"crypto/rand"
	"math"
	"strings"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// kind is a way to misbehave. What it does is one visit: it returns when the server has ended the
// connection, when its own part is over, or when the phase is.
type kind struct {
	name string
	does func(p *peer) error
}

// kinds are all of them, in the order of a connection's life.
var kinds = []kind{
	{"slow-handshake", func(p *peer) error { return p.drip(make([]byte, 64), 200*time.Millisecond) }},
	{"half-act-1", func(p *peer) error { return p.say(make([]byte, 32), true) }},
	{"garbage", func(p *peer) error { return p.say(random(400), true) }},
	{"v1-text", func(p *peer) error {
		return p.say([]byte(`{"id":1,"method":"mining.subscribe","params":["x"]}`+"\n"), true)
	}},
	{"json-bomb", func(p *peer) error { return p.say([]byte(`{"id":`+strings.Repeat("[", 64<<10)), true) }},
	{"reconnect-storm", func(p *peer) error { return p.shake() }},
	{"half-open", func(p *peer) error { return p.after(p.shake, p.closeWrite) }},
	{"no-setup", func(p *peer) error { return p.frames(false, sv2.CloseChannel{ChannelID: 2}) }},
	{"setup-twice", func(p *peer) error { return p.frames(true, setup(0)) }},
	{"setup-of-another-protocol", func(p *peer) error {
		return p.frames(false, sv2.SetupConnection{Protocol: 2, MinVersion: 2, MaxVersion: 2, Flags: 1})
	}},
	{"bad-mac", func(p *peer) error { return p.after(p.begin, func() error { return p.raw(random(64)) }) }},
	{"huge-header", func(p *peer) error {
		err := p.header(sv2.TypeSubmitSharesStandard, sv2.MaxPayload, nil)
		_ = pause(p.ctx, 10*time.Second) // a frame of 16 MiB must be sealed to have its header
		return err
	}},
	{"wrong-length", func(p *peer) error {
		return p.header(sv2.TypeSubmitSharesStandard, 7, make([]byte, 7))
	}},
	{"half-frame", func(p *peer) error { return p.header(sv2.TypeUpdateChannel, 40, nil) }},
	{"one-byte-writes", func(p *peer) error { return p.bytewise() }},
	{"silent", func(p *peer) error { return p.after(p.begin, p.listen) }},
	{"slow-reader", func(p *peer) error { return p.deaf(200) }},
	{"channel-flood", func(p *peer) error {
		return p.flood(func(uint32) sv2.Message { return standard("flood") })
	}},
	{"open-close-churn", func(p *peer) error { return p.flood(churn) }},
	{"nan-hashrate", func(p *peer) error {
		return p.flood(func(uint32) sv2.Message {
			m := standard("nan")
			m.NominalHashRate = float32(math.NaN())
			return m
		})
	}},
	{"unknown-job-flood", func(p *peer) error {
		return p.flood(func(n uint32) sv2.Message {
			return sv2.SubmitSharesStandard{ChannelID: p.channel, JobID: noSuchJob, Sequence: n}
		})
	}},
	{"unknown-channel-flood", func(p *peer) error {
		return p.flood(func(n uint32) sv2.Message {
			return sv2.SubmitSharesStandard{ChannelID: math.MaxUint32, Sequence: n}
		})
	}},
	{"duplicate-flood", func(p *peer) error {
		return p.flood(func(n uint32) sv2.Message { return p.share(n, 7) })
	}},
	{"valid-flood", func(p *peer) error {
		return p.flood(func(n uint32) sv2.Message { return p.share(n, n) })
	}},
	{"update-flood", func(p *peer) error {
		return p.flood(func(n uint32) sv2.Message {
			return sv2.UpdateChannel{
				ChannelID: p.channel, NominalHashRate: float32(n % 1000), MaxTarget: pool.MaxTarget.Bytes(),
			}
		})
	}},
	{"custom-job-flood", func(p *peer) error {
		return p.flood(func(n uint32) sv2.Message {
			return sv2.SetCustomMiningJob{ChannelID: p.channel, RequestID: n}
		})
	}},
	{"unknown-extension-flood", func(p *peer) error { return p.unknown(0x7abc) }},
	{"extension-request-flood", func(p *peer) error {
		return p.flood(func(n uint32) sv2.Message {
			return sv2.RequestExtensions{RequestID: uint16(n), Requested: []uint16{9, 8, 7, 6, 5}}
		})
	}},
	{"tlv-garbage", func(p *peer) error { return p.named() }},
	{"power-garbage", func(p *peer) error { return p.power() }},
}

// churn opens and closes in turn; ids of channels are guessed.
func churn(n uint32) sv2.Message {
	if n%2 == 0 {
		return standard("churn")
	}
	return sv2.CloseChannel{ChannelID: n/2 + 2}
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails (crypto/rand)
	return b
}
