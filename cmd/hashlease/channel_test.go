package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/node"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
	"github.com/hashlease/hashlease/stratum/stratumtest"
	"github.com/hashlease/hashlease/stratum/sv2"
)

func (s *scripted) ListChannels(
	_ context.Context, r *hashleasev1.ListChannelsRequest,
) (*hashleasev1.ListChannelsResponse, error) {
	s.channels = append(s.channels, r)
	first := &hashleasev1.Channel{
		Name: "sessions/7/channels/1", Worker: "alice.s21", Dialect: "v2",
		Device: "Bitmain\x1b S21", Address: "192.0.2.1:9",
		Kind:           hashleasev1.ChannelKind_CHANNEL_KIND_STANDARD,
		OpenTime:       &timestamppb.Timestamp{Seconds: 1893553445},
		SharesAccepted: 12, Difficulty: 65536, Hashrate: 200e12, ExtranoncePrefix: "00010203000000000000",
	}
	if r.GetPageToken() == "" && r.GetPageSize() > 1 {
		return &hashleasev1.ListChannelsResponse{
			Channels: []*hashleasev1.Channel{first}, NextPageToken: "there", TotalSize: 3,
		}, nil
	}
	return &hashleasev1.ListChannelsResponse{Channels: []*hashleasev1.Channel{{
		Name: "sessions/8/channels/2", Worker: "solo:tb1q.rig", Payout: "tb1q", PoolPercent: 2,
		Kind: hashleasev1.ChannelKind_CHANNEL_KIND_EXTENDED,
	}}, TotalSize: 3}, nil
}

func (s *scripted) RenewChannelPrefix(
	_ context.Context, r *hashleasev1.RenewChannelPrefixRequest,
) (*hashleasev1.Channel, error) {
	return &hashleasev1.Channel{Name: r.GetName(), ExtranoncePrefix: "0a0b0c0d"}, nil
}

func (s *scripted) SetChannelPayout(
	_ context.Context, r *hashleasev1.SetChannelPayoutRequest,
) (*hashleasev1.Channel, error) {
	return &hashleasev1.Channel{
		Name: r.GetName(), Payout: r.GetPayout(), PoolPercent: r.GetPoolPercent(),
	}, nil
}

func (s *scripted) CloseChannel(
	_ context.Context, r *hashleasev1.CloseChannelRequest,
) (*hashleasev1.CloseChannelResponse, error) {
	if r.GetName() != "sessions/7/channels/1" {
		return nil, status.Error(codes.NotFound, "there is no such channel")
	}
	s.reason = r.GetReason()
	return &hashleasev1.CloseChannelResponse{}, nil
}

func (s *scripted) ShowMessage(
	_ context.Context, r *hashleasev1.ShowMessageRequest,
) (*hashleasev1.ShowMessageResponse, error) {
	s.message = r
	switch {
	case r.GetAll():
		return &hashleasev1.ShowMessageResponse{Told: 200, Unreachable: 1, Behind: 3}, nil
	case r.GetWorker() == "acme":
		return &hashleasev1.ShowMessageResponse{Told: 1}, nil
	case r.GetChannel() == "sessions/7/channels/1":
		return &hashleasev1.ShowMessageResponse{Unreachable: 1}, nil
	}
	return nil, status.Error(codes.NotFound, "nobody mines under this name")
}

// Ensure that channels are shown page by page up to the limit, and that the rest is told of.
func TestChannelList_ShowsPagesUpToTheLimit(t *testing.T) {
	d := newDesk(t)
	d.want(exitOK, "7/1      alice.s21      standard  v2       Bitmain? S21  192.0.2.1:9  "+
		"2030-01-02 03:04:05 UTC  -           12        0         6.554e+04   200 TH/s  00010203  the pool\n"+
		"8/2      solo:tb1q.rig",
		"1 more: --limit 3 shows all", "channel", "list", "--worker", "alice")
	if !strings.Contains(d.out, "tb1q, 2 % the pool") {
		t.Errorf("no payout in\n%s", d.out)
	}
	if len(d.srv.channels) != 2 || d.srv.channels[1].GetPageToken() != "there" ||
		d.srv.channels[1].GetWorker() != "alice" {
		t.Errorf("asked %v", d.srv.channels)
	}
	d.want(exitOK, `{"name":"sessions/8/channels/2"`, "", "channel", "list", "--limit", "1", "--json")
	d.want(exitUsage, "", "--limit is 0", "channel", "list", "--limit", "0")
}

// Ensure that a channel is steered by the name that the list gives it, and that other names are refused.
func TestChannel_IsSteeredByItsListedName(t *testing.T) {
	d := newDesk(t)
	d.want(exitOK, "0a0b0c0d", "", "channel", "prefix", "7/1")
	d.want(exitOK, "tb1x, 3 % the pool", "", "channel", "payout", "7/1", "tb1x", "--pool-percent", "3")
	d.want(exitOK, "Channel 7/1 is closed", "", "channel", "close", "7/1")
	if d.srv.reason != "closed-by-operator" {
		t.Errorf("reason %q", d.srv.reason)
	}
	d.want(exitOK, "{}", "", "channel", "close", "sessions/7/channels/1", "--reason", "rack moves", "--json")
	if d.srv.reason != "rack moves" {
		t.Errorf("reason %q", d.srv.reason)
	}
	d.want(exitRefused, "", "closing the channel: there is no such channel", "channel", "close", "7/2")
	for _, name := range []string{"7", "7/", "/1", "7/1/1", "x/1", "sessions/7", "7/99999999999"} {
		d.want(exitUsage, "", "SESSION/CHANNEL is accepted, as hashlease channel list shows it",
			"channel", "prefix", name)
	}
	d.want(exitUsage, "", "--pool-percent is 100",
		"channel", "payout", "7/1", "tb1x", "--pool-percent", "100")
}

// Ensure that a message goes to whom the flags name, that the counts are told, and that a message which
// reached nobody is a failure.
func TestChannelMessage_TellsWhoWasTold(t *testing.T) {
	d := newDesk(t)
	d.want(exitOK, "200 miners were told.\n1 channel is of Stratum V2, which has no message for people.\n"+
		"3 miners were left out: too much waits for it to be read already.\n", "",
		"channel", "message", "--all", "fans stop at 22:00")
	if m := d.srv.message; !m.GetAll() || m.GetText() != "fans stop at 22:00" {
		t.Errorf("asked %v", m)
	}
	d.want(exitOK, "1 miner was told.\n", "", "channel", "message", "--worker", "acme", "hello")
	d.want(exitOK, `{"told":"1","unreachable":"0","behind":"0"}`, "",
		"channel", "message", "--worker", "acme", "hello", "--json")
	d.want(exitFailed, "0 miners were told.\n1 channel is of Stratum V2", "",
		"channel", "message", "--channel", "7/1", "hello")
	d.want(exitFailed, `"unreachable":"1"`, "",
		"channel", "message", "--channel", "sessions/7/channels/1", "hello", "--json")
	d.want(exitRefused, "", "sending the message: nobody mines under this name",
		"channel", "message", "--worker", "other.x", "hello")
}

const (
	soloFirst  = demoPayout
	soloSecond = "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7"
)

// listed is a channel as `hashlease channel list --json` shows it.
type listed struct {
	Name, Worker, Kind, Payout string
	Dialect, Device, Address   string
	ExtranoncePrefix           string `json:"extranonce_prefix"`
	PoolPercent                int    `json:"pool_percent"`
	Difficulty                 float64
}

func (s *site) channelsOf(worker string) (all []listed) {
	s.t.Helper()
	out := s.command("channel", "list", "--worker", worker, "--json")
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		s.t.Fatalf("%v in %s", err, out)
	}
	return all
}

// refuse runs a command that the server is to refuse.
func (s *site) refuse(want string, args ...string) {
	s.t.Helper()
	var out, errs bytes.Buffer
	args = append(args, "--server", s.listen[1], "--ca", s.caFile(), "--key", s.keys.admin)
	code := Main(s.t.Context(), args, strings.NewReader(""), &out, &errs)
	if code != exitRefused && code != exitUsage || !strings.Contains(errs.String(), want) {
		s.t.Errorf("%s: exit status %d: %s", strings.Join(args[:3], " "), code, &errs)
	}
}

// openSolo opens a channel of a miner for himself and returns its first job.
func (s *site) openSolo() (*stratumtest.Client, sv2.NewExtendedMiningJob) {
	s.t.Helper()
	c, err := stratumtest.Dial(s.t.Context(), s.listen[0], &s.authority)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	if _, err := c.Setup(0); err != nil {
		s.t.Fatal(err)
	}
	if _, err := c.OpenExtended("sri/solo/"+soloFirst+"/rig", 1e12, pool.MaxTarget); err != nil {
		s.t.Fatal(err)
	}
	return c, awaitMessage[sv2.NewExtendedMiningJob](s.t, c)
}

// Ensure that the operator sees, steers and closes a live miner's channel by the program's commands, and
// that its miner hears of each.
func TestProgram_SteersChannels(t *testing.T) {
	if testing.Short() {
		t.Skip("starts btcd and a server; the full run is make test")
	}
	s := newTestSite(t, 8)
	s.allowSolo()
	s.startServer()
	s.runMiners()
	s.eventually("the server answers", time.Minute, func() bool { return s.sim.Stats().Mining == 8 })
	c, job := s.openSolo()
	all := s.channelsOf("solo:" + soloFirst)
	if len(all) != 1 || all[0].Payout != soloFirst || all[0].Kind != "CHANNEL_KIND_EXTENDED" {
		t.Fatalf("channels of the solo miner: %+v", all)
	}
	name := all[0].Name
	before := all[0].ExtranoncePrefix

	s.command("channel", "payout", name, soloSecond, "--pool-percent", "2")
	params, err := node.ParseNetwork(demoNetwork)
	if err != nil {
		t.Fatal(err)
	}
	script, err := pool.PayoutScript(soloSecond, params)
	if err != nil {
		t.Fatal(err)
	}
	for !bytes.Contains(job.CoinbaseSuffix, script) {
		job = awaitMessage[sv2.NewExtendedMiningJob](t, c)
	}
	s.command("channel", "prefix", name)
	told := awaitMessage[sv2.SetExtranoncePrefix](t, c)
	after := s.channelsOf("solo:" + soloFirst + ".rig")[0]
	if p := hex.EncodeToString(told.ExtranoncePrefix); p != after.ExtranoncePrefix || p == before {
		t.Errorf("prefix was %s, the miner was told %s, the list has %s", before, p, after.ExtranoncePrefix)
	}
	if after.Payout != soloSecond || after.PoolPercent != 2 {
		t.Errorf("changed channel %+v", after)
	}
	s.refuse("close this one", "channel", "payout", s.channelsOf("north.asic-001")[0].Name, soloSecond)
	s.refuse("payout address", "channel", "payout", name, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4")
	s.showsMessages(name)
	s.command("channel", "close", name, "--reason", "rack moves")
	if m := awaitMessage[sv2.CloseChannel](t, c); m.Reason != "rack moves" {
		t.Errorf("the miner was told %q", m.Reason)
	}
	s.refuse("see hashlease channel list", "channel", "prefix", name)
	s.stop()
}

// showsMessages tells miners of both dialects something; channel is one of Stratum V2.
func (s *site) showsMessages(channel string) {
	s.t.Helper()
	old, err := stratumtest.DialV1(s.t.Context(), s.listen[0], nil)
	if err != nil {
		s.t.Fatal(err)
	}
	defer old.Close()
	if err := old.Send(`{"id":1,"method":"mining.subscribe","params":[]}`,
		`{"id":2,"method":"mining.authorize","params":["field.old","x"]}`); err != nil {
		s.t.Fatal(err)
	}
	if _, err := old.AwaitReply("2", time.Minute); err != nil {
		s.t.Fatal(err)
	}
	for _, to := range [][]string{
		{"--all"}, {"--worker", "field"}, {"--channel", s.channelsOf("field")[0].Name},
	} {
		s.command(append([]string{"channel", "message", "fans stop at 22:00"}, to...)...)
		m, err := old.AwaitMethod("client.show_message", time.Minute)
		if err != nil || string(m.Params[0]) != `"fans stop at 22:00"` {
			s.t.Errorf("%v: a miner was told %+v, error %v", to, m, err)
		}
	}
	s.refuse("printable ASCII", "channel", "message", "--all", "two\nlines")
	s.refuse("see hashlease channel list", "channel", "message", "--worker", "nobody", "hello")
	var out, errs bytes.Buffer
	code := Main(s.t.Context(), []string{
		"channel", "message", "--channel", channel, "hello",
		"--server", s.listen[1], "--ca", s.caFile(), "--key", s.keys.admin,
	}, strings.NewReader(""), &out, &errs)
	if code != exitFailed || !strings.Contains(out.String(), "1 channel is of Stratum V2") {
		s.t.Errorf("to a miner of Stratum V2: exit status %d: %s%s", code, &out, &errs)
	}
}

// allowSolo lets miners name whom their blocks pay, in the configuration on disk.
func (s *site) allowSolo() {
	s.t.Helper()
	path := filepath.Join(s.dir, configFile)
	text, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	text = bytes.Replace(text, []byte("\nsolo = false\n"), []byte("\nsolo = true\n"), 1)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		s.t.Fatal(err)
	}
}
