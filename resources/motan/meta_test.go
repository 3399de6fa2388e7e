package motan

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/protocols/motan2"
	"github.com/sluice-mesh/sluice/protocols/serial"
)

// What a server says of its weight is read in every form, and nothing else makes one.
func TestWeightIn(t *testing.T) {
	frame := func(id serial.ID, v any) *motan2.Frame {
		codec, ok := serial.For(id)
		if !ok {
			t.Fatal(id)
		}
		body, err := codec.Append(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		return &motan2.Frame{Head: motan2.Head{Serialization: byte(id)}, Body: body}
	}
	says := func(w string) serial.StringMap {
		return serial.StringMap{{Key: "a", Value: "b"}, {Key: "META_WEIGHT", Value: w}}
	}
	broken := frame(serial.IDBreeze, says("7"))
	broken.Body = broken.Body[:len(broken.Body)-1]
	exception := frame(serial.IDBreeze, says("7"))
	exception.Status = motan2.StatusException
	for name, c := range map[string]struct {
		f    *motan2.Frame
		want int
		ok   bool
	}{
		"breeze":      {frame(serial.IDBreeze, says("7")), 70, true},
		"simple":      {frame(serial.IDSimple, says("7")), 70, true},
		"mixed":       {frame(serial.IDBreeze, serial.Map{{Key: "META_WEIGHT", Value: "7"}}), 70, true},
		"nothing":     {frame(serial.IDBreeze, serial.StringMap{}), 0, true},
		"no number":   {frame(serial.IDBreeze, says("x")), 0, true},
		"too small":   {frame(serial.IDBreeze, says("0")), 10, true},
		"too large":   {frame(serial.IDBreeze, says("501")), 5000, true},
		"a text":      {frame(serial.IDBreeze, "7"), 0, false},
		"broken":      {broken, 0, false},
		"exception":   {exception, 0, false},
		"other codec": {&motan2.Frame{Head: motan2.Head{Serialization: 31}}, 0, false},
	} {
		if got, ok := weightIn(c.f); got != c.want || ok != c.ok {
			t.Errorf("%s: %d %t, want %d %t", name, got, ok, c.want, c.ok)
		}
	}
}

// Whatever a server answers: there is no weight out of bounds.
func FuzzWeightIn(f *testing.F) {
	body, _ := serial.Breeze{}.Append(nil, serial.StringMap{{Key: "META_WEIGHT", Value: "7"}})
	f.Add(byte(serial.IDBreeze), body)
	f.Add(byte(serial.IDSimple), []byte{0})
	f.Fuzz(func(t *testing.T, id byte, body []byte) {
		w, ok := weightIn(&motan2.Frame{Head: motan2.Head{Serialization: id}, Body: body})
		if w < 0 || w > mostWeight*weightScale || !ok && w != 0 {
			t.Errorf("%d, %t", w, ok)
		}
	})
}

// Requests to the agent's own framework are answered as motan-go's servers do, and are no calls.
func TestFramework(t *testing.T) {
	for name, c := range map[string]struct {
		said    map[string]string
		service string
		weight  int
		ok      bool
	}{
		"said":          {map[string]string{"META_WEIGHT": "20"}, metaService, 200, true},
		"nothing":       {map[string]string{}, metaService, 0, true},
		"may not":       {nil, metaService, 0, false},
		"other service": {map[string]string{"META_WEIGHT": "20"}, "com.weibo.api.motan.Other", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.Say(c.said)
			nc, err := net.Dial("tcp", w.Addr)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			meta := motan2.AppendPair(motan2.Meta(nil), motan2.KeyService, c.service)
			meta = motan2.AppendPair(meta, motan2.KeyFramework, "y")
			p := &probe{nc: nc, id: 7}
			var f motan2.Frame
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if err := p.ask(ctx, motan2.Append(nil, motan2.Head{ID: 7, Serialization: byte(serial.IDBreeze)}, meta, nil), metaMost, &f); err != nil {
				t.Fatal(err)
			}
			if weight, ok := weightIn(&f); weight != c.weight || ok != c.ok {
				t.Errorf("%d %t, want %d %t", weight, ok, c.weight, c.ok)
			}
			code, kind := motan2.ParseException(f.Meta.Get(motan2.KeyException))
			if !c.ok && (code != 501 || kind != motan2.Service) {
				t.Errorf("it is refused with %s", f.Meta.Get(motan2.KeyException))
			}
		})
	}
}
