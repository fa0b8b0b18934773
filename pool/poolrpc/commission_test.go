package poolrpc_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/poolrpc"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

var errLimit = errors.New("limit is 9 MW: at most 1 MW is accepted")

// commissioning answers from constants.
func commissioning() poolrpc.Commissioning {
	return poolrpc.Commissioning{
		Commission: func(
			_ context.Context, w poolrpc.CommissionWish,
			send func(*hashleasev1.CommissionFeederResponse) error,
		) error {
			switch {
			case w.Limit > 1e6:
				return poolrpc.NewLimitError(errLimit)
			case w.DryRun:
				return poolrpc.As(poolrpc.ErrState, errors.New("it is in observe"))
			}
			note := string(w.Site) + "|" + string(w.Feeder)
			return send(&hashleasev1.CommissionFeederResponse{
				Event: &hashleasev1.CommissionFeederResponse_Note{Note: note},
			})
		},
		Headroom: func(site fleet.SiteID) ([]*hashleasev1.Headroom, error) {
			return []*hashleasev1.Headroom{{Feeder: string(site), FirmWatts: 7}}, nil
		},
	}
}

// Ensure that a commissioning is asked for as the request says, streams what it reports, and that its
// refusals are understood.
func TestService_CommissionsFeeders(t *testing.T) {
	client := dial(t, config())
	ask := func(r *hashleasev1.CommissionFeederRequest) (string, error) {
		s, err := client.CommissionFeeder(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		note := ""
		for {
			m, err := s.Recv()
			if errors.Is(err, io.EOF) {
				return note, nil
			}
			if err != nil {
				return note, err
			}
			note += m.GetNote()
		}
	}
	const f1 = "sites/yard/feeders/f1"
	if got, err := ask(&hashleasev1.CommissionFeederRequest{Feeder: f1}); got != "yard|f1" || err != nil {
		t.Errorf("got %q, error %v", got, err)
	}
	_, err := ask(&hashleasev1.CommissionFeederRequest{Feeder: "f1", LimitWatts: -1})
	if diff := cmp.Diff([]string{"feeder", "limit_watts"}, violations(t, err)); diff != "" {
		t.Errorf("violations (-want +got):\n%s", diff)
	}
	_, err = ask(&hashleasev1.CommissionFeederRequest{Feeder: f1, LimitWatts: 9e6})
	if diff := cmp.Diff([]string{"limit_watts"}, violations(t, err)); diff != "" {
		t.Errorf("violations of a limit (-want +got):\n%s", diff)
	}
	_, err = ask(&hashleasev1.CommissionFeederRequest{Feeder: f1, DryRun: true})
	if status.Code(err) != codes.FailedPrecondition {
		t.Errorf("refused by its state: %v", err)
	}
}

// Ensure that headroom is given of one site or of all.
func TestService_GetsHeadroom(t *testing.T) {
	client := dial(t, config())
	for site, want := range map[string]string{"": "", "sites/yard": "yard"} {
		r, err := client.GetHeadroom(t.Context(), &hashleasev1.GetHeadroomRequest{Site: site})
		if err != nil || len(r.GetFeeders()) != 1 || r.GetFeeders()[0].GetFeeder() != want {
			t.Errorf("headroom of %q: %v, error %v", site, r, err)
		}
	}
	_, err := client.GetHeadroom(t.Context(), &hashleasev1.GetHeadroomRequest{Site: "yard"})
	if diff := cmp.Diff([]string{"site"}, violations(t, err)); diff != "" {
		t.Errorf("violations (-want +got):\n%s", diff)
	}
}
