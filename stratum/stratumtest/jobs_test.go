package stratumtest

import (
	"encoding/hex"
	"slices"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"pgregory.net/rapid"

	"github.com/hashlease/hashlease/pool"
)

var now = time.Unix(1_800_000_000, 0)

// Ensure that the engine's cached first block gives the hash of the genesis block.
func TestEngine_HashesGenesis(t *testing.T) {
	root, err := chainhash.NewHashFromStr("4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b")
	if err != nil {
		t.Fatal(err)
	}
	j := job{version: 1, root: *root}
	w := j.ready(tip{bits: 0x1d00ffff, minTime: 1231006505}, 1231006505, pool.MaxTarget, now)
	e := newEngine()
	e.load(w, 1231006505)
	e.hash(2083236893)
	slices.Reverse(e.out[:])
	want := "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
	if got := hex.EncodeToString(e.out[:]); got != want {
		t.Fatalf("hash is %s, want %s", got, want)
	}
}

// Ensure that a job without a minimum time waits for the SetNewPrevHash that names it (sv2-spec 05 §5.3.15).
func TestJobs_FutureJobWaitsForItsTip(t *testing.T) {
	var j jobs
	j.setTarget(easy)
	if w, err := j.add(job{id: 1}, nil, now); w != nil || err != nil {
		t.Fatalf("future job is active: %v, %v", w, err)
	}
	w, err := j.activate(1, tip{minTime: 50}, now)
	if err != nil || w.job != 1 || w.minTime != 50 {
		t.Fatalf("activated %+v, %v", w, err)
	}
}

// Ensure that after SetNewPrevHash every other future job is dead (sv2-spec 05 §5.3.17).
func TestJobs_TipVoidsOtherFutureJobs(t *testing.T) {
	var j jobs
	for id := range uint32(3) {
		_, _ = j.add(job{id: id}, nil, now)
	}
	if _, err := j.activate(1, tip{}, now); err != nil {
		t.Fatal(err)
	}
	for _, id := range []uint32{0, 1, 2} {
		if _, err := j.activate(id, tip{}, now); err == nil {
			t.Fatalf("job %d lives on", id)
		}
	}
}

// Ensure that SetTarget leaves the active job alone and holds for waiting and later ones
// (sv2-spec 05 §5.3.21).
func TestJobs_TargetHoldsForLaterAndWaitingJobs(t *testing.T) {
	var j jobs
	j.setTarget(easy)
	_, _ = j.add(job{id: 1}, nil, now)
	active, _ := j.activate(1, tip{}, now)
	_, _ = j.add(job{id: 2}, nil, now)
	harder := pool.TargetForHashes(1000)
	j.setTarget(harder)
	if active.target != easy {
		t.Fatal("the active job's target changed")
	}
	from := uint32(1)
	if w, _ := j.add(job{id: 3}, &from, now); w.target != harder {
		t.Fatal("a later job kept the old target")
	}
	if w, _ := j.activate(2, tip{}, now); w.target != harder {
		t.Fatal("a waiting job kept the old target")
	}
}

// Ensure that an active job without any tip is refused: nothing can be hashed for it.
func TestJobs_RefusesActiveJobWithoutTip(t *testing.T) {
	var j jobs
	from := uint32(1)
	if w, err := j.add(job{id: 1}, &from, now); err == nil {
		t.Fatalf("active is %+v", w)
	}
}

// Ensure that no order of messages makes the miner keep more than a bounded number of jobs.
func TestJobs_BoundsFutureJobs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var j jobs
		for _, id := range rapid.SliceOfN(rapid.Uint32Range(0, 40), 0, 100).Draw(t, "ids") {
			_, _ = j.add(job{id: id}, nil, now)
			if id%7 == 0 {
				_, _ = j.activate(id, tip{}, now)
			}
			if len(j.future) > maxFuture {
				t.Fatalf("%d future jobs", len(j.future))
			}
		}
	})
}
