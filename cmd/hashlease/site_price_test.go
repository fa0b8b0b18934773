package main

import (
	"context"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

func (s *scripted) ListPrices(
	context.Context, *hashleasev1.ListPricesRequest,
) (*hashleasev1.ListPricesResponse, error) {
	return &hashleasev1.ListPricesResponse{Sites: []*hashleasev1.SitePrice{
		{
			Site: "sites/north", Known: true, MsatPerKwh: 90_000, Source: "time of use",
			NextTime: &timestamppb.Timestamp{Seconds: 1893553445}, NextMsatPerKwh: 40_000,
			FeedFault: "status 503", MsatPerExahash: 500_000, Running: 150, Stopped: 50,
			FreedWatts: 160_000, SavedMsatPerHour: 1_500_000,
			Models: []*hashleasev1.ModelPrice{
				{
					Model: "Antminer S19\x1b", Workers: 50, Stopped: 50,
					LeastMsatPerKwh: 60_000, MostMsatPerKwh: 61_000,
				},
				{Model: "Antminer S21", Workers: 150, LeastMsatPerKwh: 102_857, MostMsatPerKwh: 102_857},
			},
			Workers: []string{"a.1\x1b"},
		},
		{Site: "sites/south", Running: 3},
	}}, nil
}

func (s *scripted) SetPin(
	_ context.Context, r *hashleasev1.SetPinRequest,
) (*hashleasev1.SetPinResponse, error) {
	s.reason = r.GetWorker()
	if r.GetPinned() {
		s.reason += " pinned"
	}
	return &hashleasev1.SetPinResponse{}, nil
}

func (s *scripted) ListPins(
	context.Context, *hashleasev1.ListPinsRequest,
) (*hashleasev1.ListPinsResponse, error) {
	return &hashleasev1.ListPinsResponse{Pins: []*hashleasev1.Pin{
		{Worker: "a.1", Feeder: "sites/north/feeders/n1", ByHand: true},
		{Worker: "a.2", Feeder: "sites/north/feeders/n1"},
	}}, nil
}

// Ensure that prices are shown with what they stop, the break-even of each model, a lost feed and an unknown
// tariff, harmless to a terminal.
func TestSitePrice_ShowsWhatPowerCostsAndStops(t *testing.T) {
	d := newDesk(t)
	d.want(exitOK, "north  90 sat       time of use  2030-01-02 03:04:05 UTC: 40 sat  150      50       "+
		"160 kW  1500 sat", "north: the price feed is lost (status 503)", "site", "price")
	d.want(exitOK, "south  not known", "south: no tariff is configured", "site", "price")
	d.want(exitOK, "Antminer S19?  50       50       60 sat to 61 sat\n", "", "site", "price", "north")
	d.want(exitOK, "Antminer S21   150      0        102.857 sat\n", "", "site", "price", "north")
	d.want(exitOK, "STOPPED BY THE PRICE\na.1?\n", "", "site", "price", "north")
	d.want(exitOK, `"saved_msat_per_hour":"1500000"`, "", "site", "price", "north", "--json")
	d.want(exitUsage, "", `there is no site "west"`, "site", "price", "west")
}

// Ensure that pins are set, taken off and listed by who set them.
func TestWorkerPin_SetsAndLists(t *testing.T) {
	d := newDesk(t)
	d.want(exitOK, "a.1 is left alone, over restarts too", "", "worker", "pin", "a.1")
	if d.srv.reason != "a.1 pinned" {
		t.Errorf("asked for %q", d.srv.reason)
	}
	d.want(exitOK, "a.1 may give way again.\n", "", "worker", "unpin", "a.1")
	if d.srv.reason != "a.1" {
		t.Errorf("asked for %q", d.srv.reason)
	}
	d.want(exitOK, "a.1     north/n1  operator\na.2     north/n1  configuration\n", "", "worker", "pins")
	d.want(exitOK, `"by_hand":true`, "", "worker", "pins", "--json")
}

func (s *scripted) ListQuarantined(
	context.Context, *hashleasev1.ListQuarantinedRequest,
) (*hashleasev1.ListQuarantinedResponse, error) {
	return &hashleasev1.ListQuarantinedResponse{Workers: []*hashleasev1.Quarantined{{
		Worker: "a.1", Feeder: "sites/north/feeders/n1", Why: "woke by itself\x1b[2J",
		Time: &timestamppb.Timestamp{Seconds: 1893553445},
	}}}, nil
}

func (s *scripted) ReleaseWorker(
	_ context.Context, r *hashleasev1.ReleaseWorkerRequest,
) (*hashleasev1.ReleaseWorkerResponse, error) {
	s.reason += " released " + r.GetWorker()
	return &hashleasev1.ReleaseWorkerResponse{}, nil
}

// Ensure that quarantined machines are listed, harmless to a terminal, and released by name.
func TestWorker_IsReleasedFromQuarantine(t *testing.T) {
	d := newDesk(t)
	d.want(exitOK, "a.1     north/n1  2030-01-02 03:04:05 UTC  woke by itself?[2J\n", "",
		"worker", "quarantined")
	d.want(exitOK, `"why":"woke by itself`, "", "worker", "quarantined", "--json")
	d.want(exitOK, "a.2 takes part again", "", "worker", "release", "a.1", "a.2")
	if d.srv.reason != " released a.1 released a.2" {
		t.Errorf("asked for %q", d.srv.reason)
	}
}
