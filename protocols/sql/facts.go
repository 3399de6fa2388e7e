package sql

// seek says what verb is being looked for.
type seek uint8

const (
	seekStart seek = iota // the statement has not begun
	seekNone
	seekMain // behind EXPLAIN or ANALYZE: a verb at depth at
	seekWith // behind WITH: a verb at depth at, past the queries that get names
	seekFor  // behind SET STATEMENT: the FOR at depth 0
)

// facts finds out what the statements of a text are, token by token.
type facts struct {
	text []byte
	st   *Statement
	lex  *lexer

	present // statement

	seen  bool // a statement has ended
	total Kind // of the statements that have ended
}

// present is what is known about the present statement so far. The zero value is that of one that has not begun.
type present struct {
	verb    Verb
	kind    Kind
	flags   Flags
	seek    seek
	explain bool   // EXPLAIN or DESCRIBE: what is behind does not run
	inner   bool   // EXPLAIN ANALYZE or ANALYZE: what is behind runs
	harm    bool   // an executable comment holds more than harmless words
	depth   int    // of parentheses
	at      int    // depth at which the verb is looked for
	n       int    // tokens so far
	words   int    // keywords and names so far
	prev    past   // the last token
	prev2   past   // the one before
	insert  bool   // LAST_INSERT_ID( has just been seen
	alone   uint8  // tokens of SELECT RELEASE_ALL_LOCKS ( ) so far
	killed  bool   // KILL has an id
	target  target // of SET
	tables  tables
}

// past is what is left of a token once the next one is there.
type past struct {
	kind     tokKind
	attr     attr
	kw       kw
	from, to int32 // the name of tQuoted
}

// begin begins another statement.
func (f *facts) begin() { f.present = present{} }

// token takes the next token.
func (f *facts) token(t *token) {
	if t.kind == tSemi {
		f.finish(t.start)
		return
	}
	if f.n == 0 && f.seen {
		f.st.Flags |= Multi
	}
	if f.insert {
		f.insert = false
		if t.kind == tRParen {
			f.flags |= ReadsInsertID
		} else {
			f.flags |= SetsInsertID
		}
	}
	if f.n <= 4 {
		f.lone(t)
	}
	if f.seek == seekStart && !mayBegin(t.kind) {
		f.seek, f.kind = seekNone, Unknown
	}
	switch t.kind {
	case tWord, tQuoted:
		f.words++
		f.word(t)
	case tLParen:
		f.open()
	case tRParen:
		f.depth = max(0, f.depth-1)
	case tUserVar:
		f.userVar()
	case tSysVar:
		f.variable(t)
	case tOp:
		f.op(t)
	case tLit:
		f.literal(t)
	case tExecOpen:
		f.flags |= ExecutableComment
	}
	if f.lex.exec > 0 && t.kind != tExecOpen && t.attr&aHarmless == 0 {
		f.harm = true
	}
	if f.verb == VerbSet && f.target != targetNone {
		f.set(t)
	}
	f.tables.token(f, t)
	if f.lex.hints {
		f.lex.hints = f.words == 0 && (t.kind == tLParen || t.kind == tExecOpen) || f.words == 1 && t.kind == tWord
	}
	f.prev2, f.prev = f.prev, past{t.kind, t.attr, t.kw, int32(t.from), int32(t.to)}
	f.n++
}

// mayBegin tells whether a statement's verb can be this token or come behind it.
func mayBegin(k tokKind) bool {
	return k == tWord || k == tQuoted || k == tLParen || k == tExecOpen || k == tExecClose
}

// word takes a keyword or a name.
func (f *facts) word(t *token) {
	switch {
	case f.prev.kind == tDot && f.prev2.kind == tSysVar:
		f.variable(t)
	case f.prev.kind == tDot: // s.nextval in MariaDB's sql_mode ORACLE
		f.on(words.find(f.text, t.from, t.to-t.from).kw == kwSequence, Sequence)
	case f.prev.kw == kwBegin && f.verb == VerbBegin && t.kw != kwWork: // a block of statements
		f.kind, f.flags = Write, f.flags|Compound
	}
	switch f.seek {
	case seekStart:
		f.start(t.kw)
	case seekMain:
		f.main(t.kw)
	case seekWith:
		if f.depth == f.at {
			f.found(t.kw)
		}
	case seekFor:
		if t.kw == kwFor && f.depth == 0 {
			f.seek, f.target = seekStart, targetNone
		}
	}
	if f.verb == VerbKill {
		f.killWord(t.kw)
	}
	if t.kw != kwNone {
		f.clause(t.kw)
	}
}

// start takes the first word of a statement.
func (f *facts) start(k kw) {
	f.seek = seekNone
	f.verb, f.kind, f.at = keywords[k].verb, keywords[k].kind, f.depth
	switch k {
	case kwWith:
		f.seek = seekWith
	case kwExplain, kwDescribe, kwDesc:
		f.seek, f.explain = seekMain, true
	case kwAnalyze:
		f.seek = seekMain
	case kwSet:
		f.target = targetSet
	case kwDeclare, kwCase, kwWhile, kwLoop, kwRepeat, kwIf, kwFor:
		f.flags |= Compound
	}
	f.flags |= verbFlags[f.verb]
}

// verbFlags are the flags that follow from the verb.
var verbFlags = [numVerbs]Flags{
	VerbCall:       Call,
	VerbHandler:    Handler,
	VerbPrepare:    TextPrepare,
	VerbExecute:    TextPrepare,
	VerbDeallocate: TextPrepare,
	VerbKill:       Kill,
	VerbLock:       TableLock,
	VerbBackup:     GlobalReadLock,
	VerbGet:        ReadsWarnings,
	VerbChange:     Secret,
}

// main takes a word behind EXPLAIN or ANALYZE.
func (f *facts) main(k kw) {
	switch {
	case k == kwAnalyze && f.explain:
		f.inner, f.kind = true, Unknown
	case f.depth != f.at:
	case k == kwWith:
		f.seek = seekWith
	case k == kwTable && !f.explain:
		f.seek = seekNone // ANALYZE TABLE
	default:
		f.found(k)
	}
}

// found takes a word that may be the main verb.
func (f *facts) found(k kw) {
	switch k {
	case kwSelect, kwInsert, kwReplace, kwUpdate, kwDelete, kwValues, kwTable:
	default:
		return
	}
	f.seek = seekNone
	switch {
	case f.inner, f.verb == VerbAnalyze:
		f.kind = keywords[k].kind
	case !f.explain:
		f.verb, f.kind = keywords[k].verb, keywords[k].kind
	}
	f.tables.main(f)
}

// clause looks at a keyword anywhere in a statement.
func (f *facts) clause(k kw) {
	last := f.prev.kw
	switch k {
	case kwUpdate, kwShare:
		f.on(last == kwFor, LockingRead)
	case kwIn:
		f.on(last == kwLock, LockingRead)
	case kwOutfile, kwDumpfile:
		f.flags |= IntoFile
	case kwFor:
		f.on(last == kwValue && (f.prev2.kw == kwNext || f.prev2.kw == kwPrevious), Sequence)
	case kwCalcFoundRows:
		f.flags |= CalcFoundRows
	case kwReturning:
		f.on(f.depth == f.at && f.verb >= VerbInsert && f.verb <= VerbDelete, Returning)
	case kwIdentified:
		f.flags |= Secret
	case kwTemporary:
		f.on(f.depth == 0 && (f.verb == VerbCreate || f.verb == VerbDrop), TempTable)
	case kwWarnings, kwErrors:
		f.on(f.verb == VerbShow, ReadsWarnings)
	case kwRowCount:
		f.on(f.verb == VerbGet, ReadsRowCount) // GET DIAGNOSTICS @n = ROW_COUNT
	case kwLock:
		f.on(f.verb == VerbFlush && last == kwRead, GlobalReadLock)
	case kwExport:
		f.on(f.verb == VerbFlush && last == kwFor, GlobalReadLock)
	case kwLocal:
		f.on(f.verb == VerbLoad && f.words <= 4, LoadLocal) // LOAD DATA LOW_PRIORITY LOCAL
	case kwOnly:
		f.on(f.verb == VerbBegin && last == kwRead, ReadOnlyTxn)
	case kwPrepare:
		if f.verb == VerbDrop && last == kwDrop {
			f.kind, f.flags = Session, f.flags|TextPrepare
		}
	case kwTransaction:
		if f.verb == VerbStart && last == kwStart {
			f.verb, f.kind = VerbBegin, Txn
		}
	}
}

// on sets a flag under a condition.
func (f *facts) on(cond bool, flag Flags) {
	if cond {
		f.flags |= flag
	}
}

// open takes an opening parenthesis.
func (f *facts) open() {
	switch {
	case f.prev.kind == tWord && f.prev.attr&aFunc != 0:
		f.call(f.prev.kw)
	case f.prev.kind == tQuoted && f.prev2.kind != tDot:
		f.call(words.find(f.text, int(f.prev.from), int(f.prev.to-f.prev.from)).kw)
	}
	f.depth++
	switch f.seek {
	case seekStart, seekMain:
		f.at++
	case seekWith:
		if f.prev.kind == tRParen { // WITH x AS (...) (SELECT ...)
			f.at++
		}
	}
	f.on(f.verb == VerbKill, KillOther)
}

// call takes the name in front of a parenthesis.
func (f *facts) call(k kw) {
	switch k {
	case kwUserLock, kwReleaseAllLocks:
		f.flags |= UserLock
	case kwLastInsertID:
		f.insert = true
	case kwFoundRows:
		f.flags |= ReadsFoundRows
	case kwRowCount:
		f.flags |= ReadsRowCount
	case kwConnectionID:
		f.flags |= ConnectionID
	case kwSequence:
		f.flags |= Sequence
	case kwPassword, kwOldPassword:
		f.flags |= Secret
	}
}

// lone counts the tokens of SELECT RELEASE_ALL_LOCKS ( ).
func (f *facts) lone(t *token) {
	ok := false
	switch f.n {
	case 0:
		ok = t.kw == kwSelect || t.kw == kwDo
	case 1:
		ok = t.kw == kwReleaseAllLocks
	case 2:
		ok = t.kind == tLParen
	case 3:
		ok = t.kind == tRParen
	}
	if ok && int(f.alone) == f.n {
		f.alone++
	} else {
		f.alone = 0
	}
}

func (f *facts) userVar() {
	f.on(f.verb == VerbKill, KillOther)
	if f.prev.kind == tLit || f.prev.kind == tQuoted {
		return // 'user'@'host'
	}
	f.flags |= UserVar
	if f.prev.kw == kwInto || f.verb == VerbGet || f.verb == VerbCall || f.verb == VerbLoad {
		f.flags |= AssignsVar
	}
}

// variable takes the name of a system variable that is read, or is the target of SET: set sees to that.
func (f *facts) variable(t *token) {
	f.on(f.verb == VerbKill, KillOther)
	switch words.find(f.text, t.from, t.to-t.from).kw {
	case kwLastInsertID, kwIdentity:
		f.on(f.target == targetNone || f.target == targetValue, ReadsInsertID)
	case kwWarningCount:
		f.flags |= ReadsWarnings
	case kwThreadID:
		f.flags |= ConnectionID
	}
}

func (f *facts) op(t *token) {
	switch c := f.text[t.start]; {
	case c == ':' && t.end-t.start == 2:
		f.on(f.prev.kind == tUserVar, AssignsVar)
	case c == ':' && f.n == 1 && f.words == 1: // label:
		f.begin()
		f.n, f.words, f.flags = 1, 1, Compound
	}
	f.on(f.verb == VerbKill, KillOther)
}

func (f *facts) literal(t *token) {
	switch {
	case f.verb == VerbKill:
		f.killID(t)
	case f.prev.kw == kwPassword:
		f.flags |= Secret
	case f.prev2.kw == kwPassword && f.verb >= VerbCreate:
		f.flags |= Secret // PASSWORD = 'x' in START REPLICA, CREATE SERVER
	}
}
