package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/hashlease/hashlease/pool/unit"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
	"github.com/hashlease/hashlease/stratum"
)

type sharesCmd struct{ clientFlags }

// Run shows credited work.
func (c *sharesCmd) Run(ctx context.Context, e *env) error {
	cl, err := c.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	call, cancel := cl.call(ctx)
	defer cancel()
	r, err := cl.operator.ListShares(call, &hashleasev1.ListSharesRequest{})
	if err != nil {
		return fmt.Errorf("asking for shares: %w", err)
	}
	workers := r.GetWorkers()
	slices.SortFunc(workers, func(a, b *hashleasev1.WorkerShares) int {
		return cmp.Compare(a.GetWorker(), b.GetWorker())
	})
	if c.JSON {
		return jsonList(e, workers)
	}
	t := newTable(e.stdout, "WORKER", "ACCOUNT", "SHARES", "WORK", "LAST")
	for _, w := range workers {
		t.row(w.GetWorker(), w.GetAccount(), strconv.FormatUint(w.GetShares(), 10),
			workText(w.GetWork()), clock(w.GetLastTime()))
	}
	return t.flush()
}

// workText is a decimal number of hashes for people.
func workText(decimal string) string {
	var w unit.Work
	if err := w.UnmarshalText([]byte(decimal)); err != nil {
		return decimal
	}
	return strings.TrimSuffix(unit.Hashrate(w.Float()).String(), "/s")
}

type blocksCmd struct {
	clientFlags
	Limit int32 `help:"At most this many, newest first." default:"100"`
}

// Run shows found blocks.
func (c *blocksCmd) Run(ctx context.Context, e *env) error {
	if c.Limit < 1 || c.Limit > 1000 {
		return usagef("--limit is %d: 1 to 1000 is accepted", c.Limit)
	}
	cl, err := c.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	call, cancel := cl.call(ctx)
	defer cancel()
	r, err := cl.operator.ListBlocks(call, &hashleasev1.ListBlocksRequest{PageSize: c.Limit})
	if err != nil {
		return fmt.Errorf("asking for blocks: %w", err)
	}
	if c.JSON {
		return jsonList(e, r.GetBlocks())
	}
	t := newTable(e.stdout, "HEIGHT", "HASH", "WORKER", "VALUE", "FOUND", "OUTCOME")
	for _, b := range r.GetBlocks() {
		t.row(strconv.Itoa(int(b.GetHeight())), b.GetHash(), b.GetWorker(), bitcoins(b.GetValueSats()),
			clock(b.GetFoundTime()), b.GetOutcome())
	}
	return t.flush()
}

// bitcoins is satoshi as BTC with all eight places.
func bitcoins(sats int64) string {
	sign, u := "", uint64(sats)
	if sats < 0 {
		sign, u = "-", -u
	}
	return fmt.Sprintf("%s%d.%08d BTC", sign, u/1e8, u%1e8)
}

type statusCmd struct{ clientFlags }

// Run shows the present figures.
func (c *statusCmd) Run(ctx context.Context, e *env) error {
	cl, err := c.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	call, cancel := cl.call(ctx)
	defer cancel()
	r, err := cl.operator.GetStatus(call, &hashleasev1.GetStatusRequest{})
	if err != nil {
		return fmt.Errorf("asking for the status: %w", err)
	}
	if c.JSON {
		return e.jsonLine(r)
	}
	if err := printPool(e, r); err != nil {
		return err
	}
	if ports := r.GetPool().GetPorts(); len(ports) > 0 {
		e.printf("\n")
		if err := printPorts(e, ports); err != nil {
			return err
		}
	}
	if len(r.GetFeeders()) == 0 {
		return nil
	}
	e.printf("\n")
	if err := printFeeders(e, r.GetFeeders()); err != nil {
		return err
	}
	tight := tightBranches(r.GetBranches())
	if len(tight) == 0 {
		return nil
	}
	e.printf("\n")
	return printBranches(e, tight)
}

// nearLimit is from how many thousandths of its limit on a branch is shown in the status.
const nearLimit = 950

// tightBranches are those that somebody should look at: near their limit, over it, or with something wrong.
// site branches shows all.
func tightBranches(all []*hashleasev1.BranchStatus) (tight []*hashleasev1.BranchStatus) {
	for _, b := range all {
		near := b.GetTotalWatts()*1000 >= b.GetLimitWatts()*nearLimit
		if near && b.GetState() == "ok" {
			b = proto.CloneOf(b)
			b.State = fmt.Sprintf("near its limit: %.1f %%",
				float64(b.GetTotalWatts())/float64(max(1, b.GetLimitWatts()))*100)
		}
		if b.GetState() != "ok" {
			tight = append(tight, b)
		}
	}
	return tight
}

func printPool(e *env, r *hashleasev1.GetStatusResponse) error {
	p := r.GetPool()
	t := newTable(e.stdout, "time", clock(r.GetTime()))
	t.row("node", p.GetNodeState())
	t.row("height", strconv.Itoa(int(p.GetHeight())))
	t.row("hashrate", unit.Hashrate(p.GetHashrate()).String()+scaleText(p.GetHashScale()))
	t.row("sessions", fmt.Sprintf("%d with %s", p.GetSessions(),
		plural(int(p.GetChannels()), "channel", "channels")))
	t.row("shares", strconv.FormatUint(p.GetSharesAccepted(), 10)+" accepted"+rejects(p.GetSharesRejected()))
	t.row("blocks", fmt.Sprintf("%d found, %d accepted", p.GetBlocksFound(), p.GetBlocksAccepted()))
	t.row("tip to last job", latencyText(p.GetTipToLastJob()))
	t.row("share to ack", latencyText(p.GetShareToAck()))
	t.row("stratum", fmt.Sprintf("stratum2+tcp://HOST:%d/%s", p.GetStratumPort(), p.GetAuthorityKey()))
	t.row("leases", leasesText(r.GetLeases()))
	return t.flush()
}

// printPorts shows where miners connect.
func printPorts(e *env, ports []*hashleasev1.StratumPort) error {
	t := newTable(e.stdout, "PORT", "LISTEN", "SPEAKS", "LEAST DIFFICULTY", "V1", "V2", "FAILED")
	for _, p := range ports {
		least := "-"
		if d := p.GetMinDifficulty(); d > 0 {
			least = fmt.Sprintf("%.4g", d)
		}
		live := func(dialect string) string {
			if !slices.Contains(p.GetDialects(), dialect) {
				return "-"
			}
			return strconv.FormatInt(p.GetConnections()[dialect], 10)
		}
		t.row(strconv.Itoa(int(p.GetPort())), p.GetListen(), spoken(p), least,
			live(stratum.V1.String()), live(stratum.V2.String()),
			strconv.FormatUint(p.GetConnectionsFailed(), 10))
	}
	return t.flush()
}

// spoken says for people how a port is spoken to.
func spoken(p *hashleasev1.StratumPort) string {
	text := strings.Join(p.GetDialects(), ", ")
	if p.GetTls() {
		text += " over TLS"
	}
	if p.GetProxied() {
		text += ", proxies in front"
	}
	return text
}

// scaleText says of a simulation how its hashes are to be read.
func scaleText(scale float64) string {
	if scale <= 1 {
		return ""
	}
	return fmt.Sprintf(", simulated: each hash stands for %.3g", scale)
}

func leasesText(b *hashleasev1.LeaseBookStatus) string {
	text := fmt.Sprintf("%d live", b.GetLive())
	if state := b.GetState(); state != "ok" && state != "" {
		text += "; " + state
	}
	return text
}

func rejects(m map[string]uint64) string {
	var b strings.Builder
	for _, reason := range sortedKeys(m) {
		fmt.Fprintf(&b, ", %d %s", m[reason], reason)
	}
	return b.String()
}

func latencyText(l *hashleasev1.Latency) string {
	if l.GetCount() == 0 {
		return "-"
	}
	return fmt.Sprintf("p50 %s, p99 %s, max %s (%d)",
		millisText(l.GetP50Ms()), millisText(l.GetP99Ms()), millisText(l.GetMaxMs()), l.GetCount())
}

// millisText is milliseconds for people.
func millisText(ms float64) string {
	switch {
	case ms >= 1000:
		return fmt.Sprintf("%.2f s", ms/1000)
	case ms >= 100:
		return fmt.Sprintf("%.0f ms", ms)
	default:
		return fmt.Sprintf("%.2f ms", ms)
	}
}

func printFeeders(e *env, feeders []*hashleasev1.FeederStatus) error {
	t := newTable(e.stdout,
		"FEEDER", "ARM", "LIMIT", "TOTAL", "MINING", "BASE", "TENANTS", "BOUND", "CURTAILED", "STATE")
	for _, f := range feeders {
		watts := func(w int64) string { return unit.Watts(w).String() }
		t.row(feederWord(f.GetFeeder()), armWord(f.GetArm()), watts(f.GetLimitWatts()),
			watts(f.GetTotalWatts()), watts(f.GetMiningWatts()), watts(f.GetBaseWatts()),
			watts(f.GetTenantWatts()), watts(f.GetBoundWatts()),
			fmt.Sprintf("%d of %d", f.GetWorkersCurtailed(), f.GetWorkers()), f.GetState())
	}
	return t.flush()
}

func armWord(a hashleasev1.Arm) string {
	return strings.ToLower(strings.TrimPrefix(a.String(), "ARM_"))
}
