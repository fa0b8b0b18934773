package console

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

const adminKey = "hl_admin_test"

// site is a console over invented rooms behind a TLS server, and a browser's client.
type site struct {
	*testing.T
	console *Console
	server  *httptest.Server
	client  *http.Client
}

// newSite starts a console. change may replace what the rooms say; nil leaves it.
func newSite(t *testing.T, change func(*figures)) *site {
	t.Helper()
	r := fakeRooms{start: time.Now().Add(-130 * time.Second)}.reader()
	if change != nil {
		plain := r.figures
		r.figures = func() *figures {
			f := plain()
			change(f)
			return f
		}
	}
	c, err := newConsole(Config{
		AdminKey: func(key string) bool { return key == adminKey },
		Version:  "v1.2.3", Network: "signet", Scale: 4e10,
	}, r)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(c.Handler())
	t.Cleanup(server.Close)
	t.Cleanup(c.Close)
	s := &site{T: t, console: c, server: server}
	s.client = s.browser()
	return s
}

// browser is a client with a cookie jar of its own.
func (s *site) browser() *http.Client {
	s.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.Fatal(err)
	}
	return &http.Client{
		Transport: s.server.Client().Transport, Jar: jar, Timeout: 10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// answer is what a server said, read to its end.
type answer struct {
	StatusCode int
	Status     string
	Header     http.Header
	Cookies    []*http.Cookie
}

// do sends a request and reads the whole answer.
func (s *site) do(method, path string, form url.Values, headers ...string) (answer, string) {
	s.Helper()
	r, err := http.NewRequestWithContext(s.Context(), method, s.url(path), strings.NewReader(form.Encode()))
	if err != nil {
		s.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	a, err := s.client.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	defer a.Body.Close()
	body, err := io.ReadAll(a.Body)
	if err != nil {
		s.Fatal(err)
	}
	return answer{a.StatusCode, a.Status, a.Header, a.Cookies()}, string(body)
}

func (s *site) url(path string) string {
	if strings.HasPrefix(path, "https://") {
		return path
	}
	return s.server.URL + path
}

// get is do with the expected status.
func (s *site) get(path string, status int) string {
	s.Helper()
	a, body := s.do(http.MethodGet, path, nil)
	if a.StatusCode != status {
		s.Fatalf("GET %s: %s, want %d\n%s", path, a.Status, status, body)
	}
	return body
}

// enter logs in by a link.
func (s *site) enter() {
	s.Helper()
	s.get(s.console.LoginURL(s.server.URL), http.StatusOK)
}

// event is one server-sent event.
type event struct{ name, data string }

// follow opens a stream of its own and returns a function that reads the next event.
func (s *site) follow() (next func() (event, error), end func()) {
	s.Helper()
	r, err := http.NewRequestWithContext(s.Context(), http.MethodGet, s.url("/api/stream"), nil)
	if err != nil {
		s.Fatal(err)
	}
	client := *s.client
	client.Timeout = 0
	a, err := client.Do(r) //nolint:bodyclose // end does
	if err != nil {
		s.Fatal(err)
	}
	if kind := a.Header.Get("Content-Type"); a.StatusCode != http.StatusOK ||
		!strings.HasPrefix(kind, "text/event-stream") {
		s.Fatalf("stream: %s, %q", a.Status, kind)
	}
	lines := bufio.NewReader(a.Body)
	return func() (event, error) { return readEvent(lines) }, func() { a.Body.Close() }
}

func readEvent(lines *bufio.Reader) (e event, err error) {
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return e, err
		}
		switch name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": "); name {
		case "event":
			e.name = value
		case "data":
			e.data = value
		case "":
			return e, nil
		}
	}
}

func decode[T any](t *testing.T, text string) (v T) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}
