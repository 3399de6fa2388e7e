package motan

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// startLimit is how long a client may take to start, on a loaded machine.
const startLimit = 30 * time.Second

// answerLimit is how much longer than its timeout a call may take before the test fails.
const answerLimit = 30 * time.Second

// Client describes a Motan client.
type Client struct {
	Peer          Peer     // default Go
	Registry      Registry // Direct with the address of a server or an agent, or ZooKeeper; PHP has Direct alone
	Protocol      string   // default Motan2; Motan1 for Java alone
	Serialization string   // default Simple, and Hessian2 for Motan1
	Application   string   // M_s; default "testenv-" and the peer
	// Parameters are further ones of the reference's URL: "retries", "filter", "mingzSize", "haStrategy".
	Parameters map[string]string
	Program    string // that of motan-go; default built now
}

// ClientProcess is a running client, which makes the calls that it is told to. Its methods may be called by many at once.
type ClientProcess struct {
	*server.Process
	Peer Peer

	t  server.TB
	in *os.File

	mu      sync.Mutex // guards what follows, and writes to in
	last    int64
	waiting map[int64]chan answer
	ended   error // why there will be no more answers
}

// clientConfig is what the program of a peer is told.
type clientConfig struct {
	Application   string            `json:"application"`
	Protocol      string            `json:"protocol"`
	Serialization string            `json:"serialization"`
	Registry      Registry          `json:"registry"`
	Parameters    map[string]string `json:"parameters,omitempty"`
}

// batch is a line to a driver: calls that it makes at once. It answers with a line that has the same number, when all
// have ended. The first line that it writes, when it has started, has the number 0.
type batch struct {
	ID    int64  `json:"id"`
	Calls []line `json:"calls"`
}

type line struct {
	Service     string            `json:"service"`
	Group       string            `json:"group"`
	Version     string            `json:"version"`
	Method      string            `json:"method"`
	Args        []value           `json:"args"`
	Attachments map[string]string `json:"attachments,omitempty"`
	Timeout     int64             `json:"timeout"` // ms
	Returns     string            `json:"returns,omitempty"`
}

type answer struct {
	ID      int64 `json:"id"`
	Results []struct {
		Value       value             `json:"value"`
		Attachments map[string]string `json:"attachments"`
		Error       *Exception        `json:"error"`
		Stray       bool              `json:"stray"`
	} `json:"results"`
}

// Dial starts a client. It connects with its first call to a service.
func Dial(t server.TB, c Client) *ClientProcess {
	t.Helper()
	if c.Peer == "" {
		c.Peer = Go
	}
	conf := clientConfig{
		Application: or(c.Application, "testenv-"+string(c.Peer)), Protocol: or(c.Protocol, Motan2), Serialization: c.Serialization,
		Registry: c.Registry, Parameters: c.Parameters,
	}
	if conf.Serialization == "" {
		conf.Serialization = usual(conf.Protocol)
	}
	cmd := command(t, c.Peer, c.Program, "client", conf)
	cmd.Env = c.Registry.env()
	in, out := cmd.Pipes(t)
	p := &ClientProcess{Peer: c.Peer, t: t, in: in, waiting: map[int64]chan answer{0: make(chan answer, 1)}}
	p.Process = server.Start(t, server.Program{Kind: "motan-" + string(c.Peer) + "-client", Command: cmd})
	started := p.waiting[0]
	var readers sync.WaitGroup
	readers.Go(func() { p.read(out) })
	readers.Go(func() { // out has no end while our own end of the pipe's other side is open
		<-p.Done()
		p.end(errorf(p.Peer, "it has ended: %s", p.State()))
	})
	t.Cleanup(func() { // what it has not answered is nobody's business any more
		if p.Running() {
			p.Kill()
		}
		_ = out.Close() // ends read
		readers.Wait()
	})
	if _, err := p.await(started, startLimit); err != nil {
		t.Fatalf("start a client: %v", err)
	}
	return p
}

// read hands answers to who waits for them.
func (p *ClientProcess) read(out io.Reader) {
	lines := bufio.NewReaderSize(out, 1<<20)
	for {
		text, err := lines.ReadBytes('\n')
		if err != nil {
			p.end(errorf(p.Peer, "read: %w", err))
			return
		}
		var a answer
		if err := json.Unmarshal(text, &a); err != nil {
			p.end(errorf(p.Peer, "%.200s: %w", text, err))
			return
		}
		p.mu.Lock()
		to := p.waiting[a.ID]
		delete(p.waiting, a.ID)
		p.mu.Unlock()
		if to == nil {
			p.end(errorf(p.Peer, "nobody waits for answer %d", a.ID))
			return
		}
		to <- a
	}
}

// end tells all who wait that there will be no answer; the first reason holds.
func (p *ClientProcess) end(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended == nil {
		p.ended = err
	}
	for id, to := range p.waiting {
		close(to)
		delete(p.waiting, id)
	}
}

func (p *ClientProcess) await(from chan answer, limit time.Duration) (answer, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case a, ok := <-from:
		if ok {
			return a, nil
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		return answer{}, p.ended
	case <-timer.C:
		return answer{}, errorf(p.Peer, "no answer within %v", limit)
	}
}

// Do makes one call. It fails the test when the driver does not answer; that a call fails is a result.
func (p *ClientProcess) Do(c Call) Result {
	p.t.Helper()
	return p.Multi(c)[0]
}

// Must makes a call that must not fail, and returns its value.
func (p *ClientProcess) Must(c Call) any {
	p.t.Helper()
	r := p.Do(c)
	if r.Exception != nil {
		p.t.Fatalf("%s: %s: %v", p.Peer, c.Method, r.Exception)
	}
	return r.Value
}

// Multi makes calls at once and returns their results in the same order. PHP writes them one after another on one
// connection before it reads the first response; the others use as many connections as they like.
func (p *ClientProcess) Multi(calls ...Call) []Result {
	p.t.Helper()
	results, err := p.Try(calls...)
	if err != nil {
		p.t.Fatalf("%v", err)
	}
	return results
}

// Try is Multi for goroutines that must not end the test: it returns an error when the driver does not answer.
func (p *ClientProcess) Try(calls ...Call) ([]Result, error) {
	b := batch{Calls: make([]line, len(calls))}
	limit := answerLimit
	for i, c := range calls {
		b.Calls[i] = c.line(p.Peer)
		limit = max(limit, answerLimit+time.Duration(b.Calls[i].Timeout)*time.Millisecond*time.Duration(len(calls)))
	}
	to, err := p.send(&b)
	if err != nil {
		return nil, err
	}
	a, err := p.await(to, limit)
	if err != nil {
		return nil, err
	}
	if len(a.Results) != len(calls) {
		return nil, errorf(p.Peer, "%d results for %d calls", len(a.Results), len(calls))
	}
	results := make([]Result, len(calls))
	for i, r := range a.Results {
		results[i] = Result{Value: r.Value.v, Attachments: r.Attachments, Exception: r.Error, Stray: r.Stray}
	}
	return results, nil
}

func (p *ClientProcess) send(b *batch) (chan answer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended != nil {
		return nil, p.ended
	}
	p.last++
	b.ID = p.last
	text, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	if _, err := p.in.Write(append(text, '\n')); err != nil {
		return nil, errors.Join(fmt.Errorf("write to the driver of %s", p.Peer), err)
	}
	to := make(chan answer, 1)
	p.waiting[b.ID] = to
	return to, nil
}

// line is a call as drivers read it.
func (c Call) line(p Peer) line {
	l := line{
		Service: or(c.Service, Service), Group: or(c.Group, Group), Version: or(c.Version, Version), Method: c.Method,
		Attachments: c.Attachments, Timeout: c.Timeout.Milliseconds(), Returns: c.Returns, Args: make([]value, len(c.Args)),
	}
	if l.Timeout == 0 && p != PHP {
		l.Timeout = 3000
	}
	for i, a := range c.Args {
		l.Args[i] = value{a}
	}
	return l
}
