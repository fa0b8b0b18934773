package console

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"path"
)

//go:embed static
var staticFiles embed.FS

//go:embed page/*.html
var pageFiles embed.FS

var pages = template.Must(template.ParseFS(pageFiles, "page/*.html"))

// policy lets the browser load our own files and talk to us, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// routes is the handler of everything. Unknown paths get 404 and wrong methods 405 from the mux.
func (c *Console) routes() (http.Handler, error) {
	files, err := loadAssets()
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", c.page)
	mux.HandleFunc("GET /login", c.loginPage)
	mux.HandleFunc("POST /login", c.login)
	mux.HandleFunc("POST /logout", c.logout)
	mux.HandleFunc("GET /api/stream", c.api(c.stream))
	mux.HandleFunc("GET /api/history", c.api(c.history))
	mux.HandleFunc("GET /api/workers", c.api(c.workers))
	mux.HandleFunc("POST /api/sites/{site}/stop", c.act(c.stopSite))
	mux.HandleFunc("POST /api/sites/{site}/resume", c.act(c.resumeSite))
	mux.HandleFunc("GET /api/sites/{site}/report", c.act(c.siteReport))
	mux.HandleFunc("POST /api/workers/{worker}/sleep", c.act(c.sleepWorker))
	mux.HandleFunc("POST /api/workers/{worker}/wake", c.act(c.wakeWorker))
	mux.HandleFunc("POST /api/workers/{worker}/release", c.act(c.releaseWorker))
	mux.HandleFunc("GET /api/limits", c.act(c.listLimits))
	mux.HandleFunc("POST /api/limits", c.act(c.postLimit))
	mux.HandleFunc("DELETE /api/limits/{id}", c.act(c.deleteLimit))
	mux.HandleFunc("GET /healthz", c.healthz)
	mux.HandleFunc("GET /metrics", c.serveMetrics)
	mux.Handle("GET /static/", files)
	return secure(http.NewCrossOriginProtection().Handler(mux)), nil
}

// secure sets the headers that every answer has.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
		h.Set("Cache-Control", "no-store")
		if r.TLS != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}

// asset is one embedded file.
type asset struct {
	body []byte
	kind string
	tag  string
}

// assets serves the embedded files by path. They hold no secret: the login page needs them too.
type assets map[string]asset

var kinds = map[string]string{
	".js":  "text/javascript; charset=utf-8",
	".css": "text/css; charset=utf-8",
	".svg": "image/svg+xml",
	".txt": "text/plain; charset=utf-8",
}

func loadAssets() (assets, error) {
	all := assets{}
	err := fs.WalkDir(staticFiles, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := staticFiles.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		all["/"+name] = asset{
			body: body, kind: kinds[path.Ext(name)],
			tag: `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`,
		}
		return nil
	})
	return all, err
}

// ServeHTTP sends a file, or 304 if the browser has this very one: a new release shows at once.
func (a assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, ok := a[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", f.tag)
	if r.Header.Get("If-None-Match") == f.tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(f.body) // a browser that went away is not our failure
}

// render writes one of the embedded pages.
func (c *Console) render(w http.ResponseWriter, name string, status int, values any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if err := pages.ExecuteTemplate(w, name, values); err != nil {
		c.log.Debug("page was not written in full", slog.String("page", name), slog.Any("error", err))
	}
}
