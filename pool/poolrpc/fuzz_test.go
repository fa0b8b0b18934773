package poolrpc

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

// FuzzNames reads any text as a resource's name: what is accepted is written the same again.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"sites/a/feeders/b", "tenants/t/leases/l", "sites//feeders/", "", "sites/a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if site, feeder, ok := parseFeeder(s); ok && "sites/"+string(site)+"/feeders/"+string(feeder) != s {
			t.Errorf("%q reads as %q and %q", s, site, feeder)
		}
		if tenant, lease, ok := parseLease(s); ok && "tenants/"+tenant+"/leases/"+lease != s {
			t.Errorf("%q reads as %q and %q", s, tenant, lease)
		}
	})
}

// FuzzCurtailment checks any request: what is accepted is within its bounds.
func FuzzCurtailment(f *testing.F) {
	f.Add("sites/hall", int64(1000), int64(60), int32(0))
	f.Add("hall", int64(-1), int64(1)<<62, int32(-1))
	f.Fuzz(func(t *testing.T, site string, watts, seconds int64, nanos int32) {
		c, err := parseCurtailment(&hashleasev1.CurtailSiteRequest{
			Site: site, Watts: watts, Duration: &durationpb.Duration{Seconds: seconds, Nanos: nanos},
		})
		if err != nil {
			return
		}
		if "sites/"+string(c.Site) != site || c.Watts < 1 || c.For < time.Second || c.For > 24*time.Hour {
			t.Errorf("%q, %d W, %d.%09d s became %+v", site, watts, seconds, nanos, c)
		}
	})
}
