package mysql

import "bytes"

// filling fills values; it has the bytes that quoting must get right.
var filling = bytes.Repeat([]byte("abcdefghijklm'\"\\\x00\n\r\x1a%_;?`-- "), 30)
