package leaserpc

import (
	"strings"

	"github.com/hashlease/hashlease/lease"
)

// parseLeaseName reads "tenants/{tenant}/leases/{uid}".
func parseLeaseName(s string) (lease.TenantID, lease.UID, bool) {
	tenant, uid, ok := pair(s, "tenants", "leases")
	return lease.TenantID(tenant), lease.UID(uid), ok
}

func leaseName(l *lease.Lease) string {
	return "tenants/" + string(l.Tenant) + "/leases/" + string(l.UID)
}

// parseSiteName reads "sites/{site}".
func parseSiteName(s string) (lease.SiteID, bool) {
	p := strings.Split(clip(s), "/")
	if len(p) != 2 || p[0] != "sites" || !lease.ValidName(p[1]) {
		return "", false
	}
	return lease.SiteID(p[1]), true
}

func siteName(s string) string { return "sites/" + s }

// parseFeederName reads "sites/{site}/feeders/{feeder}".
func parseFeederName(s string) (lease.SiteID, lease.FeederID, bool) {
	site, feeder, ok := pair(s, "sites", "feeders")
	return lease.SiteID(site), lease.FeederID(feeder), ok
}

func feederName(site, feeder string) string { return "sites/" + site + "/feeders/" + feeder }

// pair reads "{outer}/name/{inner}/name".
func pair(s, outer, inner string) (a, b string, ok bool) {
	p := strings.Split(clip(s), "/")
	if len(p) != 4 || p[0] != outer || p[2] != inner || !lease.ValidName(p[1]) || !lease.ValidName(p[3]) {
		return "", "", false
	}
	return p[1], p[3], true
}

// clip bounds what is split: no name is longer.
func clip(s string) string {
	const longest = 128
	if len(s) > longest {
		return ""
	}
	return s
}

// parseUUID reads a UUID, 8-4-4-4-12 hexadecimal digits, and returns its lower-case form. The
// zero UUID is refused: it is what a forgotten field looks like.
func parseUUID(s string) (string, bool) {
	if len(s) != 36 {
		return "", false
	}
	zero := true
	for i := range len(s) {
		c := s[i]
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return "", false
			}
			continue
		}
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return "", false
		}
		zero = zero && c == '0'
	}
	return strings.ToLower(s), !zero
}
