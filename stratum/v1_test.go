package stratum

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/hashlease/hashlease/pool"
)

// Ensure that a Stratum V1 miner that connects to the port of both dialects mines a share to the ledger,
// and is told so only when it is there.
func TestV1_MinesAShareToTheLedger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		var mu sync.Mutex
		var credited []pool.Credit
		b.credit = func(_ context.Context, credits []pool.Credit) error {
			mu.Lock()
			defer mu.Unlock()
			credited = append(credited, credits...)
			return nil
		}
		b.start()
		defer b.stop()
		b.publish(template(100, 1, false))
		c := b.dialV1()
		defer c.conn.Close()
		c.join("test/1.0", "account.worker", "x")
		if !c.job.clean {
			t.Error("the first job is not clean")
		}
		c.submit("3", "account.worker", 7)
		if l := c.reply("3"); string(l.Result) != "true" {
			t.Errorf("a share is answered by %v", l)
		}
		mu.Lock()
		defer mu.Unlock()
		if len(credited) != 1 || credited[0].Worker != "account.worker" || credited[0].Shares != 1 {
			t.Errorf("credited: %+v", credited)
		}
	})
}
