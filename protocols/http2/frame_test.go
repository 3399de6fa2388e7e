package http2

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"golang.org/x/net/http2"
)

// every is a frame of each type, with and without what is optional.
func every() []byte {
	var b []byte
	b = AppendSettings(b, Setting{SettingWindow, 1 << 20}, Setting{SettingMaxStreams, 7}, Setting{99, 1})
	b = AppendSettingsAck(b)
	b = AppendPing(b, [8]byte{1, 2, 3}, false)
	b = AppendPing(b, [8]byte{1, 2, 3}, true)
	b = AppendWindow(b, 0, 1000)
	b = AppendWindow(b, 3, MaxWindow)
	b = AppendData(b, 3, false, []byte("some bytes"))
	b = AppendData(b, 3, true, nil)
	b = append(AppendHead(b, 8, TypeData, FlagPadded, 5), 3, 'a', 'b', 'c', 'd', 0, 0, 0)
	b = append(AppendHead(b, 9, TypeHeaders, FlagPadded|FlagPriority|FlagEndHeaders, 5), 2, 0, 0, 0, 1, 9, Status200, 0, 0)
	b = AppendHeaders(b, 5, true, bytes.Repeat([]byte{Status200}, 40), 16)
	b = append(AppendHead(b, 5, TypePriority, 0, 5), 0, 0, 0, 3, 1)
	b = AppendRST(b, 5, EnhanceYourCalm)
	b = AppendGoAway(b, 5, ProtocolError, "for a reason")
	b = append(AppendHead(b, 4, TypePushPromise, FlagEndHeaders, 5), 0, 0, 0, 2)
	return append(AppendHead(b, 2, 0x42, 0xff, 9), "??"...)
}

// flat is a frame by itself.
type flat struct {
	Type, Flags byte
	Stream      uint32
	Payload     string
}

func scanAll(t testing.TB, b []byte) (all []flat) {
	var f Frame
	for len(b) > 0 {
		n, err := f.Scan(b, DefaultFrame)
		if err != nil || n == 0 {
			t.Fatalf("%x: %d, %v", b, n, err)
		}
		all = append(all, flat{f.Type, f.Flags, f.Stream, string(f.Payload)})
		b = b[n:]
	}
	return all
}

// What is written here is what golang.org/x/net/http2 reads, frame by frame.
func TestFramesAsAnotherReadsThem(t *testing.T) {
	b := every()
	ours := scanAll(t, b)
	theirs := http2.NewFramer(io.Discard, bytes.NewReader(b))
	theirs.AllowIllegalReads = true
	for i, f := range ours {
		g, err := theirs.ReadFrame()
		if err != nil {
			t.Fatalf("frame %d, %+v: %v", i, f, err)
		}
		if want := seenBy(g); f != want {
			t.Errorf("frame %d is %+v for us and %+v for them", i, f, want)
		}
	}
	if _, err := theirs.ReadFrame(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last frame: %v", err)
	}
}

// seenBy is a frame as the other codec sees it, in our form.
func seenBy(g http2.Frame) flat {
	h := g.Header()
	f := flat{byte(h.Type), byte(h.Flags), h.StreamID, ""}
	switch g := g.(type) {
	case *http2.DataFrame:
		f.Payload = string(g.Data())
	case *http2.HeadersFrame:
		f.Payload = string(g.HeaderBlockFragment())
	case *http2.ContinuationFrame:
		f.Payload = string(g.HeaderBlockFragment())
	case *http2.UnknownFrame:
		f.Payload = string(g.Payload())
	case *http2.PingFrame:
		f.Payload = string(g.Data[:])
	case *http2.RSTStreamFrame:
		f.Payload = string(AppendRST(nil, 1, Code(g.ErrCode))[HeadSize:])
	case *http2.WindowUpdateFrame:
		f.Payload = string(AppendWindow(nil, 1, g.Increment)[HeadSize:])
	case *http2.GoAwayFrame:
		f.Payload = string(AppendGoAway(nil, g.LastStreamID, Code(g.ErrCode), string(g.DebugData()))[HeadSize:])
	case *http2.SettingsFrame:
		for i := range g.NumSettings() {
			s := g.Setting(i)
			f.Payload += string(AppendSettings(nil, Setting{uint16(s.ID), s.Val})[HeadSize:])
		}
	case *http2.PriorityFrame:
		f.Payload = string([]byte{byte(g.StreamDep >> 24), byte(g.StreamDep >> 16), byte(g.StreamDep >> 8), byte(g.StreamDep), g.Weight})
	case *http2.PushPromiseFrame:
		f.Payload = string([]byte{0, 0, 0, byte(g.PromiseID)}) + string(g.HeaderBlockFragment())
	}
	return f
}

// A frame is found when all of it is there, and not before.
func TestSplitAtAnyByte(t *testing.T) {
	b := every()
	var f Frame
	for at := 0; at < len(b); {
		size, _ := f.Scan(b[at:], DefaultFrame)
		for n := range size {
			if got, err := f.Scan(b[at:at+n], DefaultFrame); got != 0 || err != nil {
				t.Fatalf("%d of %d bytes: %d, %v", n, size, got, err)
			}
		}
		at += size
	}
}

func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		frame []byte
		code  Code
	}{
		"too long":                   {AppendHead(nil, DefaultFrame+1, TypeData, 0, 1), FrameSizeError},
		"DATA on the connection":     {AppendData(nil, 0, false, nil), ProtocolError},
		"SETTINGS on a stream":       {AppendHead(nil, 0, TypeSettings, 0, 1), ProtocolError},
		"SETTINGS of 5 bytes":        {append(AppendHead(nil, 5, TypeSettings, 0, 0), 1, 2, 3, 4, 5), FrameSizeError},
		"SETTINGS ack with settings": {append(AppendHead(nil, 6, TypeSettings, FlagAck, 0), 0, 1, 0, 0, 0, 0), FrameSizeError},
		"PING of 7 bytes":            {append(AppendHead(nil, 7, TypePing, 0, 0), 1, 2, 3, 4, 5, 6, 7), FrameSizeError},
		"more padding than bytes":    {append(AppendHead(nil, 2, TypeData, FlagPadded, 1), 2, 0), ProtocolError},
		"padded and empty":           {AppendHead(nil, 0, TypeData, FlagPadded, 1), FrameSizeError},
		"priority and too short":     {append(AppendHead(nil, 4, TypeHeaders, FlagPriority, 1), 0, 0, 0, 0), FrameSizeError},
		"GOAWAY of 7 bytes":          {append(AppendHead(nil, 7, TypeGoAway, 0, 0), 1, 2, 3, 4, 5, 6, 7), FrameSizeError},
	} {
		var f Frame
		_, err := f.Scan(c.frame, DefaultFrame)
		var broken *ConnError
		if !errors.As(err, &broken) || broken.Code != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	for _, s := range []Setting{{SettingWindow, 1 << 31}, {SettingPush, 2}, {SettingMaxFrame, 16383}, {SettingMaxFrame, 1 << 24}} {
		var f Frame
		if _, err := f.Scan(AppendSettings(nil, s), DefaultFrame); err != nil {
			t.Fatal(err)
		}
		if f.EachSetting(func(Setting) {}) == nil {
			t.Errorf("setting %d may be %d", s.ID, s.Value)
		}
	}
}

func TestCalm(t *testing.T) {
	c := Calm{Burst: 10, Rate: 2}
	now := int64(1e9)
	for i := range 10 {
		if !c.Take(now) {
			t.Fatalf("number %d of a burst of 10 is too many", i)
		}
	}
	if c.Take(now) {
		t.Fatal("11 of a burst of 10 are not too many")
	}
	now += 2e9
	for range 3 {
		if !c.Take(now) {
			t.Fatal("after 2 s at 2 a second there is no room for 3, of which one was counted too much")
		}
	}
	if c.Take(now) {
		t.Fatal("there is more room than for what was given back")
	}
}
