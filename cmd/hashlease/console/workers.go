package console

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/ledger"
	"github.com/hashlease/hashlease/stratum"
)

// Bounds of a question for workers.
const (
	defaultRows = 50
	maxRows     = 500
	maxQuery    = 100 // bytes of the search text
)

// workersView answers a question for workers.
type workersView struct {
	Total int         `json:"total"` // that match
	Rows  []workerRow `json:"rows"`
}

// workerRow is one machine: as the fleet has it, as it mines, and what it was ever credited.
type workerRow struct {
	ID         string  `json:"id"`
	Feeder     string  `json:"feeder"` // empty: it is not in the fleet
	Index      int     `json:"index"`  // in the feeder's grid; -1 outside the fleet
	Model      string  `json:"model"`
	Code       string  `json:"code"`
	State      string  `json:"state"`
	Evidence   string  `json:"evidence"`
	Ordered    int64   `json:"ordered"`
	Reported   int64   `json:"reported"` // -1: it has not spoken
	Full       int64   `json:"full"`
	Pinned     bool    `json:"pinned"`
	Dialect    string  `json:"dialect"` // of the newest channel; empty: not connected
	Device     string  `json:"device"`
	Address    string  `json:"address"`
	Channels   int     `json:"channels"`
	Power      bool    `json:"power"`
	Since      int64   `json:"since"`
	Hashrate   float64 `json:"hashrate"`
	Difficulty float64 `json:"difficulty"`
	Accepted   uint64  `json:"accepted"`
	Rejected   uint64  `json:"rejected"`
	LastShare  int64   `json:"last_share"`
	Credited   uint64  `json:"credited"`  // shares, ever
	Elsewhere  bool    `json:"elsewhere"` // no session here: what it does is its own word
	Offer      string  `json:"offer"`     // sleep, wake or release: what may be ordered of it by hand
}

// workers answers ?q=TEXT&feeder=ID&state=CODE&sort=COLUMN&limit=N.
func (c *Console) workers(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	limit := defaultRows
	if s := q.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxRows {
			http.Error(w, "limit: 1 to "+strconv.Itoa(maxRows)+" is accepted", http.StatusBadRequest)
			return
		}
		limit = n
	}
	order, ok := orders[q.Get("sort")]
	if !ok {
		http.Error(w, "sort: place, id, hashrate, power, rejected or share is accepted",
			http.StatusBadRequest)
		return
	}
	text := strings.ToLower(q.Get("q"))
	if len(text) > maxQuery {
		http.Error(w, "q: up to 100 bytes are accepted", http.StatusBadRequest)
		return
	}
	rows := c.workerRows(c.frame())
	rows = slices.DeleteFunc(rows, func(row workerRow) bool {
		return !row.matches(text) || !in(q.Get("feeder"), row.Feeder) || !in(q.Get("state"), row.Code)
	})
	slices.SortStableFunc(rows, order)
	c.answer(w, workersView{Total: len(rows), Rows: rows[:min(len(rows), limit)]})
}

// in says whether a filter lets a value through; an empty one lets everything.
func in(filter, value string) bool { return filter == "" || filter == value }

func (row *workerRow) matches(text string) bool {
	for _, s := range []string{
		row.ID, row.Feeder, row.Model, row.Dialect, row.Device, row.Address, row.State,
	} {
		if strings.Contains(strings.ToLower(s), text) {
			return true
		}
	}
	return false
}

// orders are the columns to sort by. The fleet's own order is the place.
var orders = map[string]func(a, b workerRow) int{
	"":         func(_, _ workerRow) int { return 0 },
	"place":    func(_, _ workerRow) int { return 0 },
	"id":       func(a, b workerRow) int { return strings.Compare(a.ID, b.ID) },
	"hashrate": func(a, b workerRow) int { return cmp.Compare(b.Hashrate, a.Hashrate) },
	"power":    func(a, b workerRow) int { return cmp.Compare(b.Reported, a.Reported) },
	"rejected": func(a, b workerRow) int { return cmp.Compare(b.Rejected, a.Rejected) },
	"share":    func(a, b workerRow) int { return cmp.Compare(b.LastShare, a.LastShare) },
}

// workerRows joins fleet, channels and ledger: first the fleet by place, then others by name.
func (c *Console) workerRows(f *frame) []workerRow {
	at := map[pool.WorkerID]int{}
	var rows []workerRow
	for _, s := range f.power.Sites {
		for i := range s.Feeders {
			for k := range s.Feeders[i].Workers {
				w := &s.Feeders[i].Workers[k]
				at[w.ID] = len(rows)
				row := fleetRow(w, string(s.Feeders[i].ID), k, f.connected[w.ID] > 0)
				row.Offer = offer(w, s.Feeders[i].Arm)
				rows = append(rows, row)
			}
		}
	}
	fleet := len(rows)
	for i := range f.channels {
		ch := &f.channels[i]
		k := rowOf(ch.Worker, at, &rows)
		rows[k].mine(ch, c.cfg.Scale)
		for n := range ch.Named {
			b := rowOf(ch.Named[n].Worker, at, &rows)
			rows[b].mineBehind(ch, &ch.Named[n], c.cfg.Scale)
			rows[k].Hashrate -= float64(ch.Named[n].Hashrate) * c.cfg.Scale
			rows[k].Accepted -= min(rows[k].Accepted, ch.Named[n].Accepted)
		}
		rows[k].Hashrate = max(0, rows[k].Hashrate)
	}
	slices.SortFunc(rows[fleet:], func(a, b workerRow) int { return strings.Compare(a.ID, b.ID) })
	credit(rows, c.read.totals())
	return rows
}

// rowOf is the index of a worker's row, which is added if the worker is not in the fleet.
func rowOf(w pool.WorkerID, at map[pool.WorkerID]int, rows *[]workerRow) int {
	k, ok := at[w]
	if !ok {
		k = len(*rows)
		at[w] = k
		*rows = append(*rows, workerRow{
			ID: string(w), Index: -1, Code: string(unsteered), State: "not in the fleet", Reported: -1,
		})
	}
	return k
}

func fleetRow(w *governor.WorkerStatus, feeder string, index int, connected bool) workerRow {
	row := workerRow{
		ID: string(w.ID), Feeder: feeder, Index: index, Model: w.Model, Code: string(codeOf(w, connected)),
		State: w.State, Evidence: w.Evidence.String(), Ordered: int64(w.Watts),
		Reported: int64(w.Reported), Full: int64(w.Full), Pinned: w.Pinned, Elsewhere: w.Elsewhere,
	}
	if s := w.Seen; w.Elsewhere && !s.At.IsZero() {
		row.Hashrate = float64(s.Hashrate)
		row.Device = clip(strings.TrimSpace(s.Firmware + " at " + s.Pool))
	}
	return row
}

// mine adds a channel. Several channels of a worker are summed; what cannot be is the newest's.
func (row *workerRow) mine(ch *stratum.ChannelStats, scale float64) {
	row.Channels++
	row.Hashrate += float64(ch.Hashrate) * scale
	row.Accepted += ch.Accepted
	row.Rejected += ch.Rejected
	row.Power = row.Power || ch.Power
	row.LastShare = max(row.LastShare, millis(ch.LastShare))
	if since := millis(ch.Since); since >= row.Since {
		row.Since, row.Difficulty, row.Address = since, ch.Difficulty, clip(ch.Device.Address)
		d := ch.Device
		row.Dialect = ch.Dialect.String()
		row.Device = clip(strings.Join(strings.Fields(d.Vendor+" "+d.Hardware+" "+d.Firmware), " "))
	}
}

// mineBehind adds what a worker does behind a proxy's channel. Refused shares are the proxy's.
func (row *workerRow) mineBehind(ch *stratum.ChannelStats, n *stratum.WorkerStats, scale float64) {
	row.Channels++
	row.Hashrate += float64(n.Hashrate) * scale
	row.Accepted += n.Accepted
	row.LastShare = max(row.LastShare, millis(n.LastShare))
	if since := millis(n.Since); since >= row.Since {
		row.Since, row.Difficulty, row.Address = since, ch.Difficulty, clip(ch.Device.Address)
		row.Dialect = ch.Dialect.String()
		row.Device = clip("behind " + string(ch.Worker))
	}
}

func credit(rows []workerRow, totals []ledger.WorkerTotal) {
	shares := make(map[string]uint64, len(totals))
	for _, t := range totals {
		shares[string(t.Worker)] = t.Shares
	}
	for i := range rows {
		rows[i].Credited = shares[rows[i].ID]
	}
}
