package poolrpc

import (
	"strings"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

const maxName = 40 // bytes of a site's, a feeder's, a tenant's or a lease's name

// parseCurtailment checks a request and lists all its faults.
func parseCurtailment(req *hashleasev1.CurtailSiteRequest) (Curtailment, error) {
	var v invalid
	name, ok := strings.CutPrefix(req.GetSite(), "sites/")
	if !ok || !validName(name) {
		v.add("site", `"sites/{site}" is accepted, the name of 1 to 40 of a-z 0-9 - _`)
	}
	if w := req.GetWatts(); w < 1 || w > maxWatts {
		v.add("watts", "1 to 1000000000000 is accepted")
	}
	d := req.GetDuration()
	if d.CheckValid() != nil || d.AsDuration() < minCurtailment || d.AsDuration() > maxCurtail {
		v.add("duration", "1s to 24h is accepted")
	}
	if err := v.err(); err != nil {
		return Curtailment{}, err
	}
	return Curtailment{
		Site: fleet.SiteID(name), Watts: unit.Watts(req.GetWatts()),
		For: d.AsDuration(), DryRun: req.GetDryRun(),
	}, nil
}

// parseFeeder reads "sites/{site}/feeders/{feeder}".
func parseFeeder(s string) (fleet.SiteID, fleet.FeederID, bool) {
	site, feeder, ok := pair(s, "sites/", "/feeders/")
	return fleet.SiteID(site), fleet.FeederID(feeder), ok
}

// parseLease reads "tenants/{tenant}/leases/{uid}".
func parseLease(s string) (tenant, lease string, ok bool) { return pair(s, "tenants/", "/leases/") }

// pair reads two names behind outer and inner.
func pair(s, outer, inner string) (a, b string, ok bool) {
	rest, ok := strings.CutPrefix(s, outer)
	a, b, found := strings.Cut(rest, inner)
	if !ok || !found || !validName(a) || !validName(b) {
		return "", "", false
	}
	return a, b, true
}

func validName(s string) bool {
	const accepted = "abcdefghijklmnopqrstuvwxyz0123456789-_"
	return s != "" && len(s) <= maxName && strings.Trim(s, accepted) == ""
}
