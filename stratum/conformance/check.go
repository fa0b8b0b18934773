package conformance

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"
)

// T is what a Check is given, in the manner of testing.T. Its methods may only be called by the
// goroutine that runs the Check.
type T struct {
	ctx  context.Context //nolint:containedctx // lives as long as one check
	run  *run
	rule *Rule

	address string // of the pool; another one after a Reconnect

	status   Status
	detail   string
	cleanups []func()
}

// Failf ends the check: the pool breaks the rule. Say what was expected and what came.
func (t *T) Failf(format string, args ...any) {
	t.status, t.detail = Fail, fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// NA ends the check: this pool cannot be asked.
func (t *T) NA(format string, args ...any) {
	t.status, t.detail = NotApplicable, fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// cleanup is called when the check is over.
func (t *T) cleanup(f func()) { t.cleanups = append(t.cleanups, f) }

// Patience is how long an answer may take that nothing has to be waited for.
func (t *T) Patience() time.Duration { return t.run.opts.Patience }

// Control steers the pool. Rules that use it name the verbs in Needs.
func (t *T) Control() *Control { return t.run.control }

// Timeout is how long the pool waits before what the rule's Waits names.
func (t *T) Timeout() time.Duration { return t.run.timeout(t.rule.Waits) }

// Identity is a user identity that the pool takes. With a control each one is new, so that a verb can
// name its channel.
func (t *T) Identity() string {
	if t.run.control == nil {
		return t.run.pool.User
	}
	return fmt.Sprintf("%s-%08x", t.run.pool.User, rand.Uint32())
}
