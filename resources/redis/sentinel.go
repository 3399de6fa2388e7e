package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/sluice-mesh/sluice/resources"
)

// watchSentinels follows the primary and its replicas through the sentinels (https://redis.io/docs/reference/sentinel-clients/).
// A sentinel that answers is asked every second, and at once when it announces a new primary. What it says is a claim:
// probes ask every server for its role, and a server that answers READONLY is no primary.
//
// Each failover has a number, the config epoch, that is greater than all before. A sentinel that names a smaller one than
// another did before was cut off from the others and names a primary of the past: it is not believed.
func (r *Resource) watchSentinels(ctx context.Context, seeds []string, report func([]resources.Member)) error {
	newest := int64(0)
	ask := func(addr string) error {
		members, epoch, err := r.askSentinel(ctx, addr)
		switch {
		case err != nil:
			return err
		case epoch < newest:
			return fmt.Errorf("it knows failover %d and others know %d", epoch, newest)
		}
		newest = epoch
		report(members)
		return nil
	}
	for i := 0; ; i++ {
		for _, addr := range rotate(seeds, i) {
			if err := ask(addr); err != nil {
				if ctx.Err() == nil {
					r.rt.Log("warn", "a sentinel is of no use", "sentinel", addr, "error", err)
				}
				continue
			}
			r.followSentinel(ctx, addr, ask)
			break
		}
		if err := r.pause(ctx, time.Second); err != nil {
			return err
		}
	}
}

func rotate(list []string, by int) []string {
	if len(list) == 0 {
		return nil
	}
	by %= len(list)
	return append(append([]string(nil), list[by:]...), list[:by]...)
}

// askSentinel returns the primary and the replicas that one sentinel knows, and the config epoch.
func (r *Resource) askSentinel(ctx context.Context, addr string) (members []resources.Member, epoch int64, err error) {
	v, err := r.ask(ctx, addr, r.sentinel, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", r.set.Master)
	if err != nil {
		return nil, 0, err
	}
	if len(v.Elems) != 2 {
		return nil, 0, errors.New("sentinel " + addr + " knows no master " + r.set.Master + "; settings.master must be the name in its configuration")
	}
	members = []resources.Member{{Address: net.JoinHostPort(v.Elems[0].Str, v.Elems[1].Str), Role: resources.RolePrimary}}
	if v, err = r.ask(ctx, addr, r.sentinel, "SENTINEL", "MASTER", r.set.Master); err != nil {
		return nil, 0, err
	}
	if epoch, err = strconv.ParseInt(field(v, "config-epoch").Str, 10, 64); err != nil {
		return nil, 0, fmt.Errorf("sentinel %s: config-epoch: %w", addr, err)
	}
	if v, err = r.ask(ctx, addr, r.sentinel, "SENTINEL", "REPLICAS", r.set.Master); err != nil {
		return nil, 0, err
	}
	for _, e := range v.Elems {
		a := net.JoinHostPort(field(e, "ip").Str, field(e, "port").Str)
		if a != members[0].Address {
			members = append(members, resources.Member{Address: a, Role: resources.RoleReplica})
		}
	}
	return members, epoch, nil
}

// followSentinel listens to one sentinel's announcements and asks it again every second, until it fails.
func (r *Resource) followSentinel(ctx context.Context, addr string, ask func(addr string) error) {
	dialCtx, cancel := context.WithTimeout(ctx, time.Duration(r.rt.Policy().ConnectTimeout)+time.Second)
	defer cancel()
	nc, fault := r.rt.Dial(dialCtx, &resources.Endpoint{Resource: r.rt.Name(), Address: addr, ID: -1})
	if fault != nil {
		return
	}
	defer func() { _ = nc.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = nc.Close() })
	defer stop()
	if err := handshake(dialCtx, nc, attr{user: r.sentinel.user, password: r.sentinel.password}, false); err != nil {
		return
	}
	cl := &client{nc: nc}
	if _, err := cl.do(dialCtx, "SUBSCRIBE", "+switch-master"); err != nil {
		return
	}
	for ctx.Err() == nil {
		_ = nc.SetReadDeadline(time.Now().Add(time.Second))
		_, err := cl.read()
		var late net.Error
		if err != nil && !(errors.As(err, &late) && late.Timeout()) {
			return
		}
		if ask(addr) != nil {
			return
		}
	}
}
