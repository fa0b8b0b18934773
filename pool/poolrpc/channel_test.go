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

func toChannel(name string) *hashleasev1.ShowMessageRequest {
	return &hashleasev1.ShowMessageRequest{Scope: &hashleasev1.ShowMessageRequest_Channel{Channel: name}}
}

func toWorker(name string) *hashleasev1.ShowMessageRequest {
	return &hashleasev1.ShowMessageRequest{Scope: &hashleasev1.ShowMessageRequest_Worker{Worker: name}}
}

func toAll(all bool) *hashleasev1.ShowMessageRequest {
	return &hashleasev1.ShowMessageRequest{Scope: &hashleasev1.ShowMessageRequest_All{All: all}}
}

// Ensure a message reaches whom its scope names, and that its counts and refusals come back.
func TestService_ShowsMessages(t *testing.T) {
	cfg := config()
	var told poolrpc.Audience
	var said string
	cfg.ShowMessage = func(to poolrpc.Audience, text string) (*hashleasev1.ShowMessageResponse, error) {
		told, said = to, text
		if to.Worker == "nobody" {
			return nil, poolrpc.As(poolrpc.ErrUnknown, errors.New("nobody mines under this name"))
		}
		return &hashleasev1.ShowMessageResponse{Told: 3, Unreachable: 2, Behind: 1}, nil
	}
	client := dial(t, cfg)
	for _, v := range []struct {
		req  *hashleasev1.ShowMessageRequest
		want poolrpc.Audience
	}{
		{toChannel("sessions/7/channels/1"), poolrpc.Audience{
			Channel: poolrpc.ChannelID{Session: 7, Channel: 1},
		}},
		{toWorker("acme.rig"), poolrpc.Audience{Worker: "acme.rig"}},
		{toWorker("acme"), poolrpc.Audience{Worker: "acme"}},
		{toAll(true), poolrpc.Audience{All: true}},
	} {
		v.req.Text = "fans are changed at 22:00"
		res, err := client.ShowMessage(t.Context(), v.req)
		if err != nil || told != v.want || said != v.req.GetText() {
			t.Errorf("%v: told %+v %q, error %v", v.req, told, said, err)
		}
		if res.GetTold() != 3 || res.GetUnreachable() != 2 || res.GetBehind() != 1 {
			t.Errorf("%v: counts %v", v.req, res)
		}
	}
	nobody := toWorker("nobody")
	nobody.Text = "hello"
	_, err := client.ShowMessage(t.Context(), nobody)
	st := status.Convert(err)
	if st.Code() != codes.NotFound || st.Message() != "nobody mines under this name" {
		t.Errorf("error %v", err)
	}
}

// Ensure every faulty field of a message is named with what is accepted, and that nobody is told.
func TestService_NamesFaultyFieldsOfMessages(t *testing.T) {
	cfg := config()
	cfg.ShowMessage = func(to poolrpc.Audience, text string) (*hashleasev1.ShowMessageResponse, error) {
		t.Errorf("%+v was told %q", to, text)
		return nil, nil
	}
	client := dial(t, cfg)
	for _, v := range []struct {
		req  *hashleasev1.ShowMessageRequest
		text string
		want string
	}{
		{&hashleasev1.ShowMessageRequest{}, "hello", "scope"},
		{toAll(false), "hello", "scope"},
		{toChannel("7/1"), "hello", "channel"},
		{toChannel(""), "hello", "channel"},
		{toWorker(""), "hello", "worker"},
		{toWorker("a\x1b.b"), "hello", "worker"},
		{toWorker(strings.Repeat("x", 256)), "hello", "worker"},
		{toAll(true), "", "text"},
		{toAll(true), strings.Repeat("x", 256), "text"},
		{toAll(true), "two\nlines", "text"},
		{toAll(true), "smörgås", "text"},
		{toWorker("."), "\x7f", "worker text"},
	} {
		v.req.Text = v.text
		_, err := client.ShowMessage(t.Context(), v.req)
		if got := strings.Join(violations(t, err), " "); got != v.want {
			t.Errorf("%v: faults %q, want %q", v.req, got, v.want)
		}
	}
}
