package sql

// kw is a word that means something to this package; kwNone is every other word.
type kw uint16

// attr are a keyword's properties.
type attr uint16

const (
	aReserved attr = 1 << iota // never a table's name without quotes
	aExpr                      // an expression follows: a sign behind it is unary
	aFunc                      // means something with a parenthesis behind it
	aMod                       // may stand between a clause's keyword and the table's name
	aConst                     // a constant: counts as a literal where it is a whole element of a list
	aCharset                   // a character set's name in front of a string
	aHarmless                  // changes nothing but the way a SELECT is done
	aTail                      // ends a list of tables
)

// keyword is one row of the table: the word in lower case.
type keyword struct {
	word string
	attr attr
	// verb and kind are for the words that begin statements.
	verb Verb
	kind Kind
}

// The words that the code asks for by name; their order is that of keywords.
const (
	kwNone kw = iota
	kwSelect
	kwInsert
	kwReplace
	kwUpdate
	kwDelete
	kwValues
	kwTable
	kwWith
	kwDo
	kwSet
	kwShow
	kwExplain
	kwDescribe
	kwDesc
	kwAnalyze
	kwBegin
	kwStart
	kwCreate
	kwDrop
	kwAlter
	kwRename
	kwRelease
	kwDeclare
	kwCase
	kwWhile
	kwLoop
	kwRepeat
	kwIf
	kwFor
	kwLock
	kwIn
	kwValue
	kwRow
	kwInto
	kwFrom
	kwJoin
	kwStraightJoin
	kwUsing
	kwOn
	kwLike
	kwTo
	kwTables
	kwView
	kwIndex
	kwTrigger
	kwColumns
	kwNot
	kwAtomic
	kwTransaction
	kwStatement
	kwGlobal
	kwSession
	kwLocal
	kwPersist
	kwPersistOnly
	kwRole
	kwDefault
	kwAuthorization
	kwPassword
	kwIdentified
	kwRead
	kwOnly
	kwShare
	kwNext
	kwPrevious
	kwOutfile
	kwDumpfile
	kwInfile
	kwTemporary
	kwPrepare
	kwReturning
	kwCalcFoundRows
	kwWarnings
	kwErrors
	kwExport
	kwQuery
	kwConnection
	kwHard
	kwSoft
	kwUser
	kwAutocommit
	kwInsertID
	kwLogBin
	kwWarningCount
	kwIdentity
	kwThreadID
	kwUserLock
	kwReleaseAllLocks
	kwLastInsertID
	kwFoundRows
	kwRowCount
	kwConnectionID
	kwSequence
	kwOldPassword
	kwDual
	kwWork
	kwKey
	kwCharset
	kwPlain // the first of the words of which only the properties matter
)

// keywords is the table. The first kwPlain rows are in the order of the constants.
var keywords = []keyword{
	kwNone:          {},
	kwSelect:        {"select", aReserved | aExpr, VerbSelect, Read},
	kwInsert:        {"insert", aReserved, VerbInsert, Write},
	kwReplace:       {"replace", aReserved, VerbReplace, Write},
	kwUpdate:        {"update", aReserved, VerbUpdate, Write},
	kwDelete:        {"delete", aReserved, VerbDelete, Write},
	kwValues:        {"values", aReserved | aTail, VerbValues, Read},
	kwTable:         {"table", aReserved | aMod, VerbTable, Read},
	kwWith:          {"with", aReserved | aTail, VerbOther, Unknown},
	kwDo:            {"do", aExpr, VerbDo, Read},
	kwSet:           {"set", aReserved | aTail, VerbSet, Session},
	kwShow:          {"show", aReserved, VerbShow, Read},
	kwExplain:       {"explain", aReserved, VerbExplain, Read},
	kwDescribe:      {"describe", aReserved, VerbDescribe, Read},
	kwDesc:          {"desc", aReserved, VerbDescribe, Read},
	kwAnalyze:       {"analyze", aReserved, VerbAnalyze, Write},
	kwBegin:         {"begin", 0, VerbBegin, Txn},
	kwStart:         {"start", 0, VerbStart, Admin},
	kwCreate:        {"create", aReserved, VerbCreate, Write},
	kwDrop:          {"drop", aReserved, VerbDrop, Write},
	kwAlter:         {"alter", aReserved, VerbAlter, Write},
	kwRename:        {"rename", aReserved, VerbRename, Write},
	kwRelease:       {"release", aReserved, VerbRelease, Txn},
	kwDeclare:       {"declare", aReserved, VerbOther, Unknown},
	kwCase:          {"case", aReserved | aExpr, VerbOther, Unknown},
	kwWhile:         {"while", aReserved | aExpr, VerbOther, Unknown},
	kwLoop:          {"loop", aReserved, VerbOther, Unknown},
	kwRepeat:        {"repeat", aReserved, VerbOther, Unknown},
	kwIf:            {"if", aReserved | aExpr | aMod, VerbOther, Unknown},
	kwFor:           {"for", aReserved | aExpr, VerbOther, Unknown},
	kwLock:          {"lock", aReserved | aTail, VerbLock, Write},
	kwIn:            {"in", aReserved, 0, 0},
	kwValue:         {"value", 0, 0, 0},
	kwRow:           {"row", 0, 0, 0},
	kwInto:          {"into", aReserved | aTail, 0, 0},
	kwFrom:          {"from", aReserved | aExpr, 0, 0},
	kwJoin:          {"join", aReserved, 0, 0},
	kwStraightJoin:  {"straight_join", aReserved | aExpr | aHarmless, 0, 0},
	kwUsing:         {"using", aReserved, 0, 0},
	kwOn:            {"on", aReserved | aExpr, 0, 0},
	kwLike:          {"like", aReserved | aExpr, 0, 0},
	kwTo:            {"to", aReserved, 0, 0},
	kwTables:        {"tables", aMod, 0, 0},
	kwView:          {"view", aMod, 0, 0},
	kwIndex:         {"index", aReserved, 0, 0},
	kwTrigger:       {"trigger", aReserved, 0, 0},
	kwColumns:       {"columns", 0, 0, 0},
	kwNot:           {"not", aReserved | aExpr | aMod, 0, 0},
	kwAtomic:        {"atomic", 0, 0, 0},
	kwTransaction:   {"transaction", 0, 0, 0},
	kwStatement:     {"statement", 0, 0, 0},
	kwGlobal:        {"global", 0, 0, 0},
	kwSession:       {"session", 0, 0, 0},
	kwLocal:         {"local", 0, 0, 0},
	kwPersist:       {"persist", 0, 0, 0},
	kwPersistOnly:   {"persist_only", 0, 0, 0},
	kwRole:          {"role", 0, 0, 0},
	kwDefault:       {"default", aReserved | aExpr | aConst, 0, 0},
	kwAuthorization: {"authorization", 0, 0, 0},
	kwPassword:      {"password", aFunc, 0, 0},
	kwIdentified:    {"identified", 0, 0, 0},
	kwRead:          {"read", aReserved, 0, 0},
	kwOnly:          {"only", 0, 0, 0},
	kwShare:         {"share", 0, 0, 0},
	kwNext:          {"next", 0, 0, 0},
	kwPrevious:      {"previous", 0, 0, 0},
	kwOutfile:       {"outfile", aReserved, 0, 0},
	kwDumpfile:      {"dumpfile", aReserved, 0, 0},
	kwInfile:        {"infile", aReserved, 0, 0},
	kwTemporary:     {"temporary", 0, 0, 0},
	kwPrepare:       {"prepare", 0, VerbPrepare, Session},
	kwReturning:     {"returning", aReserved | aTail | aExpr, 0, 0},
	kwCalcFoundRows: {"sql_calc_found_rows", aReserved | aExpr, 0, 0},
	kwWarnings:      {"warnings", 0, 0, 0},
	kwErrors:        {"errors", 0, 0, 0},
	kwExport:        {"export", 0, 0, 0},
	kwQuery:         {"query", 0, 0, 0},
	kwConnection:    {"connection", 0, 0, 0},
	kwHard:          {"hard", 0, 0, 0},
	kwSoft:          {"soft", 0, 0, 0},
	kwUser:          {"user", 0, 0, 0},
	kwAutocommit:    {"autocommit", 0, 0, 0},
	kwInsertID:      {"insert_id", 0, 0, 0},
	kwLogBin:        {"sql_log_bin", 0, 0, 0},
	kwWarningCount:  {"warning_count", 0, 0, 0},
	kwIdentity:      {"identity", 0, 0, 0},
	kwThreadID:      {"pseudo_thread_id", 0, 0, 0},

	kwUserLock:        {"get_lock", aFunc, 0, 0},
	kwReleaseAllLocks: {"release_all_locks", aFunc, 0, 0},
	kwLastInsertID:    {"last_insert_id", aFunc, 0, 0},
	kwFoundRows:       {"found_rows", aFunc, 0, 0},
	kwRowCount:        {"row_count", aFunc, 0, 0},
	kwConnectionID:    {"connection_id", aFunc, 0, 0},
	kwSequence:        {"nextval", aFunc, 0, 0},
	kwOldPassword:     {"old_password", aFunc, 0, 0},
	kwDual:            {"dual", aReserved, 0, 0},
	kwWork:            {"work", 0, 0, 0},
	kwKey:             {"key", aReserved, 0, 0},
	kwCharset:         {"_binary", aCharset, 0, 0},

	// Statements that need no more than their first word.
	kwPlain: {"call", aReserved, VerbCall, Write},

	{"load", aReserved, VerbLoad, Write},
	{"handler", 0, VerbHandler, Session},
	{"help", 0, VerbHelp, Read},
	{"commit", 0, VerbCommit, Txn},
	{"rollback", 0, VerbRollback, Txn},
	{"savepoint", 0, VerbSavepoint, Txn},
	{"xa", 0, VerbXA, Txn},
	{"use", aReserved, VerbUse, Session},
	{"execute", 0, VerbExecute, Write},
	{"deallocate", 0, VerbDeallocate, Session},
	{"get", aReserved, VerbGet, Session},
	{"unlock", aReserved, VerbUnlock, Session},
	{"flush", 0, VerbFlush, Admin},
	{"kill", aReserved, VerbKill, Admin},
	{"truncate", 0, VerbTruncate, Write},
	{"grant", aReserved, VerbGrant, Admin},
	{"revoke", aReserved, VerbRevoke, Admin},
	{"optimize", aReserved, VerbOptimize, Write},
	{"check", aReserved, VerbCheck, Write},
	{"checksum", 0, VerbChecksum, Read},
	{"repair", 0, VerbRepair, Write},
	{"import", 0, VerbImport, Write},
	{"binlog", 0, VerbBinlog, Write},
	{"shutdown", 0, VerbShutdown, Admin},
	{"restart", 0, VerbRestart, Admin},
	{"reset", 0, VerbReset, Admin},
	{"purge", aReserved, VerbPurge, Admin},
	{"change", aReserved, VerbChange, Admin},
	{"stop", 0, VerbStop, Admin},
	{"install", 0, VerbInstall, Admin},
	{"uninstall", 0, VerbUninstall, Admin},
	{"cache", 0, VerbCache, Admin},
	{"clone", 0, VerbClone, Admin},
	{"backup", 0, VerbBackup, Admin},

	// Words of expressions and clauses.
	{"where", aReserved | aExpr | aTail, 0, 0},
	{"having", aReserved | aExpr | aTail, 0, 0},
	{"group", aReserved | aTail, 0, 0},
	{"order", aReserved | aTail, 0, 0},
	{"by", aReserved | aExpr, 0, 0},
	{"limit", aReserved | aExpr | aTail, 0, 0},
	{"offset", aExpr, 0, 0},
	{"window", aTail, 0, 0},
	{"procedure", aReserved | aTail, 0, 0},
	{"union", aReserved | aTail, 0, 0},
	{"except", aReserved | aTail, 0, 0},
	{"intersect", aReserved | aTail, 0, 0},
	{"and", aReserved | aExpr, 0, 0},
	{"or", aReserved | aExpr, 0, 0},
	{"xor", aReserved | aExpr, 0, 0},
	{"between", aReserved | aExpr, 0, 0},
	{"rlike", aReserved | aExpr, 0, 0},
	{"regexp", aReserved | aExpr, 0, 0},
	{"div", aReserved | aExpr, 0, 0},
	{"mod", aReserved | aExpr, 0, 0},
	{"binary", aReserved | aExpr, 0, 0},
	{"when", aReserved | aExpr, 0, 0},
	{"then", aReserved | aExpr, 0, 0},
	{"else", aReserved | aExpr, 0, 0},
	{"return", aReserved | aExpr, 0, 0},
	{"interval", aReserved | aExpr, 0, 0},
	{"all", aReserved | aExpr, 0, 0},
	{"distinct", aReserved | aExpr, 0, 0},
	{"distinctrow", aReserved | aExpr, 0, 0},
	{"as", aReserved, 0, 0},
	{"left", aReserved, 0, 0},
	{"right", aReserved, 0, 0},
	{"inner", aReserved, 0, 0},
	{"cross", aReserved, 0, 0},
	{"natural", aReserved, 0, 0},
	{"outer", aReserved, 0, 0},
	{"force", aReserved, 0, 0},
	{"is", aReserved, 0, 0},
	{"exists", aReserved | aMod, 0, 0},
	{"ignore", aReserved | aMod, 0, 0},
	{"low_priority", aReserved | aMod, 0, 0},
	{"delayed", aReserved | aMod, 0, 0},
	{"lateral", aReserved | aMod, 0, 0},
	{"quick", aMod, 0, 0},
	{"no_write_to_binlog", aReserved | aMod, 0, 0},
	{"high_priority", aReserved | aMod | aExpr | aHarmless, 0, 0},
	{"sql_no_cache", aExpr | aHarmless, 0, 0},
	{"sql_cache", aExpr | aHarmless, 0, 0},
	{"sql_small_result", aReserved | aExpr | aHarmless, 0, 0},
	{"sql_big_result", aReserved | aExpr | aHarmless, 0, 0},
	{"sql_buffer_result", aExpr | aHarmless, 0, 0},
	{"null", aReserved | aConst, 0, 0},
	{"true", aReserved | aConst, 0, 0},
	{"false", aReserved | aConst, 0, 0},
}

// synonyms mean the same as another word to this package.
var synonyms = []struct {
	kw    kw
	words []string
}{
	{kwColumns, []string{"fields", "keys", "indexes"}},
	{kwUserLock, []string{"release_lock", "is_used_lock", "is_free_lock"}},
	{kwSequence, []string{"setval", "lastval", "currval"}},
	{kwLogBin, []string{
		"gtid_next", "gtid_domain_id", "gtid_seq_no", "server_id", "skip_replication", "pseudo_slave_mode", "pseudo_replica_mode",
	}},
	{kwWarningCount, []string{"error_count"}},
	{kwCharset, []string{
		"_armscii8", "_ascii", "_big5", "_cp1250", "_cp1251", "_cp1256", "_cp1257", "_cp850", "_cp852", "_cp866",
		"_cp932", "_dec8", "_eucjpms", "_euckr", "_gb18030", "_gb2312", "_gbk", "_geostd8", "_greek", "_hebrew",
		"_hp8", "_keybcs2", "_koi8r", "_koi8u", "_latin1", "_latin2", "_latin5", "_latin7", "_macce", "_macroman",
		"_sjis", "_swe7", "_tis620", "_ucs2", "_ujis", "_utf16", "_utf16le", "_utf32", "_utf8", "_utf8mb3",
		"_utf8mb4",
	}},
}

// maxWord is the longest word in the table; wordSlots is a power of two, several times as many as there are words.
const (
	maxWord   = 24
	wordSlots = 1024
)

// wordTable finds words by their bytes in lower case: three eight-byte words and a length. It never changes once built.
type wordTable struct {
	slots [wordSlots]uint16 // index into rows, 0: free; linear probing
	rows  []wordRow
}

type wordRow struct {
	a, b, c uint64
	n       int
	kw      kw
	attr    attr
}

var words = buildWords()

func buildWords() *wordTable {
	t := &wordTable{rows: make([]wordRow, 1)}
	for i, k := range keywords {
		if i > 0 {
			t.put(k.word, kw(i), k.attr)
		}
	}
	for _, s := range synonyms {
		for _, w := range s.words {
			t.put(w, s.kw, keywords[s.kw].attr)
		}
	}
	return t
}

func (t *wordTable) put(word string, k kw, a attr) {
	text := []byte(word)
	r := wordRow{n: len(word), kw: k, attr: a}
	r.a, r.b, r.c = pack(text, 0, len(text))
	i := slotOf(r.a, r.b, r.c, r.n)
	for t.slots[i] != 0 {
		i = (i + 1) % wordSlots
	}
	t.slots[i] = uint16(len(t.rows))
	t.rows = append(t.rows, r)
}

// pack packs text[i:i+n], n up to maxWord, in lower case.
func pack(text []byte, i, n int) (a, b, c uint64) {
	a = lower8(load(text, i, min(n, 8)))
	if n > 8 {
		b = lower8(load(text, i+8, min(n-8, 8)))
		if n > 16 {
			c = lower8(load(text, i+16, n-16))
		}
	}
	return a, b, c
}

func slotOf(a, b, c uint64, n int) int {
	return int(mix(a, b^c<<7, uint64(n)) % wordSlots)
}

// find returns the row of text[i:i+n]; row 0, kwNone, where there is none.
func (t *wordTable) find(text []byte, i, n int) *wordRow {
	if n > maxWord || n < 2 {
		return &t.rows[0]
	}
	a, b, c := pack(text, i, n)
	for s := slotOf(a, b, c, n); ; s = (s + 1) % wordSlots {
		r := &t.rows[t.slots[s]]
		if t.slots[s] == 0 || r.a == a && r.b == b && r.c == c && r.n == n {
			return r
		}
	}
}
