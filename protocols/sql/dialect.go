package sql

// Dialect says how the server reads a statement's bytes: what the session's sql_mode and client character set change
// for a lexer. The zero value is the default sql_mode with a UTF-8 or ASCII client. Bits may be combined.
type Dialect uint8

const (
	// AnsiQuotes makes "x" an identifier; without it it is a string (sql_mode ANSI_QUOTES; status bit 0x8000 of MariaDB).
	AnsiQuotes Dialect = 1 << iota
	// NoBackslashEscapes makes a backslash in a string an ordinary byte (sql_mode and status bit 0x0200).
	NoBackslashEscapes
	// MariaDB says which server it is. Nothing depends on it yet: where MySQL and MariaDB read a text differently, the
	// reading that is the stricter of the two holds for both.
	MariaDB
	// TrailByte is for client character sets in which the second byte of a character may be an ASCII byte, such as the
	// backslash 0x5C: gbk and gb18030, and with SJIS or Big5 those.
	TrailByte
	// SingleByte is for client character sets with one byte for a character, latin1 and its kind: 0xA0 is white space
	// there, to the server as well. Without it, and without TrailByte, an unquoted name has to be UTF-8.
	SingleByte
	// SJIS narrows TrailByte to the first bytes of sjis and cp932.
	SJIS
	// Big5 narrows TrailByte to the first bytes of big5.
	Big5
)

// CharsetDialect returns the bits for a client character set (character_set_client), in lower case as servers write it:
// "utf8mb4", "gbk". A set with no ASCII byte inside a character needs none; an unknown one gets none.
func CharsetDialect(name string) Dialect {
	switch name {
	case "gbk", "gb18030", "gb2312", "euckr":
		return TrailByte
	case "sjis", "cp932":
		return TrailByte | SJIS
	case "big5":
		return TrailByte | Big5
	case "", "utf8", "utf8mb3", "utf8mb4", "ascii", "binary":
		return 0
	case "latin1", "latin2", "latin5", "latin7", "cp850", "cp852", "cp866", "cp1250", "cp1251", "cp1256", "cp1257", "dec8",
		"hp8", "koi8r", "koi8u", "swe7", "hebrew", "greek", "tis620", "armscii8", "geostd8", "keybcs2", "macce", "macroman",
		"ujis", "eucjpms": // the last two have no ASCII byte and no 0xA0 inside a character
		return SingleByte
	}
	return 0
}

// paired tells whether bytes c1 c2 are one character in the dialect, which has TrailByte.
func (d Dialect) paired(c1, c2 byte) bool {
	switch {
	case d&SJIS != 0:
		lead := c1 >= 0x81 && c1 <= 0x9F || c1 >= 0xE0 && c1 <= 0xFC
		return lead && (c2 >= 0x40 && c2 <= 0x7E || c2 >= 0x80 && c2 <= 0xFC)
	case d&Big5 != 0:
		return c1 >= 0xA1 && c1 <= 0xF9 && (c2 >= 0x40 && c2 <= 0x7E || c2 >= 0xA1 && c2 <= 0xFE)
	}
	return c1 >= 0x81 && c1 <= 0xFE && (c2 >= 0x40 && c2 <= 0x7E || c2 >= 0x80 && c2 <= 0xFE)
}

// charLen returns the length of the character at text[i]: 2 where two bytes belong together, else 1.
func (d Dialect) charLen(text []byte, i int) int {
	if d&TrailByte != 0 && text[i] >= 0x80 && i+1 < len(text) && d.paired(text[i], text[i+1]) {
		return 2
	}
	return 1
}
