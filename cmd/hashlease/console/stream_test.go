package console

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// Ensure a page gets every part at once, then only what has changed, about once a second.
func TestStream_SendsPartsAsTheyChange(t *testing.T) {
	s := newSite(t, func(f *figures) { f.powerEvents, f.leases = nil, nil })
	s.enter()
	next, end := s.follow()
	defer end()
	seen := map[string]int{}
	began := time.Now()
	for seen["now"] < 3 {
		e, err := next()
		if err != nil {
			t.Fatal(err)
		}
		seen[e.name]++
		if e.name == "now" {
			v := decode[snapshot](t, e.data)
			if v.At == 0 || len(v.Sites) != 1 || len(v.Sites[0].Feeders) != fakeFeeders {
				t.Errorf("snapshot %+v", v)
			}
		}
	}
	for _, name := range []string{"leases", "blocks", "events"} {
		if seen[name] < 1 {
			t.Errorf("no %s", name)
		}
	}
	if seen["leases"] != 1 {
		t.Errorf("leases came %d times without a change", seen["leases"])
	}
	if took := time.Since(began); took < streamEvery {
		t.Errorf("three snapshots within %v", took)
	}
}

// Ensure hostile names of workers and devices reach the page as data and nothing else.
func TestStream_EscapesHostileNames(t *testing.T) {
	s := newSite(t, nil)
	s.enter()
	next, end := s.follow()
	defer end()
	found := 0
	for range 5 {
		e, err := next()
		if err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(e.data, "<>&") {
			t.Errorf("%s carries HTML: %.80s", e.name, e.data[strings.IndexAny(e.data, "<>&"):])
		}
		switch e.name {
		case "events":
			for _, v := range decode[[]eventView](t, e.data) {
				if v.About == hostile {
					found++
				}
			}
		case "firmware":
			for _, v := range decode[[]firmwareView](t, e.data) {
				if v.Vendor == hostile {
					found++
				}
			}
		}
	}
	if found != 2 {
		t.Errorf("the hostile texts arrived %d times, want 2", found)
	}
}

// Ensure open pages are bounded, and that a place is free again when one is closed.
func TestStream_BoundsOpenPages(t *testing.T) {
	s := newSite(t, nil)
	s.enter()
	s.console.counts.streams.Store(maxStreams)
	if body := s.get("/api/stream", http.StatusServiceUnavailable); !strings.Contains(body, "too many") {
		t.Errorf("%q", body)
	}
	s.console.counts.streams.Store(maxStreams - 1)
	next, end := s.follow()
	defer end()
	if _, err := next(); err != nil {
		t.Fatal(err)
	}
	s.get("/api/stream", http.StatusServiceUnavailable)
}

// Ensure a page that is open ends with its session.
func TestStream_EndsWithTheSession(t *testing.T) {
	s := newSite(t, nil)
	s.enter()
	next, end := s.follow()
	defer end()
	if _, err := next(); err != nil {
		t.Fatal(err)
	}
	s.do(http.MethodPost, "/logout", nil)
	last := event{}
	for {
		e, err := next()
		if err != nil {
			break
		}
		last = e
	}
	if last.name != "over" {
		t.Errorf("the last event is %q", last.name)
	}
}

// Ensure a server that shuts down does not wait for open pages.
func TestConsole_CloseEndsStreams(t *testing.T) {
	s := newSite(t, nil)
	s.enter()
	next, end := s.follow()
	defer end()
	if _, err := next(); err != nil {
		t.Fatal(err)
	}
	s.console.Close()
	s.console.Close()
	for {
		if _, err := next(); err != nil {
			return
		}
	}
}

// Ensure the rooms are read about once a second, however many look.
func TestFrame_IsSharedForASecond(t *testing.T) {
	reads := 0
	s := newSite(t, func(*figures) { reads++ })
	for range 100 {
		s.console.frame()
	}
	if reads != 1 {
		t.Errorf("the rooms were read %d times", reads)
	}
}
