package governance

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/sluice-mesh/sluice/governance/fleet"
	"github.com/sluice-mesh/sluice/governance/peers"
	"github.com/sluice-mesh/sluice/governance/series"
)

// What the other centres of one store are to the rooms of this one.

func (z *Center) newPeers() (*peers.Peers, error) {
	tls, err := z.auth.CA().PeerConfig(z.config.Name)
	if err != nil {
		return nil, err
	}
	address, err := z.address()
	if err != nil {
		return nil, err
	}
	return peers.New(peers.Options{
		Store: z.store, TLS: tls, Me: z.config.Name, Address: address, File: filepath.Join(z.config.Data, "peers.heard"), Log: z.log,
		Alive: z.members.Alive, OnAgents: z.toldOf, OnReport: z.heard, OnMissing: z.series.Missing, Answer: z.answer, Kept: z.series.KeptTo(),
	}), nil
}

// address is where other centres reach this one.
func (z *Center) address() (string, error) {
	if z.config.Address != "" {
		return z.config.Address, nil
	}
	host, port, err := net.SplitHostPort(z.port.Addr().String())
	if err != nil {
		return "", err
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsUnspecified() {
		return net.JoinHostPort(host, port), nil
	}
	if host, err = os.Hostname(); err != nil {
		return "", fmt.Errorf("center.address has no default: %w", err)
	}
	return net.JoinHostPort(host, port), nil
}

// toldOf notes that agents of other centres are others than before.
func (z *Center) toldOf(names []string) {
	for _, name := range names {
		if !z.fleet.Connected(name) {
			z.series.Gone(name)
		}
	}
	z.api.Changed("agents", "resources", "overview")
}

// heard takes a report of an agent of another centre.
func (z *Center) heard(a fleet.Agent, payload []byte, at, since time.Time) {
	if err := z.series.IngestSince(series.AgentInfo{Name: a.Name, Application: a.Application, IDC: a.IDC}, payload, at, since); err != nil {
		z.log.Warn("a report that came by another centre cannot be read", "agent", a.Name, "error", err)
	}
}

// whole returns why not all agents are known as they are now; nil: they are.
func (z *Center) whole() error {
	if z.peers == nil {
		return nil
	}
	return z.peers.Whole()
}

// Questions of one centre to another. Bodies are a series.Query, answers what its method returns; for sums see sumsQuestion.
const (
	pathQuery  = "series/query"
	pathWindow = "series/window"
	pathSums   = "series/sums"
)

// answer answers another centre, from what this one knows by itself.
func (z *Center) answer(_ context.Context, path string, body []byte) ([]byte, error) {
	if path == pathSums {
		return z.answerSums(body)
	}
	var q series.Query
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	switch path {
	case pathQuery:
		points, err := z.series.Query(q)
		if err != nil {
			return nil, err
		}
		return json.Marshal(z.doubt(points))
	case pathWindow:
		point, err := z.series.Window(q)
		if err != nil {
			return nil, err
		}
		return json.Marshal(z.doubt([]series.Point{point})[0])
	}
	return nil, fmt.Errorf("this centre does not know the question %.99q", path)
}

// historyTime bounds how long other centres are asked for what this one lacks.
const historyTime = 3 * time.Second

// history is series.Query; points of which something is not known here are those of a centre that knows them.
func (z *Center) history(ctx context.Context, q series.Query) ([]series.Point, error) {
	best, err := z.series.Query(q)
	if err != nil {
		return nil, err
	}
	z.doubt(best)
	z.elsewhere(ctx, pathQuery, q, lacks(best), func(answer []byte) (int, bool) {
		var points []series.Point
		if json.Unmarshal(answer, &points) != nil {
			return 0, false
		}
		best = better(best, points)
		return lacks(best), true
	})
	return best, nil
}

// window is series.Window, of the centre that lacks least.
func (z *Center) window(q series.Query) (series.Point, error) {
	best, err := z.series.Window(q)
	if err != nil {
		return best, err
	}
	best = z.doubt([]series.Point{best})[0]
	z.elsewhere(context.Background(), pathWindow, q, lacks([]series.Point{best}), func(answer []byte) (int, bool) {
		var point series.Point
		if json.Unmarshal(answer, &point) != nil || lacks([]series.Point{point}) > 0 {
			return 0, false
		}
		best = point
		return 0, true
	})
	return best, nil
}

// doubt marks the points in which reports of agents may be missing because their centre is not heard now, and returns them.
func (z *Center) doubt(points []series.Point) []series.Point {
	if z.peers == nil {
		return points
	}
	for _, c := range z.peers.Centers() {
		if c.Gone || c.Heard {
			continue
		}
		for i := range points {
			p := &points[i]
			p.Partial = p.Partial || c.Since == nil || p.At.Add(p.Length).After(*c.Since)
		}
	}
	return points
}

// better returns points with those of others where these lack something and the others do not. Where the others have other steps,
// because less of the time is kept in fine ones there, all points are of whoever lacks less.
func better(points, others []series.Point) []series.Point {
	alike := len(points) == len(others)
	for i := range points {
		alike = alike && points[i].At.Equal(others[i].At) && points[i].Length == others[i].Length
	}
	if !alike {
		if lacks(others) < lacks(points) {
			return others
		}
		return points
	}
	for i := range points {
		if lacks(points[i:i+1]) > lacks(others[i:i+1]) {
			points[i] = others[i]
		}
	}
	return points
}

// lacks counts the points of which something is not known.
func lacks(points []series.Point) (n int) {
	for i := range points {
		if points[i].Gap || points[i].Partial {
			n++
		}
	}
	return n
}

// elsewhere asks the other centres one after the other, until nothing is lacking. take returns what is still lacking when it took an
// answer; it may change q, for those that are asked then.
func (z *Center) elsewhere(ctx context.Context, path string, q any, lacking int, take func(answer []byte) (int, bool)) {
	if z.peers == nil || lacking == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, historyTime)
	defer cancel()
	for _, c := range z.peers.Centers() {
		if !c.Heard {
			continue
		}
		body, err := json.Marshal(q)
		if err != nil {
			return // plain fields
		}
		answer, err := z.peers.AskCenter(ctx, c.Name, path, body)
		if err != nil {
			z.log.Warn("another centre was asked for history that is missing here, in vain", "center", c.Name, "error", err)
			continue
		}
		if left, took := take(answer); took {
			if lacking = left; lacking == 0 {
				return
			}
		}
	}
}
