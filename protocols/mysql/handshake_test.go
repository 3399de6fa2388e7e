package mysql

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

const zeros23 = "0000000000000000000000000000000000000000000000"

// Greetings, as whole packets. The first two stand in the MySQL internals manual, the third is what a MariaDB 10.11 sent.
const (
	greeting55 = "36000000 0a 352e352e322d6d3200 0b000000 6476484049 2d434a 00 fff7 08 0200 0000 00" +
		"00000000000000000000 2a34647c635a776b345e5d3a00"
	greeting56 = "50000000 0a 352e362e342d6d372d6c6f6700 560a0000 524233767a264772 00 ffff 08 0200 0fc0 15" +
		"00000000000000000000 2b7944262f5a5a3330355a4700 6d7973716c5f6e61746976655f70617373776f726400"
	greetingMaria = "64000000 0a352e352e352d31302e31312e31392d4d6172696144422d302b646562313275310005000000725f655c7d222c5500" +
		"feff080200ff81150000000000001d0000004849763853792857605a2544006d7973716c5f6e61746976655f70617373776f726400"
)

func TestGreetingGolden(t *testing.T) {
	for _, c := range []struct {
		name, hex string
		want      Greeting
	}{
		{"5.5, without plugins", greeting55, Greeting{ServerVersion: "5.5.2-m2", ConnectionID: 11, Charset: 8,
			Scramble: [20]byte([]byte("dvH@I-CJ*4d|cZwk4^]:")), Caps: 0xf7ff, Status: StatusAutocommit}},
		{"5.6", greeting56, Greeting{ServerVersion: "5.6.4-m7-log", ConnectionID: 2646, Charset: 8,
			Scramble: [20]byte([]byte("RB3vz&Gr+yD&/ZZ305ZG")), Caps: 0xc00fffff, Status: StatusAutocommit, Plugin: PluginNative}},
		{"MariaDB", greetingMaria, Greeting{ServerVersion: "5.5.5-10.11.19-MariaDB-0+deb12u1", ConnectionID: 5, Charset: 8,
			Scramble: [20]byte([]byte("r_e\\}\",UHIv8Sy(W`Z%D")), Status: StatusAutocommit, Plugin: PluginNative,
			Caps: 0x81fffffe | MariaDBProgress | MariaDBBulk | MariaDBExtMetadata | MariaDBCacheMetadata}},
	} {
		packet := unhex(t, c.hex)
		n, seq := Header(packet)
		if n != len(packet)-HeaderLen || seq != 0 {
			t.Fatalf("%s: header says packet %d of %d bytes, want 0 of %d", c.name, seq, n, len(packet)-HeaderLen)
		}
		got, err := ParseGreeting(packet[HeaderLen:])
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", c.name, err, diff)
		}
		if again := got.Append(nil); !bytes.Equal(again, packet) {
			t.Errorf("%s: written\n%x, want\n%x", c.name, again, packet)
		}
	}
}

func TestGreetingRefused(t *testing.T) {
	good := unhex(t, greeting56)[HeaderLen:]
	for name, c := range map[string]struct {
		payload []byte
		want    error
		text    string
	}{
		"nothing":          {nil, ErrMalformed, "empty"},
		"too long":         {append(bytes.Clone(good), make([]byte, MaxLoginPayload)...), ErrMalformed, "at most 65536"},
		"version 9":        {[]byte("\x093.20\x00\x00\x00\x00\x00abcdefgh\x00"), ErrOldProtocol, "version 9"},
		"http":             {[]byte("HTTP/1.1 400 Bad Request"), ErrMalformed, "is this a MySQL port"},
		"no 4.1":           {append(append(bytes.Clone(good[:27]), 0, 0), good[29:]...), ErrOldProtocol, "5.6.4-m7-log"},
		"version too long": {append([]byte{10}, bytes.Repeat([]byte{'v'}, 300)...), ErrMalformed, "without a NUL"},
		"long plugin":      {append(bytes.Clone(good[:len(good)-1]), bytes.Repeat([]byte{'p'}, 300)...), ErrMalformed, "plugin of"},
	} {
		if _, err := ParseGreeting(c.payload); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %v with %q", name, err, c.want, c.text)
		}
	}
	last := bytes.IndexByte(good, 0) + 1 + 4 + 8 + 1 + 2 + 1 + 2 + 2 + 1 + 10 + 12
	for n := range last {
		if _, err := ParseGreeting(good[:n]); err == nil {
			t.Errorf("a greeting cut at %d of %d bytes is accepted", n, len(good))
		}
	}
}

// TestErrorInsteadOfGreeting: servers send it with and without a SQLSTATE.
func TestErrorInsteadOfGreeting(t *testing.T) {
	for payload, want := range map[string]string{
		"\xff\x10\x04Too many connections":                           "ERROR 1040 (HY000): Too many connections",
		"\xff\x10\x04#08004Too many connections":                     "ERROR 1040 (08004): Too many connections",
		"\xff\x69\x04Host '10.0.0.1' is blocked because of many con": "ERROR 1129 (HY000): Host '10.0.0.1' is blocked because of many con",
	} {
		_, err := ParseGreeting([]byte(payload))
		var server *ServerError
		if !errors.As(err, &server) || server.Error() != want {
			t.Errorf("%q: %v, want %s", payload, err, want)
		}
	}
	if _, err := ParseGreeting([]byte{headERR}); !errors.Is(err, ErrMalformed) {
		t.Errorf("an ERR packet of one byte: %v", err)
	}
}

// Responses, as whole packets: two from the MySQL internals manual, then what libmariadb 3.3 and PHP 8.2 sent.
const (
	response41 = "54000001 8da60f00 00000001 08" + zeros23 + "70616d00 14ab09eef6bcb1323e61143865c0991d957d75d447" +
		"7465737400 6d7973716c5f6e61746976655f70617373776f726400"
	responseAttrs = "b2000001 85a21e00 00000040 08" + zeros23 + "726f6f7400 14225079a212d4e882e5b3f41a97756bc8bedb9f80" +
		"6d7973716c5f6e61746976655f70617373776f726400 61 035f6f73 0964656269616e362e30 0c5f636c69656e745f6e616d65" +
		"086c69626d7973716c 045f706964 053232333434 0f5f636c69656e745f76657273696f6e 08352e362e362d6d39" +
		"095f706c6174666f726d 067838365f3634 03666f6f 03626172"
	responseMaria = "d7000001 8ca2bf00000000102100000000000000000000000000000000000000140000006e617469766500146181496aa5e9e0b1" +
		"d298a5262ada026759f1699a73686f70006d7973716c5f6e61746976655f70617373776f7264007f035f6f73054c696e75780c5f63" +
		"6c69656e745f6e616d650a6c69626d617269616462045f7069640532383837340f5f636c69656e745f76657273696f6e06332e332e" +
		"3230095f706c6174666f726d067838365f36340c70726f6772616d5f6e616d65056d7973716c0c5f7365727665725f686f73740931" +
		"32372e302e302e31"
	responsePHP = "84000001 8da21a00000000c02d00000000000000000000000000000000000000000000006e617469766500143f552a4c96a4e7b926" +
		"e0d3d2823bacf90965a5a073686f70006d7973716c5f6e61746976655f70617373776f7264002c0c5f636c69656e745f6e616d6507" +
		"6d7973716c6e640c5f7365727665725f686f7374093132372e302e302e31"
	changeUserPHP = "63000000 117368613200149b6bab42e65a3e0c1c17cb8f4634aa25908933866432002d006d7973716c5f6e61746976655f7061737377" +
		"6f7264002c0c5f636c69656e745f6e616d65076d7973716c6e640c5f7365727665725f686f7374093132372e302e302e31"
)

// textResponse makes a Response comparable at a glance.
func textResponse(r *Response) string {
	var sb strings.Builder
	fmt.Fprintf(&sb, "%s max=%d charset=%d db=%q plugin=%s auth=%.8s/%d", r.User, r.MaxPacket, r.Charset, r.Database,
		r.Plugin, hex.EncodeToString(r.Auth), len(r.Auth))
	for name, value := range Attributes(r.Attributes) {
		fmt.Fprintf(&sb, " %s=%s", name, value)
	}
	if ext := r.Caps & MariaDBCaps; ext != 0 {
		fmt.Fprintf(&sb, " %v", ext)
	}
	return sb.String()
}

func TestResponseGolden(t *testing.T) {
	for _, c := range []struct{ name, hex, want string }{
		{"manual", response41, `pam max=16777216 charset=8 db="test" plugin=mysql_native_password auth=ab09eef6/20`},
		{"manual, attributes", responseAttrs, `root max=1073741824 charset=8 db="" plugin=mysql_native_password auth=225079a2/20` +
			" _os=debian6.0 _client_name=libmysql _pid=22344 _client_version=5.6.6-m9 _platform=x86_64 foo=bar"},
		{"libmariadb", responseMaria, `native max=268435456 charset=33 db="shop" plugin=mysql_native_password auth=6181496a/20` +
			" _os=Linux _client_name=libmariadb _pid=28874 _client_version=3.3.20 _platform=x86_64 program_name=mysql" +
			" _server_host=127.0.0.1 MARIADB_STMT_BULK_OPERATIONS|MARIADB_CACHE_METADATA"},
		{"PHP", responsePHP, `native max=3221225472 charset=45 db="shop" plugin=mysql_native_password auth=3f552a4c/20` +
			" _client_name=mysqlnd _server_host=127.0.0.1"},
	} {
		packet := unhex(t, c.hex)
		got, err := ParseResponse(packet[HeaderLen:])
		if err != nil || textResponse(&got) != c.want {
			t.Errorf("%s: %v\n%s, want\n%s", c.name, err, textResponse(&got), c.want)
		}
		if again := got.Append(nil, 1); !bytes.Equal(again, packet) {
			t.Errorf("%s: written\n%x, want\n%x", c.name, again, packet)
		}
		if IsSSLRequest(packet[HeaderLen:]) {
			t.Errorf("%s: taken for an SSLRequest", c.name)
		}
		ssl := got.AppendSSLRequest(nil, 1)
		if n, seq := Header(ssl); n != 32 || seq != 1 || !IsSSLRequest(ssl[HeaderLen:]) {
			t.Errorf("%s: SSLRequest of %d bytes: %x", c.name, n, ssl)
		}
	}
}

func TestChangeUserGolden(t *testing.T) {
	packet := unhex(t, changeUserPHP)
	caps := ClientProtocol41 | ClientSecureConnection | ClientPluginAuth | ClientConnectAttrs
	got, err := ParseChangeUser(packet[HeaderLen:], caps)
	want := `sha2 max=0 charset=45 db="d2" plugin=mysql_native_password auth=9b6bab42/20 _client_name=mysqlnd _server_host=127.0.0.1`
	if err != nil || textResponse(&got) != want {
		t.Errorf("%v\n%s, want\n%s", err, textResponse(&got), want)
	}
	if again := got.AppendChangeUser(nil, caps); !bytes.Equal(again, packet) {
		t.Errorf("written\n%x, want\n%x", again, packet)
	}
	short, err := ParseChangeUser([]byte("\x11me\x00\x03abcshop\x00"), caps)
	if err != nil || short.User != "me" || short.Database != "shop" || string(short.Auth) != "abc" || short.Plugin != "" {
		t.Errorf("short form: %+v, %v", short, err)
	}
}

func TestResponseRefused(t *testing.T) {
	good := unhex(t, responseAttrs)[HeaderLen:]
	for name, c := range map[string]struct {
		payload []byte
		want    error
		text    string
	}{
		"nothing":         {nil, ErrMalformed, "capabilities"},
		"3.23":            {[]byte("\x85\x24\x00\x00\x00old\x00GDSCQYR_"), ErrOldProtocol, ""},
		"SSLRequest":      {good[:32], ErrMalformed, "user without a NUL"},
		"long user":       {append(bytes.Clone(good[:32]), append(bytes.Repeat([]byte{'u'}, MaxUser+1), 0)...), ErrMalformed, "at most 512"},
		"too long":        {make([]byte, MaxLoginPayload+1), ErrMalformed, "at most 65536"},
		"cut in auth":     {good[:45], ErrMalformed, "authentication answer"},
		"cut in attrs":    {good[:len(good)-1], ErrMalformed, "attributes"},
		"declared 16 EiB": {append(bytes.Clone(good[:80]), 0xfe, 255, 255, 255, 255, 255, 255, 255, 255, 1), ErrMalformed, "attributes"},
	} {
		if _, err := ParseResponse(c.payload); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %v with %q", name, err, c.want, c.text)
		}
	}
	for payload, text := range map[string]string{
		"": "not a COM_CHANGE_USER", "\x03select 1": "not a COM_CHANGE_USER", "\x11user": "user without a NUL",
		"\x11user\x00\x20abc": "authentication answer", "\x11user\x00\x00db\x00\x2d": "charset",
		"\x11user\x00\x00db\x00\x2d\x00plugin\x00\xfc\xff\xff": "attributes",
	} {
		_, err := ParseChangeUser([]byte(payload), ClientProtocol41|ClientSecureConnection|ClientPluginAuth|ClientConnectAttrs)
		if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v, want %q", payload, err, text)
		}
	}
}

// TestResponseOfManyShapes: what each set of capabilities can carry comes back; what it cannot is left out, and shifts
// nothing behind it.
func TestResponseOfManyShapes(t *testing.T) {
	bits := []Caps{ClientSecureConnection, ClientPluginAuth, ClientPluginAuthLenenc, ClientConnectWithDB, ClientConnectAttrs,
		ClientZstd, ClientLongPassword}
	for mask := range 1 << len(bits) {
		caps := ClientProtocol41 | MariaDBBulk
		for i, b := range bits {
			if mask&(1<<i) != 0 {
				caps |= b
			}
		}
		for _, auth := range []string{"", "20 bytes of an answer", strings.Repeat("r", 256), "with\x00NUL"} {
			in := Response{Caps: caps, MaxPacket: 5, Charset: 200, User: "u", Database: "d", Plugin: "p", Auth: []byte(auth),
				Attributes: AppendAttribute(nil, "k", strings.Repeat("v", 300)), ZstdLevel: 9}
			packet := in.Append([]byte("x"), 3)[1:]
			want := in
			if caps.Has(ClientLongPassword) {
				want.Caps &^= MariaDBCaps
			}
			if !caps.Has(ClientConnectWithDB) {
				want.Database = ""
			}
			if !caps.Has(ClientPluginAuth) {
				want.Plugin = ""
			}
			if !caps.Has(ClientConnectAttrs) {
				want.Attributes = nil
			}
			if !caps.Has(ClientZstd) {
				want.ZstdLevel = 0
			}
			switch {
			case caps.Has(ClientPluginAuthLenenc):
			case caps.Has(ClientSecureConnection) && len(auth) > 255:
				want.Auth = nil
			case !caps.Has(ClientSecureConnection) && (len(auth) > 255 || strings.Contains(auth, "\x00")):
				want.Auth = nil
			}
			got, err := ParseResponse(packet[HeaderLen:])
			if err != nil || textResponse(&got) != textResponse(&want) || got.ZstdLevel != want.ZstdLevel {
				t.Fatalf("%v, auth of %d: %v\n%s, want\n%s", caps, len(auth), err, textResponse(&got), textResponse(&want))
			}
			change, err := ParseChangeUser(in.AppendChangeUser(nil, caps)[HeaderLen:], caps)
			if err != nil || change.User != "u" || change.Database != "d" || change.Charset != 200 || change.Plugin != want.Plugin {
				t.Fatalf("%v: COM_CHANGE_USER %+v, %v", caps, change, err)
			}
		}
	}
}

func TestAuthPackets(t *testing.T) {
	for _, s := range []AuthSwitch{{PluginNative, append(bytes.Clone(testSalt), 0)}, {PluginEd25519, make([]byte, 32)}, {PluginClear, nil}} {
		packet := s.Append(nil, 2)
		got, err := ParseAuthSwitch(packet[HeaderLen:])
		if err != nil || got.Plugin != s.Plugin || !bytes.Equal(got.Data, s.Data) {
			t.Errorf("%+v, %v, want %+v", got, err, s)
		}
	}
	for payload, want := range map[string]error{"": ErrMalformed, "\x00": ErrMalformed, "\xfe": ErrOldProtocol,
		"\xfeplugin": ErrMalformed, "\xfe" + strings.Repeat("p", 99) + "\x00": ErrMalformed,
		"\xfep\x00" + strings.Repeat("d", MaxLoginPayload): ErrMalformed} {
		if _, err := ParseAuthSwitch([]byte(payload)); !errors.Is(err, want) {
			t.Errorf("%.20q: %v, want %v", payload, err, want)
		}
	}
	packet := AppendAuthMoreData(nil, 4, 3)
	if !bytes.Equal(packet, []byte{2, 0, 0, 4, 1, 3}) {
		t.Errorf("AuthMoreData: %x", packet)
	}
	if data, err := ParseAuthMoreData(packet[HeaderLen:]); err != nil || !bytes.Equal(data, []byte{3}) {
		t.Errorf("%x, %v", data, err)
	}
	if _, err := ParseAuthMoreData([]byte{0}); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
}

func TestAttributesStopWhereMalformed(t *testing.T) {
	block := AppendAttribute(AppendAttribute(nil, "a", "1"), "b", "")
	for cut, want := range map[int]string{len(block): "a=1 b= ", len(block) - 1: "a=1 ", 2: "", 0: ""} {
		got := ""
		for name, value := range Attributes(block[:cut]) {
			got += fmt.Sprintf("%s=%s ", name, value)
		}
		if got != want {
			t.Errorf("cut at %d: %q, want %q", cut, got, want)
		}
	}
	for range Attributes(block) {
		break
	}
}

func TestUnsupportedPluginsSayWhatToDo(t *testing.T) {
	for _, p := range []string{PluginNative, PluginSHA2, PluginClear, PluginEd25519} {
		if unsupported(p) != "" {
			t.Errorf("%s is not spoken", p)
		}
	}
	for _, p := range []string{PluginOld, PluginSHA256, PluginDialog, PluginGSSAPI, PluginKerberos, PluginLDAP, PluginFIDO,
		PluginParsec, PluginOIDC, "", "invented"} {
		if hint := unsupported(p); len(hint) < 20 || !utf8.ValidString(hint) {
			t.Errorf("%s: %q", p, hint)
		}
	}
}
