package console

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"sync"
	"time"
)

// tokens is a bounded set of random secrets that end by themselves. Only digests are kept. When it
// is full, the oldest goes: whoever makes the next one has shown a key.
type tokens struct {
	most int           // immutable
	life time.Duration // immutable

	mu   sync.Mutex
	live []token // guarded by mu: oldest first
}

type token struct {
	digest [sha256.Size]byte
	until  time.Time
}

func newTokens(most int, life time.Duration) *tokens { return &tokens{most: most, life: life} }

// issue makes a secret of 256 random bits, as text that needs no escaping anywhere.
func (t *tokens) issue(now time.Time) string {
	var b [32]byte
	rand.Read(b[:]) // it never fails
	secret := base64.RawURLEncoding.EncodeToString(b[:])
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expireLocked(now)
	if len(t.live) >= t.most {
		t.live = append(t.live[:0], t.live[len(t.live)-t.most+1:]...)
	}
	t.live = append(t.live, token{sha256.Sum256([]byte(secret)), now.Add(t.life)})
	return secret
}

// has says whether the secret is one of the set.
func (t *tokens) has(secret string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.findLocked(secret, now) >= 0
}

// take removes the secret and says whether it was there: of several callers with the same
// one, one is told yes.
func (t *tokens) take(secret string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.findLocked(secret, now)
	if i < 0 {
		return false
	}
	t.live = append(t.live[:i], t.live[i+1:]...)
	return true
}

func (t *tokens) count(now time.Time) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expireLocked(now)
	return len(t.live)
}

// findLocked looks at every one of the set, whether it has found it or not, and compares digests in
// constant time.
func (t *tokens) findLocked(secret string, now time.Time) int {
	t.expireLocked(now)
	digest := sha256.Sum256([]byte(secret))
	found := -1
	for i := range t.live {
		equal := subtle.ConstantTimeCompare(digest[:], t.live[i].digest[:])
		found = subtle.ConstantTimeSelect(equal, i, found)
	}
	return found
}

// expireLocked drops what is over: all live as long, so that these are the first ones.
func (t *tokens) expireLocked(now time.Time) {
	n := 0
	for n < len(t.live) && !now.Before(t.live[n].until) {
		n++
	}
	t.live = append(t.live[:0], t.live[n:]...)
}
