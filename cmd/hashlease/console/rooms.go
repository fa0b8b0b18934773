package console

import (
	"time"

	"github.com/hashlease/hashlease/lease"
	"github.com/hashlease/hashlease/lease/service"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/ledger"
	"github.com/hashlease/hashlease/pool/node"
	"github.com/hashlease/hashlease/stratum"
)

// Bounds of what one look takes from the rooms.
const (
	maxLeases      = 200
	maxLeaseEvents = 2000 // most of them are notes that are not shown
)

// figures is one look at all rooms. It is immutable.
type figures struct {
	at          time.Time
	stratum     stratum.Stats
	channels    []stratum.ChannelStats
	power       governor.Status
	powerEvents []governor.Event
	book        service.Stats
	bookError   error // why the book takes no commands
	leases      []*lease.Lease
	leaseEvents []*lease.Event
	shares      ledger.SharesStats
	blocks      []ledger.FoundBlock
	blockStats  ledger.BlocksStats
	relay       node.RelayStats
	nodes       []node.NodeState
	work        node.State
	watch       node.WatchStats
}

// reader is how the rooms are looked at: figures for every look, the rest when it is asked for.
type reader struct {
	figures func() *figures
	history func(fleet.FeederID) []governor.Sample
	totals  func() []ledger.WorkerTotal
	actions actions
}

// roomsOf reads the real rooms.
func roomsOf(cfg *Config) reader {
	rooms := *cfg
	return reader{
		figures: func() *figures { return look(&rooms) },
		history: rooms.Governor.History,
		totals:  rooms.Shares.Totals,
		actions: actionsOf(rooms.Governor),
	}
}

func look(r *Config) *figures {
	return &figures{
		at:          time.Now(),
		stratum:     r.Stratum.Stats(),
		channels:    r.Stratum.Channels(),
		power:       r.Governor.Status(),
		powerEvents: r.Governor.Events(0),
		book:        r.Leases.Stats(),
		bookError:   r.Leases.Health(),
		leases:      r.Leases.Leases(maxLeases),
		leaseEvents: r.Leases.RecentEvents(maxLeaseEvents),
		shares:      r.Shares.Stats(),
		blocks:      r.Blocks.List(),
		blockStats:  r.Blocks.Stats(),
		relay:       r.Relay.Stats(),
		nodes:       r.Relay.States(),
		work:        r.Watch.State(),
		watch:       r.Watch.Stats(),
	}
}
