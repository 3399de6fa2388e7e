package peers

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/governance/store"
)

// prefix of the records.
const prefix = "centers/"

// record is what a centre writes down of itself.
type record struct {
	Address string `json:"address"`
	Boot    string `json:"boot"`
}

type noted struct {
	record
	revision int64
}

// register writes down where this centre is.
func (p *Peers) register(ctx context.Context) error {
	text, err := json.Marshal(record{p.o.Address, p.boot})
	if err != nil {
		return err
	}
	if _, err := p.o.Store.Commit(ctx, store.Txn{Then: []store.Op{{Key: prefix + p.o.Me, Value: text}}}); err != nil {
		return fmt.Errorf("telling the other centres of this one: %w", err)
	}
	return nil
}

// known returns the keys of all records, and the revision at which they were.
func (p *Peers) known() (keys []string, after int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name := range p.records {
		keys = append(keys, prefix+name)
	}
	return keys, p.revision
}

// apply takes over what changed in the store.
func (p *Peers) apply(b store.Batch) {
	var over []*peer
	again := false
	p.mu.Lock()
	p.revision = b.Revision
	for _, c := range b.Changes {
		name := strings.TrimPrefix(c.Key, prefix)
		if c.Deleted {
			delete(p.records, name)
			if one := p.peers[name]; one != nil {
				delete(p.peers, name)
				over = append(over, one)
			}
			again = again || name == p.o.Me // this centre was taken for dead
			continue
		}
		n := noted{revision: c.Revision}
		if err := json.Unmarshal(c.Value, &n.record); err != nil {
			p.o.Log.Error("where a centre is cannot be read", "center", name, "error", err)
			continue
		}
		p.records[name] = n
		switch {
		case name != p.o.Me:
			p.meet(name, n.record)
		case n.Boot != p.boot:
			p.o.Log.Error("another centre has the name of this one: give each its own", "center", name, "address", n.Address)
		}
	}
	p.mu.Unlock()
	for _, one := range over {
		one.end()
		p.told(p.fleet.CenterGone(one.name, p.fleet.Sync()))
	}
	if again {
		if err := p.register(p.life); err != nil {
			p.o.Log.Warn("the other centres do not find this one for now", "error", err)
		}
	}
}

// meet begins to follow a centre, or tells its goroutine where it is now. mu is held.
func (p *Peers) meet(name string, r record) {
	if p.closed {
		return
	}
	one := p.peers[name]
	if one == nil {
		one = newPeer(p, name)
		p.peers[name] = one
		p.done.Go(one.run)
	}
	one.moved(r)
}

// aliveTime bounds a question to the store.
const aliveTime = 2 * time.Second

// look asks now and then whether the other centres live.
func (p *Peers) look(ctx context.Context) {
	tick := time.NewTicker(p.o.Look)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, one := range p.all() {
			asked, cancel := context.WithTimeout(ctx, aliveTime)
			lives, err := p.o.Alive(asked, one.name)
			cancel()
			if err != nil { // nobody knows: it stays as it is
				continue
			}
			if gone, at := one.judge(lives, time.Now()); gone {
				p.o.Log.Info("another centre is gone", "center", one.name)
				p.told(p.fleet.CenterGone(one.name, at))
			}
			if one.over(time.Now()) {
				p.forget(ctx, one.name)
			}
		}
	}
}

// forget removes the record of a centre that is gone for long.
func (p *Peers) forget(ctx context.Context, name string) {
	p.mu.Lock()
	n, ok := p.records[name]
	p.mu.Unlock()
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, aliveTime)
	defer cancel()
	key := prefix + name
	_, err := p.o.Store.Commit(ctx, store.Txn{If: []store.Cond{{Key: key, Revision: n.revision}}, Then: []store.Op{{Key: key, Delete: true}}})
	if err != nil {
		p.o.Log.Warn("a centre that is gone for long is not forgotten yet", "center", name, "error", err)
	}
}

// told says that agents of other centres are others than before.
func (p *Peers) told(names []string) {
	if len(names) > 0 {
		p.o.OnAgents(names)
	}
}
