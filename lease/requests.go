package lease

import (
	"container/heap"
	"time"
)

// Methods of requests that are remembered.
const (
	methodCreate = "create"
	methodAmend  = "amend"
	methodCancel = "cancel"
)

// requestKey is the scope of a request id: one tenant, one method.
type requestKey struct {
	tenant TenantID
	method string
	id     string
}

// repeated looks a request up. It returns whether it was done before, or a refusal if the id
// came with another content.
func (b *Book) repeated(k requestKey, d Digest, now time.Time) (bool, *Refusal) {
	if k.id == "" {
		return false, nil
	}
	r, ok := b.requests[k]
	if !ok || !now.Before(r.Until) {
		return false, nil
	}
	if r.Digest != d {
		return false, refuse(RequestIDReused, "request_id", "it was used before with another content: "+
			"repeat that request exactly, or take a new id")
	}
	return true, nil
}

// Answer is the lease that a command was about, of a repeated one the first's. It holds after a Step
// that returned no error.
func (b *Book) Answer(c Command) (*Lease, bool) {
	uid, k := UID(""), requestKey{}
	switch c := c.(type) {
	case Create:
		uid, k = c.UID, requestKey{c.Tenant, methodCreate, c.RequestID}
	case Cancel:
		uid, k = c.UID, requestKey{c.Tenant, methodCancel, c.RequestID}
	case Amend:
		uid, k = c.UID, requestKey{c.Tenant, methodAmend, c.RequestID}
	case Confirm:
		uid = c.UID
	case Settle:
		uid = c.UID
	}
	if r, ok := b.requests[k]; ok && k.id != "" {
		uid = r.UID
	}
	return b.Lease(uid)
}

// request is what to remember of a mutation: max(24 h, the slot's end and 7 days).
func request(k requestKey, d Digest, l *Lease, now time.Time) *Request {
	if k.id == "" {
		return nil
	}
	until := l.Slot.End.Add(requestEnd)
	if day := now.Add(requestTTL); day.After(until) {
		until = day
	}
	return &Request{Tenant: k.tenant, Method: k.method, ID: k.id, Digest: d, UID: l.UID, Until: until}
}

func (r *Request) key() requestKey { return requestKey{r.Tenant, r.Method, r.ID} }

func (b *Book) remember(r Request) {
	k := r.key()
	if _, ok := b.requests[k]; !ok {
		b.usage(r.Tenant).requests++
	}
	b.requests[k] = r
	heap.Push(&b.expiry, expiry{at: r.Until, request: k})
}

// forget drops what is past its time: requests, and leases long over.
func (b *Book) forget(now time.Time) {
	for len(b.expiry) > 0 && !now.Before(b.expiry[0].at) {
		x := heap.Pop(&b.expiry).(expiry) //nolint:errcheck // only expiries are pushed
		if x.uid != "" {
			b.forgetLease(x.uid)
			continue
		}
		r, ok := b.requests[x.request]
		if !ok || now.Before(r.Until) {
			continue // made anew since
		}
		delete(b.requests, x.request)
		b.usage(r.Tenant).requests--
		b.forgetTenant(r.Tenant)
	}
}

// forgetLease drops a lease that is over, unless its watts are still claimed or its charge
// is not in the ledger yet: such a one is looked at again later.
func (b *Book) forgetLease(uid UID) {
	r := b.leases[uid]
	if r == nil {
		return
	}
	if r.lease.Claims() || r.lease.Owes() {
		heap.Push(&b.expiry, expiry{at: b.high.Add(retention), uid: uid})
		return
	}
	delete(b.leases, uid)
	b.usage(r.lease.Tenant).retained--
	b.forgetTenant(r.lease.Tenant)
}

func (b *Book) forgetTenant(t TenantID) {
	if u := b.tenants[t]; u != nil && *u == (usage{}) {
		delete(b.tenants, t)
	}
}

// expiry is something to be forgotten at a time: a lease or a request.
type expiry struct {
	at      time.Time
	uid     UID
	request requestKey
}

type expiryHeap []expiry

func (h expiryHeap) Len() int           { return len(h) }
func (h expiryHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h expiryHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push is for package heap.
func (h *expiryHeap) Push(x any) { *h = append(*h, x.(expiry)) } //nolint:errcheck // only expiries

// Pop is for package heap.
func (h *expiryHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
