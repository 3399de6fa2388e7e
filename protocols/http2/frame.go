package http2

import (
	"encoding/binary"
	"fmt"
)

// HeadSize is the size of what every frame begins with, in bytes.
const HeadSize = 9

// Types of frames.
const (
	TypeData         = 0x0
	TypeHeaders      = 0x1
	TypePriority     = 0x2
	TypeRSTStream    = 0x3
	TypeSettings     = 0x4
	TypePushPromise  = 0x5
	TypePing         = 0x6
	TypeGoAway       = 0x7
	TypeWindowUpdate = 0x8
	TypeContinuation = 0x9
)

// Flags of frames.
const (
	FlagEndStream  = 0x1 // of DATA and HEADERS
	FlagAck        = 0x1 // of SETTINGS and PING
	FlagEndHeaders = 0x4 // of HEADERS and CONTINUATION
	FlagPadded     = 0x8
	FlagPriority   = 0x20
)

const (
	// Preface is what a client sends first.
	Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	// DefaultWindow is the size of every flow-control window until something else is said, in bytes.
	DefaultWindow = 65535
	// MaxWindow is the largest window.
	MaxWindow = 1<<31 - 1
	// DefaultFrame is the largest payload that a peer takes until it says something else, in bytes.
	DefaultFrame = 16384
	// MaxStream is the highest number of a stream.
	MaxStream = 1<<31 - 1
)

// Code says why a stream or a connection ends.
type Code uint32

// Codes of RFC 9113, section 7.
const (
	NoError            Code = 0x0
	ProtocolError      Code = 0x1
	InternalError      Code = 0x2
	FlowControlError   Code = 0x3
	SettingsTimeout    Code = 0x4
	StreamClosed       Code = 0x5
	FrameSizeError     Code = 0x6
	RefusedStream      Code = 0x7
	Cancel             Code = 0x8
	CompressionError   Code = 0x9
	ConnectError       Code = 0xa
	EnhanceYourCalm    Code = 0xb
	InadequateSecurity Code = 0xc
	HTTP11Required     Code = 0xd
)

var codeNames = [...]string{
	"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR",
	"REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
}

// String returns the code as the standard names it.
func (c Code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return fmt.Sprintf("code %#x", uint32(c))
}

// ConnError says that a peer broke the rules, so that the connection cannot go on.
type ConnError struct {
	Code Code
	Text string
}

func (e *ConnError) Error() string { return "http2: " + e.Text + " (" + e.Code.String() + ")" }

func broken(code Code, format string, args ...any) *ConnError {
	return &ConnError{code, fmt.Sprintf(format, args...)}
}

// Frame is a frame that was found in a buffer. Payload points into it.
type Frame struct {
	Type    byte
	Flags   byte
	Stream  uint32
	Payload []byte // without padding and priority, once Scan has returned it
	Charged int    // bytes of DATA that count against flow control, padding included
}

// Has reports whether a flag is set.
func (f *Frame) Has(flag byte) bool { return f.Flags&flag != 0 }

// Scan finds the frame at the beginning of b. It returns its size in bytes, or 0 when b does not hold all of it yet. max limits
// the payload in bytes. The form of the frame was checked when there is no error; errors are *ConnError.
func (f *Frame) Scan(b []byte, max int) (int, error) {
	if len(b) < HeadSize {
		return 0, nil
	}
	length := int(b[0])<<16 | int(b[1])<<8 | int(b[2])
	f.Type, f.Flags, f.Stream = b[3], b[4], binary.BigEndian.Uint32(b[5:])&MaxStream
	if length > max {
		return 0, broken(FrameSizeError, "a frame of type %d has %d bytes, at most %d are taken", f.Type, length, max)
	}
	if len(b) < HeadSize+length {
		return 0, nil
	}
	f.Payload, f.Charged = b[HeadSize:HeadSize+length], length
	return HeadSize + length, f.check()
}

// form is what frames of a type have in common.
type form struct {
	size   int // of the payload, in bytes; -1: any
	stream int // 1: they belong to a stream, 0: to the connection, -1: to either
	name   string
}

var forms = [...]form{
	TypeData:         {-1, 1, "DATA"},
	TypeHeaders:      {-1, 1, "HEADERS"},
	TypePriority:     {5, 1, "PRIORITY"},
	TypeRSTStream:    {4, 1, "RST_STREAM"},
	TypeSettings:     {-1, 0, "SETTINGS"},
	TypePushPromise:  {-1, 1, "PUSH_PROMISE"},
	TypePing:         {8, 0, "PING"},
	TypeGoAway:       {-1, 0, "GOAWAY"},
	TypeWindowUpdate: {4, -1, "WINDOW_UPDATE"},
	TypeContinuation: {-1, 1, "CONTINUATION"},
}

// check checks the form of a frame and takes away padding and priority.
func (f *Frame) check() error {
	if int(f.Type) >= len(forms) {
		return nil // of an extension: to be ignored
	}
	form := &forms[f.Type]
	switch {
	case form.stream == 1 && f.Stream == 0, form.stream == 0 && f.Stream != 0:
		return broken(ProtocolError, "%s on stream %d", form.name, f.Stream)
	case form.size >= 0 && len(f.Payload) != form.size:
		return broken(FrameSizeError, "%s with %d bytes", form.name, len(f.Payload))
	}
	switch f.Type {
	case TypeData:
		return f.unpad(0)
	case TypeHeaders:
		if f.Has(FlagPriority) {
			return f.unpad(5)
		}
		return f.unpad(0)
	case TypeSettings:
		if len(f.Payload)%6 != 0 || f.Has(FlagAck) && len(f.Payload) > 0 {
			return broken(FrameSizeError, "SETTINGS with %d bytes", len(f.Payload))
		}
	case TypeGoAway:
		if len(f.Payload) < 8 {
			return broken(FrameSizeError, "GOAWAY with %d bytes", len(f.Payload))
		}
	}
	return nil
}

// unpad takes padding away, and fields of a size in bytes before what is wanted.
func (f *Frame) unpad(before int) error {
	p, pad := f.Payload, 0
	if f.Has(FlagPadded) {
		if len(p) == 0 {
			return broken(FrameSizeError, "%s is padded and empty", forms[f.Type].name)
		}
		pad, p = int(p[0]), p[1:]
	}
	if len(p) < before {
		return broken(FrameSizeError, "%s is too short", forms[f.Type].name)
	}
	if p = p[before:]; pad > len(p) {
		return broken(ProtocolError, "%s has more padding than bytes", forms[f.Type].name)
	}
	f.Payload = p[:len(p)-pad]
	return nil
}

// Uint32 returns the number that a RST_STREAM or WINDOW_UPDATE carries.
func (f *Frame) Uint32() uint32 { return binary.BigEndian.Uint32(f.Payload) }

// GoAway returns what a GOAWAY says: the last stream that is worked on, why, and a text for people.
func (f *Frame) GoAway() (last uint32, code Code, text []byte) {
	return f.Uint32() & MaxStream, Code(binary.BigEndian.Uint32(f.Payload[4:])), f.Payload[8:]
}

// AppendHead appends the first bytes of a frame whose payload has length bytes.
func AppendHead(dst []byte, length int, kind, flags byte, stream uint32) []byte {
	return append(dst, byte(length>>16), byte(length>>8), byte(length), kind, flags, byte(stream>>24), byte(stream>>16), byte(stream>>8), byte(stream))
}

// AppendData appends a DATA frame.
func AppendData(dst []byte, stream uint32, end bool, b []byte) []byte {
	flags := byte(0)
	if end {
		flags = FlagEndStream
	}
	return append(AppendHead(dst, len(b), TypeData, flags, stream), b...)
}

// AppendRST appends a RST_STREAM frame.
func AppendRST(dst []byte, stream uint32, code Code) []byte {
	return binary.BigEndian.AppendUint32(AppendHead(dst, 4, TypeRSTStream, 0, stream), uint32(code))
}

// AppendWindow appends a WINDOW_UPDATE frame. Stream 0 is the connection.
func AppendWindow(dst []byte, stream, add uint32) []byte {
	return binary.BigEndian.AppendUint32(AppendHead(dst, 4, TypeWindowUpdate, 0, stream), add)
}

// AppendPing appends a PING frame with 8 bytes, or the answer to one.
func AppendPing(dst []byte, b [8]byte, answer bool) []byte {
	flags := byte(0)
	if answer {
		flags = FlagAck
	}
	return append(AppendHead(dst, 8, TypePing, flags, 0), b[:]...)
}

// AppendGoAway appends a GOAWAY frame.
func AppendGoAway(dst []byte, last uint32, code Code, text string) []byte {
	dst = AppendHead(dst, 8+len(text), TypeGoAway, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, last)
	return append(binary.BigEndian.AppendUint32(dst, uint32(code)), text...)
}
