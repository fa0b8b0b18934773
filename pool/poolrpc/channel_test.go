package poolrpc_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/poolrpc"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

func named(id poolrpc.ChannelID) *hashleasev1.Channel { return &hashleasev1.Channel{Name: id.String()} }

// channelsOf opens channels in disorder: 60 sessions of alice.w1 to alice.w60 with two each, one of bob's.
func channelsOf() (all []poolrpc.OpenChannel) {
	add := func(session uint64, channel uint32, worker pool.WorkerID) {
		id := poolrpc.ChannelID{Session: session, Channel: channel}
		all = append(all, poolrpc.OpenChannel{
			ID: id, Worker: worker, Message: func() *hashleasev1.Channel { return named(id) },
		})
	}
	for i := range uint64(60) {
		session := (i*37)%60 + 1
		worker := pool.WorkerID(fmt.Sprintf("alice.w%d", session))
		add(session, 2, worker)
		add(session, 1, worker)
	}
	add(100, 1, "bob")
	return all
}

// Ensure channels come in order, page by page, each once, also when some close in between.
func TestService_ListsChannelsByPages(t *testing.T) {
	cfg := config()
	open := channelsOf()
	cfg.Channels = func() []poolrpc.OpenChannel { return slices.Clone(open) }
	client := dial(t, cfg)
	list := func(worker, token string, size int32) (*hashleasev1.ListChannelsResponse, []string) {
		t.Helper()
		r, err := client.ListChannels(t.Context(), &hashleasev1.ListChannelsRequest{
			Worker: worker, PageSize: size, PageToken: token,
		})
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, c := range r.GetChannels() {
			names = append(names, c.GetName())
		}
		return r, names
	}
	first, names := list("", "", 0)
	if len(names) != 100 || names[0] != "sessions/1/channels/1" || names[99] != "sessions/50/channels/2" ||
		first.GetTotalSize() != 121 {
		t.Fatalf("first page of %d, %v to %v, of %d", len(names), names[0], names[99], first.GetTotalSize())
	}
	open = slices.DeleteFunc(open, func(c poolrpc.OpenChannel) bool { return c.ID.Session == 50 })
	last, names := list("", first.GetNextPageToken(), 0)
	if len(names) != 21 || names[0] != "sessions/51/channels/1" || last.GetNextPageToken() != "" {
		t.Errorf("last page %v, next %q", names, last.GetNextPageToken())
	}
	for worker, want := range map[string]string{
		"alice.w7": "sessions/7/channels/1 sessions/7/channels/2",
		"bob":      "sessions/100/channels/1", "ali": "",
	} {
		if _, names := list(worker, "", 0); strings.Join(names, " ") != want {
			t.Errorf("channels of %s: %v, want %s", worker, names, want)
		}
	}
	if r, names := list("alice", "", 1000); len(names) != 118 || r.GetTotalSize() != 118 {
		t.Errorf("%d channels of alice", len(names))
	}
}

// Ensure every faulty field of a call about channels is named with what is accepted, and nothing is done.
func TestService_NamesFaultyFieldsOfChannels(t *testing.T) {
	cfg := config()
	cfg.CloseChannel = func(poolrpc.ChannelID, string) error {
		t.Error("a channel was closed")
		return nil
	}
	client := dial(t, cfg)
	for _, name := range []string{
		"", "7/1", "sessions/7", "sessions/7/channels/", "sessions/07/channels/1", "sessions/-7/channels/1",
		"sessions/7/channels/4294967296", "sessions/7/channels/1/",
	} {
		_, err := client.RenewChannelPrefix(t.Context(), &hashleasev1.RenewChannelPrefixRequest{Name: name})
		if got := violations(t, err); !slices.Equal(got, []string{"name"}) {
			t.Errorf("%q: faults %v", name, got)
		}
	}
	_, err := client.SetChannelPayout(t.Context(), &hashleasev1.SetChannelPayoutRequest{
		Name: "x", Payout: "y", PoolPercent: 100,
	})
	if got := violations(t, err); !slices.Equal(got, []string{"name", "payout", "pool_percent"}) {
		t.Errorf("payout: faults %v", got)
	}
	for _, reason := range []string{strings.Repeat("x", 256), "tab\t", "smörgås"} {
		_, err := client.CloseChannel(t.Context(), &hashleasev1.CloseChannelRequest{
			Name: "sessions/1/channels/1", Reason: reason,
		})
		if got := violations(t, err); !slices.Equal(got, []string{"reason"}) {
			t.Errorf("reason %q: faults %v", reason, got)
		}
	}
	_, err = client.ListChannels(t.Context(), &hashleasev1.ListChannelsRequest{
		PageSize: 1001, PageToken: "x",
	})
	if got := violations(t, err); !slices.Equal(got, []string{"page_size", "page_token"}) {
		t.Errorf("list: faults %v", got)
	}
}

// Ensure calls about a channel reach it, and that refusals keep their words.
func TestService_SteersChannels(t *testing.T) {
	cfg := config()
	var told string
	cfg.CloseChannel = func(id poolrpc.ChannelID, reason string) error {
		told = id.String() + " " + reason
		if id.Channel == 2 {
			return poolrpc.As(poolrpc.ErrUnknown, errors.New("there is no such channel"))
		}
		return nil
	}
	client := dial(t, cfg)
	ch, err := client.SetChannelPayout(t.Context(), &hashleasev1.SetChannelPayoutRequest{
		Name: "sessions/7/channels/1", Payout: "addr", PoolPercent: 99,
	})
	if err != nil || ch.GetPayout() != "script" || ch.GetPoolPercent() != 99 {
		t.Errorf("payout %v, error %v", ch, err)
	}
	_, err = client.CloseChannel(t.Context(), &hashleasev1.CloseChannelRequest{Name: "sessions/7/channels/1"})
	if err != nil || told != "sessions/7/channels/1 "+poolrpc.ClosedByOperator {
		t.Errorf("closed %q, error %v", told, err)
	}
	_, err = client.CloseChannel(t.Context(), &hashleasev1.CloseChannelRequest{Name: "sessions/7/channels/2"})
	if st := status.Convert(err); st.Code() != codes.NotFound || st.Message() != "there is no such channel" {
		t.Errorf("error %v", err)
	}
}
