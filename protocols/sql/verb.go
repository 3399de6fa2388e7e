package sql

// Verb is a statement's main keyword. EXPLAIN and ANALYZE stay what they are; WITH and SET STATEMENT ... FOR give the
// verb of the statement behind them; START TRANSACTION gives VerbBegin.
type Verb uint8

// The verbs. VerbOther is every statement that begins with none of the words, and the empty one.
const (
	VerbOther Verb = iota
	VerbSelect
	VerbInsert
	VerbReplace
	VerbUpdate
	VerbDelete
	VerbValues
	VerbTable
	VerbCall
	VerbDo
	VerbLoad
	VerbHandler
	VerbShow
	VerbExplain
	VerbDescribe // DESC too
	VerbHelp
	VerbBegin // START TRANSACTION too
	VerbCommit
	VerbRollback
	VerbSavepoint
	VerbRelease
	VerbXA
	VerbSet
	VerbUse
	VerbPrepare
	VerbExecute
	VerbDeallocate
	VerbGet // GET DIAGNOSTICS
	VerbLock
	VerbUnlock
	VerbFlush
	VerbKill
	VerbCreate
	VerbAlter
	VerbDrop
	VerbTruncate
	VerbRename
	VerbGrant
	VerbRevoke
	VerbAnalyze
	VerbOptimize
	VerbCheck
	VerbChecksum
	VerbRepair
	VerbImport
	VerbBinlog
	VerbShutdown
	VerbRestart
	VerbReset
	VerbPurge
	VerbChange
	VerbStart // of replication; transactions are VerbBegin
	VerbStop
	VerbInstall
	VerbUninstall
	VerbCache
	VerbClone
	VerbBackup
	numVerbs
)

var verbNames = [numVerbs]string{
	"OTHER", "SELECT", "INSERT", "REPLACE", "UPDATE", "DELETE", "VALUES", "TABLE", "CALL", "DO", "LOAD", "HANDLER", "SHOW",
	"EXPLAIN", "DESCRIBE", "HELP", "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "XA", "SET", "USE", "PREPARE",
	"EXECUTE", "DEALLOCATE", "GET", "LOCK", "UNLOCK", "FLUSH", "KILL", "CREATE", "ALTER", "DROP", "TRUNCATE", "RENAME",
	"GRANT", "REVOKE", "ANALYZE", "OPTIMIZE", "CHECK", "CHECKSUM", "REPAIR", "IMPORT", "BINLOG", "SHUTDOWN", "RESTART",
	"RESET", "PURGE", "CHANGE", "START", "STOP", "INSTALL", "UNINSTALL", "CACHE", "CLONE", "BACKUP",
}

// String returns the keyword in upper case, OTHER for the rest.
func (v Verb) String() string {
	if v < numVerbs {
		return verbNames[v]
	}
	return "OTHER"
}

// Kind says what a statement may do, as far as its own text tells: a stored function or a view that it uses may do
// more.
type Kind uint8

const (
	// Unknown is what the lexer does not understand or what is malformed: to be treated as Write. It is the zero value.
	Unknown Kind = iota
	// Read changes nothing on the server: SELECT without a lock, SHOW, EXPLAIN.
	Read
	// Session changes the connection it runs on and no data: SET, USE, PREPARE, HANDLER.
	Session
	// Txn begins, ends or describes a transaction: BEGIN, COMMIT, SAVEPOINT, XA, SET TRANSACTION.
	Txn
	// Admin is for the server rather than the data: KILL, FLUSH, GRANT, SET GLOBAL, CHANGE MASTER.
	Admin
	// Write changes data or definitions, or takes locks that only make sense where they are changed.
	Write
	numKinds
)

var kindNames = [numKinds]string{"unknown", "read", "session", "txn", "admin", "write"}

// String returns the kind in lower case.
func (k Kind) String() string {
	if k < numKinds {
		return kindNames[k]
	}
	return "unknown"
}

// kindRank orders kinds for a text of several statements: the strictest one names the text.
var kindRank = [numKinds]uint8{Read: 0, Session: 1, Txn: 2, Admin: 3, Unknown: 4, Write: 5}

// stricter returns the stricter of two kinds.
func stricter(a, b Kind) Kind {
	if kindRank[a] >= kindRank[b] {
		return a
	}
	return b
}
