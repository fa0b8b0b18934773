package leaserpc

import (
	"strings"
	"testing"

	"github.com/hashlease/hashlease/lease"
)

// FuzzNames looks for names that are accepted and are not their own canonical form.
func FuzzNames(f *testing.F) {
	for _, s := range []string{
		"tenants/acme/leases/l1", "sites/yard", "sites/yard/feeders/north", "sites/../x",
		"tenants/a/leases/", "", "/",
		"tenants/\u0430cme/leases/l1", "sites/a\x00b", strings.Repeat("/", 200),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		tenant, uid, ok := parseLeaseName(s)
		if l := (&lease.Lease{Tenant: tenant, UID: uid}); ok && leaseName(l) != s {
			t.Errorf("lease name %q", s)
		}
		if site, ok := parseSiteName(s); ok && siteName(string(site)) != s {
			t.Errorf("site name %q", s)
		}
		if site, feeder, ok := parseFeederName(s); ok && feederName(string(site), string(feeder)) != s {
			t.Errorf("feeder name %q", s)
		}
		if id, ok := parseUUID(s); ok && !strings.EqualFold(id, s) {
			t.Errorf("uuid %q", s)
		}
	})
}

// FuzzPageToken looks for tokens that were not given and are accepted.
func FuzzPageToken(f *testing.F) {
	p := pager{key: []byte("secret")}
	f.Add("acme", p.token("acme", 7))
	f.Add("acme", p.token("other", 7))
	f.Add("", "")
	f.Fuzz(func(t *testing.T, owner, token string) {
		if before, ok := p.before(owner, token); ok && p.token(owner, before) != token {
			t.Errorf("token %q of %q", token, owner)
		}
	})
}
