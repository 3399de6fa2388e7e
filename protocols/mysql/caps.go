package mysql

import (
	"strconv"
	"strings"
)

// Caps is a set of capabilities, as offered in a greeting or agreed on in the client's answer. The lower 32 bits are
// the protocol's; the upper 32 are MariaDB's extended ones, which travel in bytes that MySQL keeps at zero. MariaDB's
// count only if ClientLongPassword is not set: bit 0 is its CLIENT_MYSQL there ("the other side is MySQL").
type Caps uint64

// The capabilities, by the names of the protocol's documents.
const (
	ClientLongPassword              Caps = 1 << iota // MariaDB: CLIENT_MYSQL
	ClientFoundRows                                  // affected rows count those found, not those changed
	ClientLongFlag                                   // longer flags in column definitions
	ClientConnectWithDB                              // the answer to the greeting names a database
	ClientNoSchema                                   // refuse database.table.column
	ClientCompress                                   // compressed packets, zlib
	ClientODBC                                       // no meaning since 3.22
	ClientLocalFiles                                 // can answer LOAD DATA LOCAL
	ClientIgnoreSpace                                // spaces before '(' are ignored
	ClientProtocol41                                 // the protocol of 4.1: status, warnings, SQLSTATE
	ClientInteractive                                // interactive_timeout instead of wait_timeout
	ClientSSL                                        // goes on with TLS
	ClientIgnoreSigpipe                              // means nothing on the wire
	ClientTransactions                               // knows the status flags of transactions
	ClientReserved                                   // was: the first protocol of 4.1
	ClientSecureConnection                           // scrambles of 20 bytes
	ClientMultiStatements                            // several statements in one COM_QUERY
	ClientMultiResults                               // several results in one reply
	ClientPSMultiResults                             // the same for COM_STMT_EXECUTE
	ClientPluginAuth                                 // names of authentication plugins
	ClientConnectAttrs                               // connection attributes
	ClientPluginAuthLenenc                           // the authentication answer may be longer than 255 bytes
	ClientCanHandleExpiredPasswords                  // does not mind a sandbox mode
	ClientSessionTrack                               // OK packets carry changes of the session's state
	ClientDeprecateEOF                               // no EOF packets around rows; an OK with header 0xfe ends them
	ClientOptionalResultsetMetadata                  // MySQL: column definitions may be left out
	ClientZstd                                       // compressed packets, zstd
	ClientQueryAttributes                            // named attributes in COM_QUERY and COM_STMT_EXECUTE
	ClientMultiFactorAuthentication                  // up to three authentication methods
	ClientCapabilityExtension                        // reserved; an old MariaDB's CLIENT_PROGRESS
	ClientSSLVerifyServerCert                        // means nothing on the wire
	ClientRememberOptions                            // means nothing on the wire
	MariaDBProgress                                  // progress reports: ERR packets of code 0xffff
	MariaDBComMulti                                  // reserved: COM_MULTI, never released
	MariaDBBulk                                      // COM_STMT_BULK_EXECUTE (STMT_BULK_OPERATIONS)
	MariaDBExtMetadata                               // column definitions carry extended types
	MariaDBCacheMetadata                             // column definitions may be left out
	MariaDBBulkUnitResults                           // one result for each row of a bulk
)

// MariaDBCaps are the capabilities that exist in MariaDB only.
const MariaDBCaps Caps = 0xffffffff << 32

var capNames = [...]string{
	"LONG_PASSWORD", "FOUND_ROWS", "LONG_FLAG", "CONNECT_WITH_DB", "NO_SCHEMA", "COMPRESS", "ODBC", "LOCAL_FILES",
	"IGNORE_SPACE", "PROTOCOL_41", "INTERACTIVE", "SSL", "IGNORE_SIGPIPE", "TRANSACTIONS", "RESERVED",
	"SECURE_CONNECTION", "MULTI_STATEMENTS", "MULTI_RESULTS", "PS_MULTI_RESULTS", "PLUGIN_AUTH", "CONNECT_ATTRS",
	"PLUGIN_AUTH_LENENC_CLIENT_DATA", "CAN_HANDLE_EXPIRED_PASSWORDS", "SESSION_TRACK", "DEPRECATE_EOF",
	"OPTIONAL_RESULTSET_METADATA", "ZSTD_COMPRESSION_ALGORITHM", "QUERY_ATTRIBUTES", "MULTI_FACTOR_AUTHENTICATION",
	"CAPABILITY_EXTENSION", "SSL_VERIFY_SERVER_CERT", "REMEMBER_OPTIONS", "MARIADB_PROGRESS", "MARIADB_COM_MULTI",
	"MARIADB_STMT_BULK_OPERATIONS", "MARIADB_EXTENDED_METADATA", "MARIADB_CACHE_METADATA", "MARIADB_BULK_UNIT_RESULTS",
}

// Has tells whether all of want is set.
func (c Caps) Has(want Caps) bool { return c&want == want }

// String lists the names: "FOUND_ROWS|PROTOCOL_41"; bits without a name as "BIT_40"; "0" for none.
func (c Caps) String() string { return bitNames(uint64(c), capNames[:]) }

// Status is the set of flags that a server sends in each OK and EOF packet.
type Status uint16

// The status flags, by the names of the protocol's documents.
const (
	StatusInTrans             Status = 1 << iota // a transaction is open
	StatusAutocommit                             // autocommit is on
	_                                            //
	StatusMoreResults                            // another result follows in this reply
	StatusNoGoodIndexUsed                        //
	StatusNoIndexUsed                            //
	StatusCursorExists                           // COM_STMT_EXECUTE opened a cursor: the rows come by COM_STMT_FETCH
	StatusLastRowSent                            // COM_STMT_FETCH has sent the last row
	StatusDBDropped                              //
	StatusNoBackslashEscapes                     // sql_mode has NO_BACKSLASH_ESCAPES
	StatusMetadataChanged                        // a prepared statement's columns are not those of its preparation
	StatusQueryWasSlow                           //
	StatusPSOutParams                            // this result holds a procedure's OUT parameters
	StatusInTransReadonly                        // the open transaction is read-only
	StatusSessionStateChanged                    // the OK packet carries a session-state block
	StatusAnsiQuotes                             // MariaDB only: sql_mode has ANSI_QUOTES
)

var statusNames = [...]string{
	"IN_TRANS", "AUTOCOMMIT", "", "MORE_RESULTS", "NO_GOOD_INDEX_USED", "NO_INDEX_USED", "CURSOR_EXISTS",
	"LAST_ROW_SENT", "DB_DROPPED", "NO_BACKSLASH_ESCAPES", "METADATA_CHANGED", "QUERY_WAS_SLOW", "PS_OUT_PARAMS",
	"IN_TRANS_READONLY", "SESSION_STATE_CHANGED", "ANSI_QUOTES",
}

// Has tells whether all of want is set.
func (s Status) Has(want Status) bool { return s&want == want }

// String lists the names: "IN_TRANS|AUTOCOMMIT"; "0" for none.
func (s Status) String() string { return bitNames(uint64(s), statusNames[:]) }

// bitNames joins the names of v's bits with '|'.
func bitNames(v uint64, names []string) string {
	if v == 0 {
		return "0"
	}
	var sb strings.Builder
	for i := 0; v != 0; i, v = i+1, v>>1 {
		if v&1 == 0 {
			continue
		}
		if sb.Len() > 0 {
			sb.WriteByte('|')
		}
		if i < len(names) && names[i] != "" {
			sb.WriteString(names[i])
		} else {
			sb.WriteString("BIT_" + strconv.Itoa(i))
		}
	}
	return sb.String()
}
