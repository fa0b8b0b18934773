package console

import (
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// Names of the session cookie. A browser takes a __Host- cookie only from this very host, over TLS.
const (
	secureCookie = "__Host-hashlease"
	plainCookie  = "hashlease"
)

const (
	maxForm = 4 << 10 // bytes of a login form
	maxKey  = 256     // bytes of a key
)

// loginValues fills the login page.
type loginValues struct {
	Version string
	Error   string
}

func cookieName(r *http.Request) string {
	if r.TLS != nil {
		return secureCookie
	}
	return plainCookie
}

// session is the secret in the request's cookie, empty without a live session.
func (c *Console) session(r *http.Request) string {
	ck, err := r.Cookie(cookieName(r))
	if err != nil || !c.sessions.has(ck.Value, time.Now()) {
		return ""
	}
	return ck.Value
}

// api lets requests with a session through.
func (c *Console) api(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if c.session(r) == "" {
			http.Error(w, "log in first", http.StatusUnauthorized)
			return
		}
		next(w, r)
	}
}

// page is the console's one page.
func (c *Console) page(w http.ResponseWriter, r *http.Request) {
	if c.session(r) == "" {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return
	}
	c.render(w, "console.html", http.StatusOK, struct {
		Version, Network string
		Simulated        bool
	}{c.cfg.Version, c.cfg.Network, c.cfg.Scale != 1})
}

// loginPage shows the form, or takes a one-time link. What fetches pages ahead of the person does not
// use the link up.
func (c *Console) loginPage(w http.ResponseWriter, r *http.Request) {
	link := r.URL.Query().Get("link")
	switch {
	case link == "":
		if c.session(r) != "" {
			http.Redirect(w, r, "/", http.StatusSeeOther)
			return
		}
		c.render(w, "login.html", http.StatusOK, loginValues{Version: c.cfg.Version})
	case r.Method != http.MethodGet || isPrefetch(r):
		http.Error(w, "open this link yourself", http.StatusServiceUnavailable)
	default:
		c.admit(w, r, "link", func() bool { return len(link) <= maxKey && c.links.take(link, time.Now()) })
	}
}

func isPrefetch(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Sec-Purpose"), "prefetch") ||
		strings.Contains(r.Header.Get("Purpose"), "prefetch")
}

// login takes the form.
func (c *Console) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "the login form could not be read: up to 4 KiB are accepted", http.StatusBadRequest)
		return
	}
	key := strings.TrimSpace(r.PostForm.Get("key"))
	c.admit(w, r, "key", func() bool { return key != "" && len(key) <= maxKey && c.cfg.AdminKey(key) })
}

// admit opens a session if the secret is good, and counts a failure if not. It is not even looked at
// while the source has to wait.
func (c *Console) admit(w http.ResponseWriter, r *http.Request, with string, good func() bool) {
	now, source := time.Now(), sourceOf(r)
	if !c.attempts.may(source, now) {
		c.counts.refused.Add(1)
		w.Header().Set("Retry-After", "6")
		c.render(w, "login.html", http.StatusTooManyRequests, loginValues{
			c.cfg.Version, "Too many attempts from this address. Wait a few seconds and try again.",
		})
		return
	}
	if !good() {
		c.counts.refused.Add(1)
		c.attempts.failed(source, now)
		c.log.Warn("console login refused",
			slog.String("address", source.String()), slog.String("with", with))
		reason := "This is not the admin key."
		if with == "link" {
			reason = "This link was used already or is older than 15 minutes. Log in with the admin key."
		}
		c.render(w, "login.html", http.StatusUnauthorized, loginValues{c.cfg.Version, reason})
		return
	}
	c.counts.logins.Add(1)
	c.log.Info("console login", slog.String("address", source.String()), slog.String("with", with))
	http.SetCookie(w, &http.Cookie{
		Name: cookieName(r), Value: c.sessions.issue(now), Path: "/", MaxAge: int(sessionLife.Seconds()),
		HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode,
	})
	if with == "link" {
		// A redirect would still belong to the site that had the link, and a strict cookie would
		// stay behind; this page is ours and sends the browser on.
		c.render(w, "entered.html", http.StatusOK, nil)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// logout ends the session.
func (c *Console) logout(w http.ResponseWriter, r *http.Request) {
	if s := c.session(r); s != "" {
		c.sessions.take(s, time.Now())
	}
	http.SetCookie(w, &http.Cookie{
		Name: cookieName(r), Path: "/", MaxAge: -1,
		HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode,
	})
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}
