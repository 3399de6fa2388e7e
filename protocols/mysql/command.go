package mysql

import "fmt"

// Command is the first byte of a client's packet: what it asks for.
type Command byte

// The commands. Those without a comment are answered as their names suggest; see [Reply] for what a reply looks like.
const (
	ComSleep            Command = 0x00 // internal to the server
	ComQuit             Command = 0x01 // no reply: the server closes
	ComInitDB           Command = 0x02
	ComQuery            Command = 0x03
	ComFieldList        Command = 0x04
	ComCreateDB         Command = 0x05
	ComDropDB           Command = 0x06
	ComRefresh          Command = 0x07
	ComShutdown         Command = 0x08
	ComStatistics       Command = 0x09 // the reply is bare text
	ComProcessInfo      Command = 0x0a
	ComConnect          Command = 0x0b // internal to the server
	ComProcessKill      Command = 0x0c
	ComDebug            Command = 0x0d
	ComPing             Command = 0x0e
	ComTime             Command = 0x0f // internal to the server
	ComDelayedInsert    Command = 0x10 // internal to the server
	ComChangeUser       Command = 0x11
	ComBinlogDump       Command = 0x12 // the reply has no end
	ComTableDump        Command = 0x13
	ComConnectOut       Command = 0x14 // internal to the server
	ComRegisterSlave    Command = 0x15
	ComStmtPrepare      Command = 0x16
	ComStmtExecute      Command = 0x17
	ComStmtSendLongData Command = 0x18 // no reply
	ComStmtClose        Command = 0x19 // no reply
	ComStmtReset        Command = 0x1a
	ComSetOption        Command = 0x1b
	ComStmtFetch        Command = 0x1c
	ComDaemon           Command = 0x1d // internal to the server
	ComBinlogDumpGTID   Command = 0x1e // the reply has no end
	ComResetConnection  Command = 0x1f
	ComClone            Command = 0x20 // MySQL: the reply has no end
	ComSubscribeGroup   Command = 0x21 // MySQL: group replication stream, the reply has no end
	ComStmtBulkExecute  Command = 0xfa // MariaDB
)

var commandNames = [...]string{
	"COM_SLEEP", "COM_QUIT", "COM_INIT_DB", "COM_QUERY", "COM_FIELD_LIST", "COM_CREATE_DB", "COM_DROP_DB",
	"COM_REFRESH", "COM_SHUTDOWN", "COM_STATISTICS", "COM_PROCESS_INFO", "COM_CONNECT", "COM_PROCESS_KILL", "COM_DEBUG",
	"COM_PING", "COM_TIME", "COM_DELAYED_INSERT", "COM_CHANGE_USER", "COM_BINLOG_DUMP", "COM_TABLE_DUMP",
	"COM_CONNECT_OUT", "COM_REGISTER_SLAVE", "COM_STMT_PREPARE", "COM_STMT_EXECUTE", "COM_STMT_SEND_LONG_DATA",
	"COM_STMT_CLOSE", "COM_STMT_RESET", "COM_SET_OPTION", "COM_STMT_FETCH", "COM_DAEMON", "COM_BINLOG_DUMP_GTID",
	"COM_RESET_CONNECTION", "COM_CLONE", "COM_SUBSCRIBE_GROUP_REPLICATION_STREAM",
}

// String returns the command's name: "COM_QUERY"; "COM_0x7f" for one that has none.
func (c Command) String() string {
	switch {
	case int(c) < len(commandNames):
		return commandNames[c]
	case c == ComStmtBulkExecute:
		return "COM_STMT_BULK_EXECUTE"
	}
	return fmt.Sprintf("COM_0x%02x", byte(c))
}

// NoReply tells whether the server says nothing to c at all.
func (c Command) NoReply() bool { return c == ComStmtSendLongData || c == ComStmtClose || c == ComQuit }

// Endless tells whether the reply to c goes on until the connection is closed and must be passed on as it is.
func (c Command) Endless() bool {
	switch c {
	case ComBinlogDump, ComBinlogDumpGTID, ComTableDump, ComClone, ComSubscribeGroup:
		return true
	}
	return false
}
