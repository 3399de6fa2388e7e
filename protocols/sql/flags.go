package sql

// Flags are facts about a text that its verb and kind do not tell. A flag says that the words are there, not that they
// run: GET_LOCK in a branch never taken counts. Each exists because a pooling, splitting or logging proxy needs it;
// most concern state that the server's session tracker does not report.
type Flags uint64

const (
	// LockingRead: FOR UPDATE, FOR SHARE or LOCK IN SHARE MODE. It must run where writes run.
	LockingRead Flags = 1 << iota
	// AssignsVar: @x := ..., INTO @x, SET @x = .... Not tracked by servers (but for SET): the connection has to stay.
	AssignsVar
	// UserVar: a user variable occurs at all. What it holds depends on the connection.
	UserVar
	// IntoFile: INTO OUTFILE or DUMPFILE writes a file on the server.
	IntoFile
	// UserLock: GET_LOCK, RELEASE_LOCK, RELEASE_ALL_LOCKS, IS_USED_LOCK, IS_FREE_LOCK. The lock belongs to the
	// connection, and no tracker tells.
	UserLock
	// ReleasesLocks: the text is SELECT or DO RELEASE_ALL_LOCKS() and nothing else: no user lock is left afterwards.
	// RELEASE_LOCK does not set it, for others may be held.
	ReleasesLocks
	// GlobalReadLock: FLUSH TABLES ... WITH READ LOCK or FOR EXPORT, BACKUP STAGE, LOCK, UNLOCK. Not tracked.
	GlobalReadLock
	// TableLock: LOCK TABLES or LOCK INSTANCE; held by the connection until UNLOCK.
	TableLock
	// Handler: HANDLER cursors live on the connection and are not tracked.
	Handler
	// SetsInsertID: LAST_INSERT_ID(x), or SET of last_insert_id, insert_id or identity: what the connection says next.
	SetsInsertID
	// ReadsInsertID: LAST_INSERT_ID(), @@last_insert_id, @@identity: only the connection that inserted knows.
	ReadsInsertID
	// CalcFoundRows: SQL_CALC_FOUND_ROWS; a FOUND_ROWS() may follow on the same connection.
	CalcFoundRows
	// ReadsFoundRows: FOUND_ROWS() asks about the connection's statement before.
	ReadsFoundRows
	// ReadsRowCount: ROW_COUNT(), and ROW_COUNT in GET DIAGNOSTICS, asks about the connection's statement before.
	ReadsRowCount
	// ReadsWarnings: SHOW WARNINGS or ERRORS (or their COUNT(*)), GET DIAGNOSTICS, @@warning_count, @@error_count.
	ReadsWarnings
	// Call: CALL. A procedure can do anything, and answers with any number of results.
	Call
	// TempTable: TEMPORARY in a CREATE or DROP. The table lives on the connection.
	TempTable
	// TextPrepare: PREPARE, EXECUTE or DEALLOCATE as text: the statement lives on the connection.
	TextPrepare
	// Sequence: NEXTVAL, NEXT VALUE FOR, PREVIOUS VALUE FOR, SETVAL, LASTVAL: they write, or depend on the connection.
	Sequence
	// ConnectionID: CONNECTION_ID() or pseudo_thread_id: the answer is the server's id, which a proxy's client does
	// not know itself by.
	ConnectionID
	// Kill: KILL. Ids have to be translated; see Statement.KillID.
	Kill
	// KillQuery: KILL QUERY ends the statement and not the connection.
	KillQuery
	// KillOther: KILL of something else than one plain connection id: USER name, QUERY ID n, an expression, a second
	// KILL of the text.
	KillOther
	// ExecutableComment: the text contains /*! or /*M!. Servers disagree about which of them run.
	ExecutableComment
	// Multi: a further statement follows after a semicolon. The body of a stored program looks the same.
	Multi
	// Compound: BEGIN NOT ATOMIC, a label, or another compound statement outside a stored program (MariaDB).
	Compound
	// LoadLocal: LOAD DATA or XML with LOCAL: the server will ask the client for a file.
	LoadLocal
	// Returning: INSERT, REPLACE, UPDATE or DELETE with RETURNING: a write that answers with rows.
	Returning
	// SetGlobal: SET GLOBAL, PERSIST, PERSIST_ONLY or @@global.x: for the whole server.
	SetGlobal
	// SetTracker: SET of a session_track_* variable: whoever relies on the tracker must know.
	SetTracker
	// SetLogBin: SET of what decides how the connection's changes are replicated: sql_log_bin, gtid_next, server_id,
	// gtid_domain_id, gtid_seq_no, pseudo_slave_mode, pseudo_replica_mode, pseudo_thread_id, skip_replication. A
	// connection with it must not be shared.
	SetLogBin
	// SetAutocommit: SET autocommit: with 0 every statement is part of a transaction.
	SetAutocommit
	// NextTxn: SET TRANSACTION without SESSION or GLOBAL: it holds for the next transaction only.
	NextTxn
	// SetRole: SET ROLE or SESSION AUTHORIZATION changes what the connection may do.
	SetRole
	// ReadOnlyTxn: START TRANSACTION ... READ ONLY: all of it may run on a replica.
	ReadOnlyTxn
	// Secret: the literals hold a password: IDENTIFIED, SET PASSWORD, PASSWORD(...), CHANGE MASTER, a PASSWORD option.
	// Log the digest's text, never the statement.
	Secret
	// Broken: a literal, name or comment without an end, a byte that belongs nowhere, or a text that servers cut up
	// differently. The kind is Unknown.
	Broken
)

// ReadsDiagnostics is any of ReadsFoundRows, ReadsRowCount and ReadsWarnings: the answer belongs to the connection that
// ran the statement before.
const ReadsDiagnostics = ReadsFoundRows | ReadsRowCount | ReadsWarnings

// Has tells whether any of the flags in mask is set.
func (f Flags) Has(mask Flags) bool { return f&mask != 0 }
