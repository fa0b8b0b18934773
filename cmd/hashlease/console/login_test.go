package console

import (
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Ensure a login link lets its first user in, and nobody after that.
func TestConsole_LinkLogsInOnce(t *testing.T) {
	s := newSite(t, nil)
	link := s.console.LoginURL(s.server.URL)
	if !regexp.MustCompile(`/login\?link=[A-Za-z0-9_-]{43}$`).MatchString(link) {
		t.Errorf("link %q does not carry 256 bits", link)
	}
	if body := s.get(link, http.StatusOK); !strings.Contains(body, `content="0;url=/"`) {
		t.Errorf("the page after login does not lead on:\n%s", body)
	}
	s.get("/", http.StatusOK)
	s.client = s.browser()
	if body := s.get(link, http.StatusUnauthorized); !strings.Contains(body, "was used already") {
		t.Errorf("replay does not say why it failed:\n%s", body)
	}
	s.get("/", http.StatusSeeOther)
	s.get("/login?link=", http.StatusOK)
	s.get("/login?link="+strings.Repeat("x", 5000), http.StatusUnauthorized)
}

// Ensure that programs which fetch a page ahead of its reader do not use the link up.
func TestConsole_PrefetchKeepsTheLink(t *testing.T) {
	s := newSite(t, nil)
	link := s.console.LoginURL(s.server.URL)
	for _, headers := range [][]string{{"Sec-Purpose", "prefetch;prerender"}, {"Purpose", "prefetch"}} {
		answer, _ := s.do(http.MethodGet, link, nil, headers...)
		if answer.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%v: %s", headers, answer.Status)
		}
	}
	s.do(http.MethodHead, link, nil)
	s.get(link, http.StatusOK)
}

// Ensure the admin key logs in, wrong ones do not, and the cookie is as strict as it can be.
func TestConsole_KeyLogsIn(t *testing.T) {
	s := newSite(t, nil)
	for _, key := range []string{"", "hl_admin_wrong", adminKey + "x", strings.Repeat("k", 300)} {
		answer, body := s.do(http.MethodPost, "/login", url.Values{"key": {key}})
		if answer.StatusCode != http.StatusUnauthorized || len(answer.Cookies) > 0 ||
			!strings.Contains(body, "not the admin key") {
			t.Errorf("key %.20q: %s with %d cookies", key, answer.Status, len(answer.Cookies))
		}
	}
	answer, _ := s.do(http.MethodPost, "/login", url.Values{"key": {" " + adminKey + "\n"}})
	if answer.StatusCode != http.StatusSeeOther || len(answer.Cookies) != 1 {
		t.Fatalf("the admin key: %s with %d cookies", answer.Status, len(answer.Cookies))
	}
	ck := answer.Cookies[0]
	if ck.Name != secureCookie || !ck.HttpOnly || !ck.Secure || ck.SameSite != http.SameSiteStrictMode ||
		ck.Path != "/" || ck.Domain != "" || ck.MaxAge != 12*60*60 || len(ck.Value) != 43 {
		t.Errorf("cookie %v", ck)
	}
	s.get("/", http.StatusOK)
}

// Ensure a form of any size costs little.
func TestConsole_RefusesLargeForm(t *testing.T) {
	s := newSite(t, nil)
	answer, _ := s.do(http.MethodPost, "/login", url.Values{"key": {strings.Repeat("k", 10_000)}})
	if answer.StatusCode != http.StatusBadRequest {
		t.Errorf("a form of 10 kB: %s", answer.Status)
	}
}

// Ensure failures are bounded, that the right key has to wait too, and that a link is not spent.
func TestConsole_LimitsAttempts(t *testing.T) {
	s := newSite(t, nil)
	link := s.console.LoginURL(s.server.URL)
	for range attemptBurst {
		s.do(http.MethodPost, "/login", url.Values{"key": {"wrong"}})
	}
	answer, _ := s.do(http.MethodPost, "/login", url.Values{"key": {adminKey}})
	if answer.StatusCode != http.StatusTooManyRequests || answer.Header.Get("Retry-After") == "" {
		t.Errorf("attempt %d: %s", attemptBurst+1, answer.Status)
	}
	s.get(link, http.StatusTooManyRequests)
	if !s.console.links.has(strings.TrimPrefix(link, s.server.URL+"/login?link="), time.Now()) {
		t.Error("the link was spent on an attempt that was not looked at")
	}
	answer, _ = s.do(http.MethodGet, "/metrics", nil, "Authorization", "Bearer "+adminKey)
	if answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("metrics over the rate: %s", answer.Status)
	}
	if n := s.console.Stats().Refused; n != attemptBurst+2 {
		t.Errorf("%d refused logins counted", n)
	}
}

// Ensure attempts recover, and that the addresses that are remembered are bounded.
func TestAttempts_RecoverAndAreBounded(t *testing.T) {
	a, now := newAttempts(), time.Now()
	one := netip.MustParseAddr("192.0.2.1")
	for range attemptBurst {
		a.failed(one, now)
	}
	if a.may(one, now) || !a.may(netip.MustParseAddr("192.0.2.2"), now) {
		t.Error("one address decides for another")
	}
	if !a.may(one, now.Add(attemptEvery+time.Millisecond)) {
		t.Error("it never recovers")
	}
	for i := range 3 * maxSources {
		a.failed(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), now)
	}
	if len(a.sources) > maxSources {
		t.Errorf("%d addresses are remembered", len(a.sources))
	}
	a.failed(netip.MustParseAddr("192.0.2.77"), now.Add(time.Hour))
	if len(a.sources) > 2 {
		t.Errorf("%d addresses are remembered an hour later", len(a.sources))
	}
}

// Ensure an IPv6 customer counts as one source.
func TestSourceOf_CountsIPv6ByNetwork(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:4711": "192.0.2.1", "[2001:db8:1:2:3:4:5:6]:4711": "2001:db8:1:2::",
		"[::ffff:192.0.2.1]:1": "192.0.2.1", "[::1]:9": "::1", "nonsense": "invalid IP",
	} {
		if got := sourceOf(&http.Request{RemoteAddr: remote}).String(); got != want {
			t.Errorf("%s counts as %s, want %s", remote, got, want)
		}
	}
}

// Ensure links end after 15 minutes and sessions after 12 hours, and that both are bounded.
func TestTokens_EndAndAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		links := newTokens(maxLinks, linkLife)
		link := links.issue(time.Now())
		time.Sleep(linkLife - time.Second)
		if !links.has(link, time.Now()) {
			t.Error("a link ends early")
		}
		time.Sleep(time.Second)
		if links.take(link, time.Now()) {
			t.Error("a link works after 15 minutes")
		}
		var all []string
		for range maxLinks + 10 {
			all = append(all, links.issue(time.Now()))
		}
		if n := links.count(time.Now()); n != maxLinks || links.has(all[9], time.Now()) ||
			!links.has(all[10], time.Now()) {
			t.Errorf("%d links are kept, not the newest %d", n, maxLinks)
		}
		if !links.take(all[20], time.Now()) || links.take(all[20], time.Now()) || links.take("", time.Now()) {
			t.Error("a link works more than once, or nothing is a link")
		}
	})
}

// Ensure logging out ends the session on the server, not only in the browser.
func TestConsole_LogoutEndsTheSession(t *testing.T) {
	s := newSite(t, nil)
	s.enter()
	u, err := url.Parse(s.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	kept := s.client.Jar.Cookies(u)
	if answer, _ := s.do(http.MethodPost, "/logout", url.Values{}); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("logout: %s", answer.Status)
	}
	s.get("/", http.StatusSeeOther)
	s.client.Jar.SetCookies(u, kept)
	s.get("/", http.StatusSeeOther)
	s.get("/api/workers", http.StatusUnauthorized)
}

// Ensure another site's page can neither log in nor out.
func TestConsole_RefusesOtherSitesForms(t *testing.T) {
	s := newSite(t, nil)
	s.enter()
	for _, path := range []string{"/logout", "/login"} {
		for _, headers := range [][]string{
			{"Sec-Fetch-Site", "cross-site"},
			{"Sec-Fetch-Site", "same-site"},
			{"Origin", "https://evil.example"},
		} {
			answer, _ := s.do(http.MethodPost, path, url.Values{"key": {adminKey}}, headers...)
			if answer.StatusCode != http.StatusForbidden {
				t.Errorf("%s with %v: %s", path, headers, answer.Status)
			}
		}
	}
	s.get("/", http.StatusOK)
}
