package stratum

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/noise"
	"github.com/hashlease/hashlease/stratum/stratumtest"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// Ensure that a server that never ran can be shut down, and that it then serves nothing.
func TestShutdown_BeforeRunAndServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		if err := b.server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := b.server.Serve(b.ln); !errors.Is(err, ErrServerClosed) {
			t.Errorf("Serve returned %v", err)
		}
		if _, err := b.ln.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the listener is still open: %v", err)
		}
		if err := b.server.Run(context.Background()); err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
}

// Ensure that a second Shutdown waits for the first and that miners are told once.
func TestShutdown_Twice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(c *Config) { c.DrainFor = 10 * time.Second })
		b.start()
		b.publish(template(100, 1, false))
		one, _, _ := b.open("alice.one")
		two, _, _ := b.open("alice.two")
		var told sync.WaitGroup
		for _, c := range []*stratumtest.Client{one, two} {
			told.Go(func() {
				next[sv2.Reconnect](t, c)
				if h, _, err := c.Conn().ReadFrame(nil, nil); !errors.Is(err, io.EOF) {
					t.Errorf("after Reconnect came %x, %v", h, err)
				}
				_ = c.Close()
			})
		}
		begin := time.Now()
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				if err := b.server.Shutdown(context.Background()); err != nil {
					t.Error(err)
				}
				if took := time.Since(begin); took < 5*time.Second || took > 12*time.Second {
					t.Errorf("took %v: 2 sessions within 10s", took)
				}
			})
		}
		both.Wait()
		told.Wait()
		b.wg.Wait()
		if st := b.server.Stats(); st.Sessions != 0 || st.Channels != 0 {
			t.Errorf("left over: %+v", st)
		}
	})
}

// Ensure that a stuck crediter holds up a drain no longer than its context, and that nothing it held is
// acknowledged.
func TestShutdown_IsBoundedWhenTheCrediterIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.credit = func(ctx context.Context, _ []pool.Credit) error { <-ctx.Done(); return ctx.Err() }
		b.start()
		b.publish(template(100, 1, false))
		c, channel, job := b.open("alice.one")
		defer c.Close()
		if err := c.Send(share(channel, job, 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		begin := time.Now()
		if err := b.server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown returned %v", err)
		}
		b.wg.Wait()
		if took := time.Since(begin); took > 6*time.Second {
			t.Errorf("the end took %v", took)
		}
		if st := b.server.Stats(); st.Acknowledged != 0 {
			t.Errorf("acknowledged %d", st.Acknowledged)
		}
	})
}

// Ensure that connections at any stage of their beginning end with the server: none is forgotten.
func TestShutdown_EndsConnectionsThatAreJustBeginning(t *testing.T) {
	for range 5 {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, nil)
			b.start()
			var clients sync.WaitGroup
			for range 8 {
				near, far := net.Pipe()
				clients.Go(func() {
					defer near.Close()
					select {
					case b.ln.conns <- far:
					case <-b.ln.over:
						return
					}
					if conn, err := noise.Connect(near, nil, time.Now()); err == nil {
						_, _, err = conn.ReadFrame(nil, nil) // Reconnect, or the end
						for err == nil {
							_, _, err = conn.ReadFrame(nil, nil)
						}
					}
				})
			}
			clients.Go(b.stop)
			clients.Wait()
			if n := len(b.server.list()); n != 0 {
				t.Errorf("%d sessions are left over", n)
			}
		})
	}
}

// Ensure that the end of Run's context ends everything that the server runs.
func TestRun_EndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		ctx, cancel := context.WithCancel(context.Background())
		b.wg.Go(func() {
			if err := b.server.Run(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("Run returned %v", err)
			}
		})
		synctest.Wait()
		cancel()
		b.wg.Wait()
	})
}

// Ensure that sessions leave nothing behind: no goroutine (the bubble would say so), no count, no
// prefix, no link.
func TestServer_LeavesNothingBehindASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.start()
		b.publish(template(100, 1, false))
		for range 50 {
			c, channel, job := b.open("alice.one")
			_ = c.Send(share(channel, job, 1))
			_ = c.Close()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		s := b.server
		for name, n := range map[string]int{
			"sessions": len(s.list()), "prefixes": s.prefixes.Live(), "links": len(b.fleet.Workers()),
			"addresses": s.sources.total(), "connections": len(s.greeting),
		} {
			if n != 0 {
				t.Errorf("%d %s are left over", n, name)
			}
		}
		b.stop()
	})
}
