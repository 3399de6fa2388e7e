package mysql

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// records lists what a block holds.
func records(block []byte) string {
	var sb strings.Builder
	t := Track(block)
	for t.Next() {
		fmt.Fprintf(&sb, "%s %s=%s; ", t.Kind, t.Name, t.Value)
	}
	if t.Err() != nil {
		sb.WriteString(t.Err().Error())
	}
	return sb.String()
}

func TestTrack(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"\x00\x0f\x0aautocommit\x03OFF", "system-variable autocommit=OFF; "},
		{"\x00\x08\x01a\x01b\x01c\x01d", "system-variable a=b; system-variable c=d; "},
		{"\x01\x05\x04test\x02\x011", "schema =test; state =1; "},
		{"\x02\x02\x011", "state =1; "},
		{"\x03\x05\x00\x03u:1", "gtids =u:1; "},
		{"\x05\x09\x08T_R_W_S_\x04\x03\x02x;", "transaction-state =T_R_W_S_; transaction-characteristics =x;; "},
		{"\x07\x02ab\x01\x02\x01d", "kind-7 =ab; schema =d; "},
		{"\x01\x01\x00", "schema =; "},
		{"\x01", "mysql: malformed packet: session state: record of kind schema does not fit its length"},
		{"\x01\x09\x04test", "mysql: malformed packet: session state: record of kind schema does not fit its length"},
		{"\x01\x05\x03test", "mysql: malformed packet: session state: record of kind schema is not one string"},
		{"\x00\x00", "mysql: malformed packet: session state: variable without a name"},
		{"\x00\x04\x01a\x01b\x00\x02\x01c", "system-variable a=b; mysql: malformed packet: session state: variable \"c\" without a value"},
		{"\x03\x03\x01\x01u", "mysql: malformed packet: session state: GTIDs in an encoding other than 0"},
	} {
		if got := records([]byte(c.in)); got != c.want {
			t.Errorf("% x: %s\nwant %s", c.in, got, c.want)
		}
	}
}

func TestAppendTrack(t *testing.T) {
	long := strings.Repeat("v", 70000)
	var b []byte
	b = AppendTrack(b, TrackSystemVariable, "sql_mode", long)
	b = AppendTrack(b, TrackSchema, "", "d")
	b = AppendTrack(b, TrackState, "", "1")
	b = AppendTrack(b, TrackGTIDs, "", "u:1-5")
	b = AppendTrack(b, TrackTxnCharacteristics, "", "SET TRANSACTION READ ONLY;")
	b = AppendTrack(b, TrackTxnState, "", "T_______")
	b = AppendTrack(b, TrackKind(40), "", "data")
	want := "system-variable sql_mode=" + long + "; schema =d; state =1; gtids =u:1-5; " +
		"transaction-characteristics =SET TRANSACTION READ ONLY;; transaction-state =T_______; kind-40 =data; "
	if got := records(b); got != want {
		t.Error(strings.ReplaceAll(got, long, "..."))
	}
}

// TestTrackCaptured reads the session state in the OK packets of a real server.
func TestTrackCaptured(t *testing.T) {
	file, err := os.ReadFile("testdata/mariadb-10.11.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, session, _ := strings.Cut(string(file), "# ClientSessionTrack\n")
	session, _, _ = strings.Cut(session, "\n#")
	caps := classicCaps | ClientSessionTrack | ClientDeprecateEOF
	var got []string
	for _, part := range strings.Split(session, "\n> ")[1:] {
		lines := strings.Split(part, "\n")
		var reply, row []byte
		for _, line := range lines[1:] {
			if hex, ok := strings.CutPrefix(line, "< "); ok {
				if _, err := fmt.Sscanf(hex, "%x", &row); err != nil {
					t.Fatal(err)
				}
				reply = append(reply, row...)
			}
		}
		for len(reply) > 0 {
			n, _ := Header(reply)
			payload := reply[HeaderLen : HeaderLen+n]
			reply = reply[HeaderLen+n:]
			if payload[0] == headOK && len(payload) > 6 || payload[0] == headEOF {
				ok, err := ParseOK(payload, caps)
				if err != nil {
					t.Fatalf("%s: %v", lines[0], err)
				}
				if len(ok.Track) > 0 {
					got = append(got, lines[0][5:len(lines[0])-1]+": "+strings.TrimSpace(records(ok.Track)))
				}
				if again := AppendOK(nil, 9, payload[0], &ok, caps); string(again[HeaderLen:]) != string(payload) {
					t.Errorf("%s: written again % x\nwas % x", lines[0], again[HeaderLen:], payload)
				}
			}
		}
	}
	if s := strings.Join(got, "\n"); s != capturedTrack {
		t.Errorf("found:\n%s", s)
	}
}

const capturedTrack = `SET session_track_schema=1, session_track_state_change=1, session_track_transaction_info='CHARACTERISTICS', session_track_system_variables='*': system-variable session_track_system_variables=*; state =1; transaction-state =________; transaction-characteristics =;
USE d: schema =d; state =1;
SET autocommit=0: system-variable autocommit=OFF; state =1;
SET NAMES latin1: system-variable character_set_client=latin1; system-variable character_set_connection=latin1; system-variable character_set_results=latin1; state =1;
START TRANSACTION READ ONLY: transaction-state =T_______; transaction-characteristics =START TRANSACTION READ ONLY;;
SELECT * FROM t LIMIT 1: transaction-state =T_R__sS_;
COMMIT: transaction-state =________; transaction-characteristics =;
SET @a=1: state =1;
INSERT INTO t VALUES (NULL,'z'): transaction-state =I___W___;
ROLLBACK: transaction-state =________;
SET TRANSACTION ISOLATION LEVEL SERIALIZABLE: transaction-characteristics =SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;;
d: schema =d; state =1;`
