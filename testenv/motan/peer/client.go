package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"

	motan "github.com/weibocom/motan-go"
	"github.com/weibocom/motan-go/cluster"
	"github.com/weibocom/motan-go/core"
	"github.com/weibocom/motan-go/protocol"
)

type clientConfig struct {
	Application   string            `json:"application"`
	Protocol      string            `json:"protocol"`
	Serialization string            `json:"serialization"`
	Registry      registry          `json:"registry"`
	Parameters    map[string]string `json:"parameters"` // further ones of the reference's URL
}

// batch is a line of input: calls that are made at once. Its answer has the same number.
type batch struct {
	ID    int64  `json:"id"`
	Calls []call `json:"calls"`
}

type call struct {
	Service     string            `json:"service"`
	Group       string            `json:"group"`
	Version     string            `json:"version"`
	Method      string            `json:"method"`
	Args        []value           `json:"args"`
	Attachments map[string]string `json:"attachments"`
	Timeout     int64             `json:"timeout"` // ms
	Returns     string            `json:"returns"` // type of the result; empty: what the bytes say
}

type answer struct {
	ID      int64    `json:"id"`
	Results []result `json:"results"`
}

type result struct {
	Value       value             `json:"value"`
	Attachments map[string]string `json:"attachments,omitempty"`
	Error       *exception        `json:"error,omitempty"`
}

type exception struct {
	Code    int    `json:"code"`
	Type    int    `json:"type"`
	Message string `json:"message"`
}

// driver makes calls over motan-go's clusters, one for each service, group, version and timeout that calls name.
type driver struct {
	config  clientConfig
	context *core.Context
	ext     core.ExtensionFactory

	mu       sync.Mutex
	clusters map[string]*cluster.MotanCluster

	out sync.Mutex
}

// drive reads batches until the input ends. They run side by side, and so do the calls of each.
func drive(c clientConfig, in io.Reader, out io.Writer) {
	d := &driver{
		config:   c,
		context:  core.NewContextFromConfig(read(c.Registry.configuration("motan-client", c.Application)), c.Application, ""),
		ext:      motan.GetDefaultExtFactory(),
		clusters: map[string]*cluster.MotanCluster{},
	}
	d.write(out, answer{})
	lines := bufio.NewReaderSize(in, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var b batch
		if err := json.Unmarshal(line, &b); err != nil {
			fail(fmt.Errorf("line %q: %w", line[:min(len(line), 200)], err))
		}
		go func() { d.write(out, answer{b.ID, d.all(b.Calls)}) }()
	}
}

func (d *driver) write(out io.Writer, a answer) {
	line, err := json.Marshal(a)
	if err == nil {
		d.out.Lock()
		defer d.out.Unlock()
		_, err = out.Write(append(line, '\n'))
	}
	if err != nil {
		fail(err)
	}
}

func (d *driver) all(calls []call) []result {
	results := make([]result, len(calls))
	var wg sync.WaitGroup
	for i, c := range calls {
		wg.Go(func() { results[i] = d.one(c) })
	}
	wg.Wait()
	return results
}

func (d *driver) one(c call) result {
	m := d.cluster(c)
	r := &core.MotanRequest{ServiceName: c.Service, Method: c.Method, Arguments: plain(c.Args), Attachment: core.NewStringMap(16)}
	r.SetAttachment(protocol.MPath, c.Service)
	r.SetAttachment(protocol.MGroup, c.Group)
	r.SetAttachment(protocol.MVersion, c.Version)
	r.SetAttachment(protocol.MSource, d.config.Application)
	if c.Timeout > 0 {
		r.SetAttachment(protocol.MTimeout, strconv.FormatInt(c.Timeout, 10))
	}
	for k, v := range c.Attachments {
		r.SetAttachment(k, v)
	}
	rc := r.GetRPCContext(true)
	rc.ExtFactory, rc.Reply = d.ext, typeOf(c.Returns)
	res := m.Call(r)
	out := result{}
	if a := res.GetAttachments(); a != nil {
		out.Attachments = a.RawMap()
	}
	if e := res.GetException(); e != nil {
		out.Error = &exception{e.ErrCode, e.ErrType, e.ErrMsg}
		return out
	}
	out.Value.v = res.GetValue()
	return out
}

// cluster returns the one for a call. The timeout belongs to it: motan-go takes a request's own only between the half and
// the double of its URL's.
func (d *driver) cluster(c call) *cluster.MotanCluster {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := fmt.Sprint(c.Service, "|", c.Group, "|", c.Version, "|", c.Timeout)
	if m := d.clusters[key]; m != nil {
		return m
	}
	u := &core.URL{Protocol: d.config.Protocol, Path: c.Service, Group: c.Group, Parameters: map[string]string{
		core.RegistryKey: "here", core.SerializationKey: d.config.Serialization, core.VersionKey: c.Version,
		core.ApplicationKey: d.config.Application, core.AsyncInitConnection: "false", "connectTimeout": "1000",
	}}
	if c.Timeout > 0 {
		u.PutParam(core.TimeOutKey, strconv.FormatInt(c.Timeout, 10))
	}
	for k, v := range d.config.Parameters {
		u.PutParam(k, v)
	}
	m := cluster.NewCluster(d.context, d.ext, u, false)
	d.clusters[key] = m
	fmt.Fprintln(os.Stderr, "peer: new cluster", key)
	return m
}
