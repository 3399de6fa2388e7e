package mysql

import (
	"bytes"
	"testing"
)

func TestHeader(t *testing.T) {
	b := AppendHeader([]byte("x"), 0x030201, 0xfe)
	if string(b) != "x\x01\x02\x03\xfe" {
		t.Errorf("AppendHeader: % x", b)
	}
	if n, seq := Header(b[1:]); n != 0x030201 || seq != 0xfe {
		t.Errorf("Header: %#x, %#x", n, seq)
	}
}

// TestAppendPacket: every 16 MiB - 1 bytes a new frame, and an empty one behind the last full one.
func TestAppendPacket(t *testing.T) {
	payload := bytes.Repeat([]byte{7}, 2*MaxPayload+1)
	for _, c := range []struct {
		n      int
		frames []int
	}{
		{0, []int{0}},
		{1, []int{1}},
		{MaxPayload - 1, []int{MaxPayload - 1}},
		{MaxPayload, []int{MaxPayload, 0}},
		{MaxPayload + 1, []int{MaxPayload, 1}},
		{2 * MaxPayload, []int{MaxPayload, MaxPayload, 0}},
		{2*MaxPayload + 1, []int{MaxPayload, MaxPayload, 1}},
	} {
		b, next := AppendPacket(nil, 254, payload[:c.n])
		if next != byte(254+len(c.frames)) {
			t.Errorf("%d bytes: next id %d", c.n, next)
		}
		for i, want := range c.frames {
			if n, seq := Header(b); n != want || seq != byte(254+i) {
				t.Errorf("%d bytes, frame %d: %d bytes, id %d", c.n, i, n, seq)
			}
			b = b[HeaderLen+want:]
		}
		if len(b) > 0 {
			t.Errorf("%d bytes: %d bytes left", c.n, len(b))
		}
	}
}

// TestLenenc: the vectors of the protocol's documents, and the limits between the forms.
func TestLenenc(t *testing.T) {
	for _, c := range []struct {
		v uint64
		b string
	}{
		{0, "\x00"},
		{0xfa, "\xfa"},
		{0xfb, "\xfc\xfb\x00"},
		{0xffff, "\xfc\xff\xff"},
		{0x10000, "\xfd\x00\x00\x01"},
		{0xffffff, "\xfd\xff\xff\xff"},
		{0x1000000, "\xfe\x00\x00\x00\x01\x00\x00\x00\x00"},
		{1<<64 - 1, "\xfe\xff\xff\xff\xff\xff\xff\xff\xff"},
	} {
		if b := AppendLenencInt(nil, c.v); string(b) != c.b {
			t.Errorf("%#x: % x", c.v, b)
		}
		if v, n := LenencInt([]byte(c.b + "x")); v != c.v || n != len(c.b) {
			t.Errorf("% x: %#x of %d bytes", c.b, v, n)
		}
		for i := range len(c.b) {
			if _, n := LenencInt([]byte(c.b[:i])); n != 0 {
				t.Errorf("% x: %d bytes", c.b[:i], n)
			}
		}
	}
	for _, b := range []string{"", "\xfb", "\xff"} {
		if _, n := LenencInt([]byte(b)); n != 0 {
			t.Errorf("% x is an integer", b)
		}
	}
	for _, b := range []string{"", "\x01", "\xfb", "\xfe\xff\xff\xff\xff\xff\xff\xff\xffx", "\xfc\x01"} {
		if s, n := LenencString([]byte(b)); n != 0 || s != nil {
			t.Errorf("% x is a string", b)
		}
	}
	for _, size := range []int{0, 0xfa, 0xfb, 0xffff, 0x10000, 1 << 24} {
		b := AppendLenencString(nil, make([]byte, size))
		if s, n := LenencString(b); n != len(b) || len(s) != size || n != lenencSize(size) || cap(s) != len(s) {
			t.Errorf("string of %d bytes: %d bytes of %d, size %d", size, len(s), n, lenencSize(size))
		}
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Caps(0).String(), "0"},
		{(ClientFoundRows | ClientProtocol41 | MariaDBCacheMetadata).String(), "FOUND_ROWS|PROTOCOL_41|MARIADB_CACHE_METADATA"},
		{Caps(1 << 63).String(), "BIT_63"},
		{(StatusInTrans | StatusAnsiQuotes | 4).String(), "IN_TRANS|BIT_2|ANSI_QUOTES"},
		{ComQuery.String(), "COM_QUERY"},
		{ComResetConnection.String(), "COM_RESET_CONNECTION"},
		{ComStmtBulkExecute.String(), "COM_STMT_BULK_EXECUTE"},
		{Command(0x7f).String(), "COM_0x7f"},
		{Terminal.String(), "terminal"},
		{Step(99).String(), "step-99"},
		{TrackSchema.String(), "schema"},
		{TrackKind(9).String(), "kind-9"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

// TestBits pins the numbers that the protocol's documents give.
func TestBits(t *testing.T) {
	for _, c := range []struct {
		got Caps
		bit int
	}{
		{ClientLongPassword, 0}, {ClientFoundRows, 1}, {ClientConnectWithDB, 3}, {ClientCompress, 5}, {ClientLocalFiles, 7},
		{ClientProtocol41, 9}, {ClientInteractive, 10}, {ClientSSL, 11}, {ClientTransactions, 13},
		{ClientSecureConnection, 15}, {ClientMultiStatements, 16}, {ClientMultiResults, 17}, {ClientPSMultiResults, 18},
		{ClientPluginAuth, 19}, {ClientConnectAttrs, 20}, {ClientPluginAuthLenenc, 21},
		{ClientCanHandleExpiredPasswords, 22}, {ClientSessionTrack, 23}, {ClientDeprecateEOF, 24},
		{ClientOptionalResultsetMetadata, 25}, {ClientZstd, 26}, {ClientQueryAttributes, 27},
		{ClientMultiFactorAuthentication, 28}, {ClientCapabilityExtension, 29}, {ClientSSLVerifyServerCert, 30},
		{ClientRememberOptions, 31}, {MariaDBProgress, 32}, {MariaDBComMulti, 33}, {MariaDBBulk, 34},
		{MariaDBExtMetadata, 35}, {MariaDBCacheMetadata, 36}, {MariaDBBulkUnitResults, 37},
	} {
		if c.got != 1<<c.bit {
			t.Errorf("%s is %#x, want bit %d", c.got, uint64(c.got), c.bit)
		}
	}
	if len(capNames) != 38 || MariaDBBulkUnitResults&MariaDBCaps == 0 || ClientRememberOptions&MariaDBCaps != 0 {
		t.Error("names or MariaDBCaps do not fit the capabilities")
	}
	for _, c := range []struct{ got, want Status }{
		{StatusInTrans, 1}, {StatusAutocommit, 2}, {StatusMoreResults, 8}, {StatusNoGoodIndexUsed, 0x10},
		{StatusNoIndexUsed, 0x20}, {StatusCursorExists, 0x40}, {StatusLastRowSent, 0x80}, {StatusDBDropped, 0x100},
		{StatusNoBackslashEscapes, 0x200}, {StatusMetadataChanged, 0x400}, {StatusQueryWasSlow, 0x800},
		{StatusPSOutParams, 0x1000}, {StatusInTransReadonly, 0x2000}, {StatusSessionStateChanged, 0x4000},
		{StatusAnsiQuotes, 0x8000},
	} {
		if c.got != c.want {
			t.Errorf("%s is %#x, want %#x", c.got, uint16(c.got), uint16(c.want))
		}
	}
}
