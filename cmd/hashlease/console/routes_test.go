package console

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// Ensure everything but the login, the files that it needs and the health is closed to strangers.
func TestConsole_IsClosedToStrangers(t *testing.T) {
	s := newSite(t, nil)
	for path, status := range map[string]int{
		"/": 303, "/login": 200, "/healthz": 200, "/static/console.css": 200, "/static/console.js": 200,
		"/api/stream": 401, "/api/history?site=north": 401, "/api/workers": 401, "/metrics": 401,
	} {
		s.get(path, status)
	}
}

// Ensure unknown paths, wrong methods and paths out of the embedded files have plain answers.
func TestConsole_AnswersUnknownPathsAndMethods(t *testing.T) {
	s := newSite(t, nil)
	s.enter()
	for path, status := range map[string]int{
		"/nothing": 404, "/static/": 404, "/static/nothing.js": 404, "/static/../page/login.html": 301,
		"/page/login.html": 404, "/static/%2e%2e/%2e%2e/etc/passwd": 404, "/debug/pprof/": 404,
	} {
		answer, _ := s.do(http.MethodGet, path, nil)
		if answer.StatusCode != status && answer.StatusCode != http.StatusTemporaryRedirect {
			t.Errorf("GET %s: %s, want %d", path, answer.Status, status)
		}
	}
	for _, r := range [][2]string{
		{"POST", "/"},
		{"DELETE", "/login"},
		{"GET", "/logout"},
		{"PUT", "/api/stream"},
		{"POST", "/metrics"},
		{"POST", "/healthz"},
		{"POST", "/static/console.js"},
	} {
		answer, _ := s.do(r[0], r[1], url.Values{})
		if answer.StatusCode != http.StatusMethodNotAllowed || answer.Header.Get("Allow") == "" {
			t.Errorf("%s %s: %s, allow %q", r[0], r[1], answer.Status, answer.Header.Get("Allow"))
		}
	}
}

// Ensure every answer tells the browser to load nothing that is not ours, and to keep nothing.
func TestConsole_SendsStrictHeaders(t *testing.T) {
	s := newSite(t, nil)
	s.enter()
	for _, path := range []string{"/", "/login", "/nothing", "/api/workers", "/healthz", "/metrics"} {
		answer, _ := s.do(http.MethodGet, path, nil)
		h := answer.Header
		csp := h.Get("Content-Security-Policy")
		for _, want := range []string{
			"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'",
			"require-trusted-types-for 'script'",
		} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: policy %q lacks %q", path, csp, want)
			}
		}
		if strings.Contains(csp, "unsafe") || h.Get("Cache-Control") != "no-store" ||
			h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Frame-Options") != "DENY" ||
			h.Get("Referrer-Policy") != "no-referrer" || h.Get("Strict-Transport-Security") == "" {
			t.Errorf("%s: headers %v", path, h)
		}
	}
}

// Ensure pages have nothing inline that the policy would block, and name only files that exist.
func TestConsole_PagesFitThePolicy(t *testing.T) {
	s := newSite(t, nil)
	login := s.get("/login", http.StatusOK)
	s.enter()
	page := s.get("/", http.StatusOK)
	inline := regexp.MustCompile(
		`(?i)<script(?:\s[^>]*)?>[^<]+|\son\w+=|\sstyle=|<style|javascript:|https?://`)
	linked := regexp.MustCompile(`(?:src|href)="(/static/[^"]+)"`)
	imported := regexp.MustCompile(`from '\./([a-z]+\.js)'`)
	for _, body := range []string{login, page} {
		if found := inline.FindString(body); found != "" {
			t.Errorf("inline %q", found)
		}
		for _, m := range linked.FindAllStringSubmatch(body, -1) {
			s.get(m[1], http.StatusOK)
		}
	}
	for _, m := range imported.FindAllStringSubmatch(s.get("/static/console.js", http.StatusOK), -1) {
		s.get("/static/"+m[1], http.StatusOK)
	}
	for _, want := range []string{"v1.2.3", "signet", "simulated fleet"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

// Ensure our scripts never make HTML from text.
func TestStatic_ScriptsMakeNoHTML(t *testing.T) {
	files, err := loadAssets()
	if err != nil {
		t.Fatal(err)
	}
	bad := regexp.MustCompile(
		`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser`)
	for name, f := range files {
		if strings.HasSuffix(name, ".js") && bad.Match(f.body) {
			t.Errorf("%s has %q", name, bad.Find(f.body))
		}
		if f.kind == "" {
			t.Errorf("%s has no media type", name)
		}
	}
}

// Ensure a browser that has a file is not sent it again, and gets a new one at once.
func TestAssets_AreCheckedByTag(t *testing.T) {
	s := newSite(t, nil)
	answer, _ := s.do(http.MethodGet, "/static/console.css", nil)
	tag := answer.Header.Get("ETag")
	if tag == "" || answer.Header.Get("Cache-Control") != "no-cache" {
		t.Errorf("headers %v", answer.Header)
	}
	answer, body := s.do(http.MethodGet, "/static/console.css", nil, "If-None-Match", tag)
	if answer.StatusCode != http.StatusNotModified || body != "" {
		t.Errorf("the same again: %s with %d bytes", answer.Status, len(body))
	}
}
