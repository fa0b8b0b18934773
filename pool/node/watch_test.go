package node_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/node"
)

// Ensure the last round stays while the node is away, that the state says why, and that it is logged once.
func TestWatch_KeepsRoundWhileNodeIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, err := pool.NewAssembler(pool.CoinbaseConfig{Script: anyoneScript}, 1)
		if err != nil {
			t.Fatal(err)
		}
		n, feed := &fakeNode{err: errAway}, pool.NewFeed()
		var out bytes.Buffer
		w := node.NewWatch(n, a, feed, slog.New(slog.NewTextHandler(&out, nil)))
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := w.Run(ctx); err != nil {
				t.Error(err)
			}
		})

		time.Sleep(time.Minute)
		s := w.State()
		if feed.Current() != nil || s.Phase != node.Away || !strings.Contains(s.Detail, "gone") {
			t.Errorf("round %v, state %v", feed.Current(), s)
		}
		first := template(5)
		n.set(first, nil, nil)
		time.Sleep(time.Minute)
		round := feed.Current()
		if round == nil || round.Tip != first.Tip || w.State().Phase != node.Ready {
			t.Fatalf("round %v, state %v", round, w.State())
		}
		n.set(nil, errAway, nil)
		bad := template(5)
		bad.Bits = 0
		n.set(bad, nil, nil)
		time.Sleep(time.Minute)
		if feed.Current() != round || w.State().Phase != node.Broken {
			t.Errorf("round %v, state %v", feed.Current(), w.State())
		}
		n.set(template(6), nil, nil)
		time.Sleep(time.Minute)
		if got := feed.Current(); got == round || got.Tip.Height != 6 || got.First == nil {
			t.Errorf("round %+v", got)
		}
		if s := w.Stats(); s.Rounds != 2 || s.Partials != 0 || s.Height != 6 {
			t.Errorf("stats %+v", s)
		}
		cancel()
		wg.Wait()
		if lines := strings.Count(out.String(), "\n"); lines != 4 {
			t.Errorf("%d lines, want one per change:\n%s", lines, out.String())
		}
	})
}
