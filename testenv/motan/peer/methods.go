package main

import (
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/weibocom/motan-go/core"
)

// maxBytes is the longest answer of bytes: more than the 10 MiB that a frame may have.
const maxBytes = 16 << 20

// methods is the service that all peers serve, in whatever language.
type methods struct {
	name  string
	table map[string]method

	mu    sync.Mutex
	calls map[string]int64 // by id
}

// method is one of them: the types of its arguments, as serializations without types on the wire want them, and what it
// does. nil as a type stands for any.
type method struct {
	types []any
	do    func(r core.Request, args []any) (any, *core.Exception)
}

var (
	text   = reflect.TypeFor[string]()
	number = reflect.TypeFor[int64]()
)

func newMethods(name string) *methods {
	m := &methods{name: name, calls: map[string]int64{}}
	m.table = map[string]method{
		"name":        {nil, func(core.Request, []any) (any, *core.Exception) { return m.name, nil }},
		"echo":        {[]any{nil}, func(_ core.Request, a []any) (any, *core.Exception) { return a[0], nil }},
		"join":        {[]any{text, number, reflect.TypeFor[bool]()}, join},
		"attachments": {nil, func(r core.Request, _ []any) (any, *core.Exception) { return r.GetAttachments().RawMap(), nil }},
		"bytes":       {[]any{number}, pattern},
		"sleep":       {[]any{number}, sleep},
		"fail":        {[]any{text}, refuse},
		"count":       {[]any{text, number}, m.count},
		"counted":     {[]any{text}, m.counted},
	}
	return m
}

func join(_ core.Request, a []any) (any, *core.Exception) {
	return fmt.Sprint(a[0], " ", a[1], " ", a[2]), nil
}

func pattern(_ core.Request, a []any) (any, *core.Exception) {
	n, _ := a[0].(int64)
	if n < 0 || n > maxBytes {
		return nil, &core.Exception{ErrCode: 500, ErrMsg: fmt.Sprintf("%d bytes are not to be had", n), ErrType: core.ServiceException}
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b, nil
}

func sleep(_ core.Request, a []any) (any, *core.Exception) {
	n, _ := a[0].(int64)
	time.Sleep(time.Duration(n) * time.Millisecond)
	return n, nil
}

// refuse fails as a service's own code does. The code is Java's for that.
func refuse(_ core.Request, a []any) (any, *core.Exception) {
	return nil, &core.Exception{ErrCode: 30001, ErrMsg: fmt.Sprint(a[0]), ErrType: core.BizException}
}

// count counts a call as soon as it arrives, waits, and returns how many calls had this id so far.
func (m *methods) count(_ core.Request, a []any) (any, *core.Exception) {
	id := fmt.Sprint(a[0])
	m.mu.Lock()
	m.calls[id]++
	n := m.calls[id]
	m.mu.Unlock()
	if _, exception := sleep(nil, a[1:]); exception != nil {
		return nil, exception
	}
	return n, nil
}

func (m *methods) counted(_ core.Request, a []any) (any, *core.Exception) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls[fmt.Sprint(a[0])], nil
}

// provider calls methods. motan-go's default one can neither return an exception nor take an argument of any type.
type provider struct {
	url     *core.URL
	methods *methods
}

func (p *provider) Call(r core.Request) core.Response {
	m, ok := p.methods.table[r.GetMethod()]
	if !ok {
		return core.BuildExceptionResponse(r.GetRequestID(), &core.Exception{ErrCode: 500, ErrType: core.ServiceException,
			ErrMsg: "method " + r.GetMethod() + " is not found in provider."})
	}
	types := m.types
	if r.GetMethod() == "echo" { // protobuf must know; the request's attachment "type" may say it
		types = []any{typeOf(r.GetAttachment("type"))}
	}
	var err error
	if len(types) > 0 { // PHP sends a null where there is no argument
		err = r.ProcessDeserializable(types)
	}
	if err != nil || len(r.GetArguments()) < len(types) {
		return core.BuildExceptionResponse(r.GetRequestID(), &core.Exception{ErrCode: 500, ErrType: core.ServiceException,
			ErrMsg: fmt.Sprintf("deserialize arguments fail. %v", err)})
	}
	v, exception := m.do(r, r.GetArguments())
	if exception != nil {
		return core.BuildExceptionResponse(r.GetRequestID(), exception)
	}
	res := &core.MotanResponse{RequestID: r.GetRequestID(), Value: v}
	res.SetAttachment("peer", p.methods.name)
	return res
}

func (p *provider) SetService(any)                 {}
func (p *provider) GetURL() *core.URL              { return p.url }
func (p *provider) SetURL(u *core.URL)             { p.url = u }
func (p *provider) GetPath() string                { return p.url.Path }
func (p *provider) IsAvailable() bool              { return true }
func (p *provider) Destroy()                       {}
func (p *provider) GetRuntimeInfo() map[string]any { return map[string]any{} }
