package sql

// TableName appends the name in raw, a Span of Statement.Tables, to dst and returns it: db.table or table, without
// backquotes or double quotes, white space and comments. A dot or a quote inside a quoted part stays as it is.
func TableName(dst, raw []byte) []byte {
	l := newLexer(raw, AnsiQuotes)
	for l.next(); l.tok.kind != tEOF; l.next() {
		switch t := &l.tok; t.kind {
		case tDot:
			dst = append(dst, '.')
		case tWord:
			dst = append(dst, raw[t.start:t.end]...)
		case tQuoted:
			for i := t.from; i < t.to; i++ {
				dst = append(dst, raw[i])
				if raw[i] == t.quote {
					i++ // doubled
				}
			}
		}
	}
	return dst
}
