//go:build browser

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// Ensure that an operator can open the demo's link in a real browser and see power move: the chart
// drawn, a lease become active, every figure filled in, and no fault on the browser's console.
func TestBrowser_ShowsALeaseBecomeActive(t *testing.T) {
	chromium := findChromium(t)
	link := startDemo(t)
	b := openBrowser(t, chromium, link)

	b.do("opening the one-time link", chromedp.Navigate(link),
		chromedp.WaitVisible(chromedp.CSS("#chart canvas")))
	b.wait("the page is live", 20*time.Second, `document.body.dataset.live === 'yes'`)
	b.wait("the chart has points", 30*time.Second,
		`Number(document.querySelector('#chart').dataset.points) > 5`)
	b.wait("the chart is drawn", 10*time.Second, drawn)
	b.wait("the fleet is drawn", 10*time.Second, `document.querySelectorAll('#fleet canvas').length === 4`)
	b.wait("a lease is active", 90*time.Second, `
		[...document.querySelectorAll('#leases tbody td:first-child')]
			.some((td) => td.textContent === 'active') &&
		document.querySelector('#timeline .lease.ACTIVE') !== null &&
		/^[1-9]/.test(document.getElementById('t-leases').textContent)`)
	b.wait("a block is accepted", 90*time.Second, `
		[...document.querySelectorAll('#blocks tbody td:nth-child(2)')]
			.some((td) => td.textContent === 'accepted')`)
	b.wait("every tile has a figure", 30*time.Second, `
		[...document.querySelectorAll('.tile .value')].every((p) => /[0-9]/.test(p.textContent))`)
	b.wait("the scale of so few miners is said", time.Second,
		`document.getElementById('scale').textContent.includes('8·10⁹')`)
	b.picture("console-1440.png", 1440, 1000)
	b.wait("every column of the firmware table is in sight", 10*time.Second, `(() => {
		const box = document.getElementById('firmware').parentElement;
		const rows = document.querySelectorAll('#firmware tbody tr').length;
		return rows >= 5 && box.scrollWidth <= box.clientWidth;
	})()`)
	b.search()
	b.picture("console-390.png", 390, 844)
	b.wait("nothing is wider than a phone", 5*time.Second, `document.documentElement.scrollWidth <= 390`)

	b.sleepAndWake()
	b.release()
	b.stopAndResume()

	b.do("logging out", chromedp.Click(chromedp.CSS("form[action='/logout'] button")),
		chromedp.WaitVisible(chromedp.CSS("#key")))
	b.quiet()
	b.do("opening the link again", chromedp.Navigate(link),
		chromedp.WaitVisible(chromedp.CSS("[role=alert]")))
}

// drawn looks for the colours of base, mining and limit on the chart's canvas.
const drawn = `(() => {
	const canvas = document.querySelector('#chart canvas');
	const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
	const seen = new Set();
	for (let i = 0; i < data.length; i += 4) {
		if (data[i + 3] > 0) seen.add(data[i] << 16 | data[i + 1] << 8 | data[i + 2]);
	}
	return seen.size >= 5;
})()`

// findChromium fails, rather than skips, without a browser: a test that did not run did not pass.
func findChromium(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("HASHLEASE_CHROMIUM"); path != "" {
		return path
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("no Chromium found: install it (Debian: apt-get install chromium) " +
		"or set HASHLEASE_CHROMIUM to its path")
	return ""
}

// output collects what the demo prints.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

var loginLink = regexp.MustCompile(`https://[^\s]+/login\?link=[A-Za-z0-9_-]+`)

// startDemo runs the whole product until the test ends, and returns the link that it printed.
func startDemo(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var out output
	ended := make(chan int, 1)
	go func() { // ends with ctx
		ended <- Main(ctx, []string{"demo", "--miners", "40"}, strings.NewReader(""), &out, &out)
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case code := <-ended:
			if code != 0 {
				t.Errorf("the demo ended with %d:\n%s", code, out.String())
			}
		case <-time.After(time.Minute):
			t.Errorf("the demo does not end:\n%s", out.String())
		}
	})
	patience := time.After(5 * time.Minute) // btcd may have to be built
	for {
		if link := loginLink.FindString(out.String()); link != "" {
			return link
		}
		select {
		case code := <-ended:
			ended <- code
			t.Fatalf("the demo ended with %d before it printed a link:\n%s", code, out.String())
		case <-patience:
			t.Fatalf("the demo printed no link:\n%s", out.String())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// browser is a page of a real Chromium that remembers every complaint.
type browser struct {
	*testing.T
	ctx context.Context //nolint:containedctx // chromedp keeps a browser in one

	mu         sync.Mutex
	complaints []string // guarded by mu
	listening  bool     // guarded by mu
}

// openBrowser starts Chromium. It trusts the demo's certificate by its public key, and no other.
func openBrowser(t *testing.T, chromium, link string) *browser {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("ignore-certificate-errors-spki-list", publicKey(t, link)),
		chromedp.WindowSize(1440, 1000))
	// The test's own context ends before its clean-up, which closes the browser in an orderly way.
	ctx, cancel := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &browser{T: t, ctx: ctx, listening: true}
	// The browser ends with the context of its first step: that is the test's, without a limit.
	err := chromedp.Do(ctx, chromedp.Navigate("about:blank"), chromedp.EmulateViewport(1440, 1000))
	if err != nil {
		t.Fatalf("starting Chromium: %v", err)
	}
	done := make(chan struct{})
	go func() { // ends with the browser
		defer close(done)
		for m, err := range chromedp.Console(ctx) {
			if err != nil {
				return
			}
			b.hear(m)
		}
	}()
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Logf("closing Chromium: %v", err)
		}
		<-done
		for _, c := range b.complaints {
			t.Errorf("on the browser's console: %s", c)
		}
	})
	return b
}

// hear keeps what a developer would have to look at.
func (b *browser) hear(m chromedp.ConsoleMessage) {
	b.mu.Lock()
	defer b.mu.Unlock()
	bad := m.IsException() || m.Type == "error" || m.Type == "warning" || m.Type == "assert"
	if b.listening && bad {
		b.complaints = append(b.complaints, m.String())
	}
}

// quiet stops listening: what comes next is refused on purpose.
func (b *browser) quiet() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.listening = false
}

// loud listens again.
func (b *browser) loud() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.listening = true
}

func publicKey(t *testing.T, link string) string {
	t.Helper()
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	// Whose key it is does not matter here: the browser is told to trust this very one.
	conn, err := tls.Dial("tcp", u.Host, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // see above
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sum := sha256.Sum256(conn.ConnectionState().PeerCertificates[0].RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:])
}

func (b *browser) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.Fatalf("%s: %v", what, err)
	}
}

// wait lets time pass until a script says yes.
func (b *browser) wait(what string, most time.Duration, script string) {
	b.Helper()
	deadline := time.Now().Add(most)
	for {
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](script))
		if ok && err == nil {
			return
		}
		if time.Now().After(deadline) {
			b.picture("console-failed.png", 1440, 1000)
			b.Fatalf("%s: not within %v (%v)", what, most, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// search looks for one worker by name.
func (b *browser) search() {
	b.Helper()
	b.do("searching a worker", chromedp.ScrollIntoView(chromedp.CSS("#ask-q")),
		chromedp.SendKeys(chromedp.CSS("#ask-q"), "asic-007"))
	b.wait("one worker is found", 10*time.Second, `(() => {
		const rows = document.querySelectorAll('#worker-rows tbody tr');
		return rows.length === 1 && rows[0].cells[0].textContent === 'north.asic-007';
	})()`)
}

// byHand is the button of the only row of workers.
const byHand = "#worker-rows tbody .act button"

// press presses that button, whose word it names, and gives the picture of what is asked then a name.
func (b *browser) press(word, picture string) {
	b.Helper()
	b.wait("the worker's button says "+word, 30*time.Second,
		`document.querySelector('`+byHand+`')?.textContent === '`+word+`'`)
	b.do("pressing "+word, chromedp.ScrollIntoView(chromedp.CSS(byHand)),
		chromedp.Click(chromedp.CSS(byHand)),
		chromedp.WaitVisible(chromedp.CSS("#ask-yes")))
	b.wait("what is asked names the worker", 5*time.Second,
		`document.getElementById('ask-title').textContent.includes('north.asic-007')`)
	b.picture(picture, 390, 844)
	// The table is asked for only while it is in view.
	b.do("looking at the worker again", chromedp.ScrollIntoView(chromedp.CSS(byHand)))
}

// sleepAndWake puts the worker that was searched to sleep, after saying no once, and wakes it.
func (b *browser) sleepAndWake() {
	b.Helper()
	gone := chromedp.WaitNotVisible(chromedp.CSS("#ask-yes"))
	b.press("Sleep", "sleep-390.png")
	b.do("saying no", chromedp.Click(chromedp.CSS("#ask-no")), gone)
	b.press("Sleep", "sleep-390.png")
	b.do("saying yes", chromedp.Click(chromedp.CSS("#ask-yes")), gone)
	b.wait("it sleeps by hand", 60*time.Second, `
		document.querySelector('#worker-rows tbody tr').cells[1].textContent === 'asleep, by hand'`)
	b.press("Wake", "wake-390.png")
	b.do("saying yes", chromedp.Click(chromedp.CSS("#ask-yes")), gone)
	b.wait("nobody holds it down", 60*time.Second, `
		!document.querySelector('#worker-rows tbody tr').cells[1].textContent.includes('by hand')`)
}

// quarantined lets the page take every worker for one in quarantine, and quarantinedNoMore ends that: nobody
// of the demo sets machines by other ways.
const (
	quarantined = `window.plainFetch = window.fetch; window.fetch = async (url, o) => {
		const answer = await window.plainFetch(url, o);
		if (!String(url).startsWith('/api/workers?')) return answer;
		const body = await answer.json();
		for (const row of body.rows) Object.assign(row, { offer: 'release', state: 'QUARANTINED' });
		return new Response(JSON.stringify(body));
	}`
	quarantinedNoMore = `window.fetch = window.plainFetch`
)

// release asks for the release of a worker that is none of the quarantined any more: the server says so, and
// what it says is shown.
func (b *browser) release() {
	b.Helper()
	b.quiet()
	b.do("taking workers for quarantined", chromedp.Evaluate[chromedp.Void](quarantined))
	b.press("Release", "release-390.png")
	b.do("saying yes", chromedp.Click(chromedp.CSS("#ask-yes")))
	b.wait("the refusal is shown", 10*time.Second, `
		!document.getElementById('ask-fault').hidden &&
		document.getElementById('ask-fault').textContent.includes('is not quarantined')`)
	b.picture("released-390.png", 390, 844)
	b.do("leaving it", chromedp.Click(chromedp.CSS("#ask-no")),
		chromedp.WaitNotVisible(chromedp.CSS("#ask-yes")),
		chromedp.Evaluate[chromedp.Void](quarantinedNoMore))
	b.loud()
}

// stopAndResume presses the emergency stop, sees the fleet asleep, and lets it mine again.
func (b *browser) stopAndResume() {
	b.Helper()
	first := chromedp.CSS("#sites button")
	b.do("pressing the emergency stop", chromedp.ScrollIntoView(first), chromedp.Click(first),
		chromedp.WaitVisible(chromedp.CSS("#ask-yes")))
	b.picture("stop-390.png", 390, 844)
	b.do("saying yes", chromedp.SendKeys(chromedp.CSS("#ask-reason"), "smoke in hall 2"),
		chromedp.Click(chromedp.CSS("#ask-yes")))
	b.wait("the site says that it is stopped, and why", 10*time.Second, `
		document.querySelector('#sites li').dataset.stopped === 'yes' &&
		document.querySelector('#sites li').textContent.includes('smoke in hall 2')`)
	b.wait("no machine runs in full", 30*time.Second, `
		/^[0-3] of/.test(document.getElementById('t-workers').textContent)`)
	b.picture("stopped-1440.png", 1440, 2400)
	b.do("resuming", chromedp.ScrollIntoView(first), chromedp.Click(first),
		chromedp.WaitVisible(chromedp.CSS("#ask-yes")), chromedp.Click(chromedp.CSS("#ask-yes")))
	b.wait("the site mines again", 60*time.Second, `
		document.querySelector('#sites li').dataset.stopped === 'no' &&
		Number.parseInt(document.getElementById('t-workers').textContent, 10) > 5`)
}

// picture keeps a screenshot in the directory that SCREENSHOTS names, if it does.
func (b *browser) picture(name string, width, height int64) {
	b.Helper()
	b.do("setting the size", chromedp.EmulateViewport(width, height),
		chromedp.Evaluate[chromedp.Void](`scrollTo(0, 0)`), chromedp.Sleep(1500*time.Millisecond))
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.Fatalf("taking %s: %v", name, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), png, 0o644); err != nil {
		b.Fatal(err)
	}
}
