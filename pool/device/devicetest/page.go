package devicetest

import (
	"html"
	"io"
	"net/http"
)

// writePage answers with the first page of a dashboard, by whose title libraries and people tell what runs
// on a machine.
func writePage(w http.ResponseWriter, title string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	title = html.EscapeString(title)
	_, _ = io.WriteString(w, "<!doctype html><html><head><title>"+title+"</title></head><body>"+title+
		"</body></html>\n") // who does not listen gets nothing
}
