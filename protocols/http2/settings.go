package http2

import "encoding/binary"

// Settings of RFC 9113, section 6.5.2.
const (
	SettingTableSize     = 0x1
	SettingPush          = 0x2
	SettingMaxStreams    = 0x3
	SettingWindow        = 0x4
	SettingMaxFrame      = 0x5
	SettingMaxHeaderList = 0x6
)

// Setting is one setting and its value.
type Setting struct {
	ID    uint16
	Value uint32
}

// EachSetting calls take with the settings of a SETTINGS frame, in order. It checks their bounds; an error is a *ConnError.
func (f *Frame) EachSetting(take func(Setting)) error {
	for p := f.Payload; len(p) >= 6; p = p[6:] {
		s := Setting{binary.BigEndian.Uint16(p), binary.BigEndian.Uint32(p[2:])}
		switch {
		case s.ID == SettingPush && s.Value > 1:
			return broken(ProtocolError, "ENABLE_PUSH is %d", s.Value)
		case s.ID == SettingWindow && s.Value > MaxWindow:
			return broken(FlowControlError, "INITIAL_WINDOW_SIZE is %d", s.Value)
		case s.ID == SettingMaxFrame && (s.Value < DefaultFrame || s.Value > 1<<24-1):
			return broken(ProtocolError, "MAX_FRAME_SIZE is %d", s.Value)
		}
		take(s)
	}
	return nil
}

// AppendSettings appends a SETTINGS frame.
func AppendSettings(dst []byte, all ...Setting) []byte {
	dst = AppendHead(dst, 6*len(all), TypeSettings, 0, 0)
	for _, s := range all {
		dst = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(dst, s.ID), s.Value)
	}
	return dst
}

// AppendSettingsAck appends the answer to a SETTINGS frame.
func AppendSettingsAck(dst []byte) []byte { return AppendHead(dst, 0, TypeSettings, FlagAck, 0) }
