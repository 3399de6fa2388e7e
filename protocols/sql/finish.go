package sql

// finish ends the present statement, whose text ends at end.
func (f *facts) finish(end int) {
	if f.n == 0 { // nothing between two semicolons
		return
	}
	f.on(f.alone == 4, ReleasesLocks)
	f.on(f.verb == VerbKill && !f.killed, KillOther)
	k := f.strict()
	if !f.seen {
		f.st.Verb, f.total = f.verb, k
		f.st.First = span(0, end)
	} else {
		f.total = stricter(f.total, k)
	}
	f.st.Flags |= f.flags
	f.tables.close(f)
	f.seen = true
	f.lex.hints = false
	f.begin()
}

// needsPrimary are the flags that make a write of what reads otherwise.
const needsPrimary = LockingRead | IntoFile | UserLock | Sequence

// strict returns the statement's kind with its flags in mind.
func (f *facts) strict() Kind {
	k := f.kind
	if f.flags.Has(SetGlobal) && f.verb == VerbSet {
		k = Admin
	}
	if f.flags.Has(needsPrimary) && (k == Read && (!f.explain || f.inner) || k == Session) {
		k = Write
	}
	if f.flags.Has(Compound) {
		k = stricter(k, Unknown)
	}
	if f.harm {
		k = stricter(k, Write)
	}
	return k
}

// end ends the text.
func (f *facts) end() {
	f.finish(len(f.text))
	st := f.st
	if !f.seen {
		st.First = span(0, len(f.text))
	}
	st.Kind = f.total
	if st.Flags.Has(Multi) {
		st.Flags &^= ReleasesLocks
	}
	if st.Flags.Has(KillOther) {
		st.KillID = 0
	}
	if f.lex.broken {
		st.Flags |= Broken
		st.Kind = Unknown
	}
	st.Hint = f.lex.hint
}

// killWord takes a word of KILL.
func (f *facts) killWord(k kw) {
	switch k {
	case kwHard, kwSoft, kwConnection:
	case kwQuery:
		f.flags |= KillQuery
	default:
		f.on(f.n > 0, KillOther) // USER, QUERY ID, a name
	}
}

// killID takes a literal of KILL: the connection's id if it is the only one of the text, in decimal.
func (f *facts) killID(t *token) {
	if f.killed || f.st.Flags.Has(Kill) {
		f.flags |= KillOther
		return
	}
	var id uint64
	for _, c := range f.text[t.start:t.end] {
		d := uint64(c - '0')
		if d > 9 || id > (1<<64-1-d)/10 {
			f.flags |= KillOther
			return
		}
		id = id*10 + d
	}
	f.killed, f.st.KillID = true, id
}
