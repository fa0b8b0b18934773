package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"google.golang.org/grpc"

	"github.com/hashlease/hashlease/stratum"
)

// group runs rooms together: when one fails, all are told to stop.
type group struct {
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu   sync.Mutex
	errs []error // guarded by mu
}

func newGroup(stop context.CancelFunc) *group { return &group{stop: stop} }

// run starts f, which ends when the rooms' context does.
func (g *group) run(name string, f func() error) {
	g.wg.Go(func() {
		err := f()
		if err == nil || orderly(err) {
			return
		}
		g.mu.Lock()
		g.errs = append(g.errs, fmt.Errorf("%s: %w", name, err))
		g.mu.Unlock()
		g.stop()
	})
}

// orderly says whether an error only tells that somebody was asked to stop.
func orderly(err error) bool {
	for _, ok := range []error{
		context.Canceled, stratum.ErrServerClosed, grpc.ErrServerStopped, http.ErrServerClosed,
	} {
		if errors.Is(err, ok) {
			return true
		}
	}
	return false
}

// wait returns every failure once all have ended.
func (g *group) wait() error {
	g.wg.Wait()
	return errors.Join(g.errs...)
}
