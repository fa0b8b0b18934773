package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// Kind says what a record is about.
type Kind string

// Kinds of records. docs/audit.md says which fields each of them has.
const (
	Started    Kind = "started"    // the log was opened; its text says what was found
	Stopped    Kind = "stopped"    // the log was closed in order
	Gap        Kind = "gap"        // records that could not be kept, and why
	Removed    Kind = "removed"    // the oldest records were removed, as configured
	ClockState Kind = "clock"      // what the system knows of its clock's error
	Order      Kind = "order"      // a setpoint for a worker
	Acked      Kind = "ack"        // the device's answer to it
	Failed     Kind = "failed"     // it could not be told
	Evidence   Kind = "evidence"   // how far an order is known to have taken effect
	Reading    Kind = "reading"    // what the meters of a feeder show, and the work done since the last
	OnBranch   Kind = "branch"     // what the own meter of a PDU, a transformer or an import shows
	Interval   Kind = "interval"   // a quarter of an hour of a feeder
	Claim      Kind = "claim"      // watts claimed by a lease or a curtailment
	Proof      Kind = "proof"      // what meters say of a claim
	LimitSet   Kind = "limit"      // a cap from outside
	Armed      Kind = "arm"        // what may be done on a feeder
	Stop       Kind = "stop"       // an emergency stop begins or ends
	MeterState Kind = "meter"      // meters of a feeder become fresh, or why they are not
	Price      Kind = "price"      // a tariff that decides, its source, and whom it stops
	Commission Kind = "commission" // what a test of a feeder has shown, step by step
	Event      Kind = "event"      // what people were told
)

// Record is one entry of the log. Which fields mean something depends on its kind; the others are zero and
// are not written. Seq is given by the log.
type Record struct {
	Seq    uint64         `json:"seq"`
	At     time.Time      `json:"at"` // by the server's clock
	Kind   Kind           `json:"kind"`
	Site   fleet.SiteID   `json:"site"`
	Feeder fleet.FeederID `json:"feeder"`
	Branch fleet.BranchID `json:"branch"`
	Worker pool.WorkerID  `json:"worker"`
	Claim  string         `json:"claim"`
	Tenant string         `json:"tenant"`
	State  string         `json:"state"` // a word: mode, arm, step of evidence, what became of a claim
	Text   string         `json:"text"`  // for people

	Order time.Time `json:"order"` // when ordering begins for a claim
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
	Read  time.Time `json:"read"` // when what was read was measured, by the meter's clock

	Number  uint64     `json:"number"` // of a command, a limit or a proof
	Term    uint32     `json:"term"`
	Watts   unit.Watts `json:"watts"`  // ordered, acknowledged, claimed or allowed
	Before  unit.Watts `json:"before"` // drawn before an order
	Said    unit.Watts `json:"said"`   // by the device's own word
	Total   unit.Watts `json:"total"`
	Mining  unit.Watts `json:"mining"`
	Base    unit.Watts `json:"base"`
	Tenants unit.Watts `json:"tenants"`
	Limit   unit.Watts `json:"limit"`
	Bound   unit.Watts `json:"bound"`   // what mining may draw
	Ordered unit.Watts `json:"ordered"` // what the orders in force lead to
	Ceiling unit.Watts `json:"ceiling"` // by limits from outside

	Delivered unit.Joules `json:"delivered"`
	Overrun   unit.Joules `json:"overrun"`
	Freed     unit.Watts  `json:"freed"`

	Hashrate float64   `json:"hashrate"` // expected after an order
	Stable   float64   `json:"stable"`   // measured before it
	Due      float64   `json:"due"`      // hashes that reduced workers would have done, at their stable rates
	Done     float64   `json:"done"`     // hashes that they did
	Price    float64   `json:"price"`    // msat a hash
	Tariff   unit.Msat `json:"tariff"`   // msat a kWh
	Saved    unit.Msat `json:"saved"`    // msat an hour, by stopping for a price

	Reduced    int `json:"reduced"`    // workers below full power by order
	Faulty     int `json:"faulty"`     // of these: out of reach, or not doing as ordered; not in Due
	Unmeasured int `json:"unmeasured"` // of these: never seen hashing at full power; not in Due

	Millis  int64  `json:"millis"`  // that an interval was covered, or until an order takes effect
	Back    int64  `json:"back"`    // likewise, of the return
	Offset  int64  `json:"offset"`  // microseconds that the clock is off
	Missing uint64 `json:"missing"` // records, or bytes of a torn end
	Proven  int    `json:"proven"`  // of a commissioning: workers
	Found   int    `json:"found"`   // findings
	Left    int    `json:"left"`    // workers that are not proven, or groups to come
	Head    string `json:"head"`    // hash of the newest removed record
	Busy    bool   `json:"busy"`    // a claim, a limit, an order or a stop was in force
	Fresh   bool   `json:"fresh"`   // no reading behind it was stale
	Free    bool   `json:"free"`    // see fleet.Proof
	Gone    bool   `json:"gone"`
	Hold    bool   `json:"hold"` // an order outlasts the server
	Warn    bool   `json:"warn"`
}

// timeForm is how instants are written: UTC, microseconds.
const timeForm = "2006-01-02T15:04:05.000000Z"

// Append writes the record's canonical bytes: an object with the fields of Record in their order,
// without those that are zero; seq, at and kind are always there.
func (r *Record) Append(dst []byte) []byte {
	e := encoder{dst}
	e.b = append(e.b, '{')
	e.count("seq", r.Seq)
	e.b = append(e.b, `,"at":"`...)
	e.b = append(r.At.UTC().AppendFormat(e.b, timeForm), '"')
	e.b = append(e.b, `,"kind":`...)
	e.b = appendText(e.b, string(r.Kind))
	r.appendWords(&e)
	r.appendPower(&e)
	r.appendWork(&e)
	return append(e.b, '}')
}

func (r *Record) appendWords(e *encoder) {
	e.text("site", string(r.Site))
	e.text("feeder", string(r.Feeder))
	e.text("branch", string(r.Branch))
	e.text("worker", string(r.Worker))
	e.text("claim", r.Claim)
	e.text("tenant", r.Tenant)
	e.text("state", r.State)
	e.text("text", r.Text)
	e.instant("order", r.Order)
	e.instant("from", r.From)
	e.instant("until", r.Until)
	e.instant("read", r.Read)
}

func (r *Record) appendPower(e *encoder) {
	e.count("number", r.Number)
	e.count("term", uint64(r.Term))
	e.number("watts", int64(r.Watts))
	e.number("before", int64(r.Before))
	e.number("said", int64(r.Said))
	e.number("total", int64(r.Total))
	e.number("mining", int64(r.Mining))
	e.number("base", int64(r.Base))
	e.number("tenants", int64(r.Tenants))
	e.number("limit", int64(r.Limit))
	e.number("bound", int64(r.Bound))
	e.number("ordered", int64(r.Ordered))
	e.number("ceiling", int64(r.Ceiling))
	e.number("delivered", int64(r.Delivered))
	e.number("overrun", int64(r.Overrun))
	e.number("freed", int64(r.Freed))
}

func (r *Record) appendWork(e *encoder) {
	e.float("hashrate", r.Hashrate)
	e.float("stable", r.Stable)
	e.float("due", r.Due)
	e.float("done", r.Done)
	e.float("price", r.Price)
	e.number("tariff", int64(r.Tariff))
	e.number("saved", int64(r.Saved))
	e.number("reduced", int64(r.Reduced))
	e.number("faulty", int64(r.Faulty))
	e.number("unmeasured", int64(r.Unmeasured))
	e.number("millis", r.Millis)
	e.number("back", r.Back)
	e.number("offset", r.Offset)
	e.count("missing", r.Missing)
	e.number("proven", int64(r.Proven))
	e.number("found", int64(r.Found))
	e.number("left", int64(r.Left))
	e.text("head", r.Head)
	e.flag("busy", r.Busy)
	e.flag("fresh", r.Fresh)
	e.flag("free", r.Free)
	e.flag("gone", r.Gone)
	e.flag("hold", r.Hold)
	e.flag("warn", r.Warn)
}

// ParseRecord reads a record's canonical bytes. Fields that it does not know are passed over: a later
// version may have more.
func ParseRecord(b []byte) (Record, error) {
	var r Record
	if len(b) > MaxRecord {
		return r, fmt.Errorf("record has %d bytes: up to %d are accepted", len(b), MaxRecord)
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("record is not as it is written: %w", err)
	}
	if r.Seq == 0 || r.Kind == "" || r.At.IsZero() {
		return r, errors.New("record has no sequence number, time or kind")
	}
	return r, nil
}
