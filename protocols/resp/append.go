package resp

import "strconv"

// AppendSimple appends a simple string; line ends in text become blanks.
func AppendSimple(dst []byte, text string) []byte { return appendLine(append(dst, '+'), text) }

// AppendError appends an error reply. Text starts with the error's code ("ERR ...", "NOPERM ..."); line ends in it
// become blanks, so that no text can end the reply early.
func AppendError(dst []byte, text string) []byte { return appendLine(append(dst, '-'), text) }

func appendLine(dst []byte, text string) []byte {
	from := len(dst)
	dst = append(dst, text...)
	for i := from; i < len(dst); i++ {
		if dst[i] == '\r' || dst[i] == '\n' {
			dst[i] = ' '
		}
	}
	return append(dst, '\r', '\n')
}

// AppendInt appends an integer.
func AppendInt(dst []byte, v int64) []byte { return appendHead(dst, ':', v) }

// AppendBulk appends a bulk string; a nil b is the empty string.
func AppendBulk(dst, b []byte) []byte {
	dst = appendHead(dst, '$', int64(len(b)))
	dst = append(dst, b...)
	return append(dst, '\r', '\n')
}

// AppendBulkString appends a bulk string.
func AppendBulkString(dst []byte, s string) []byte {
	dst = appendHead(dst, '$', int64(len(s)))
	dst = append(dst, s...)
	return append(dst, '\r', '\n')
}

// AppendNull appends the null that stands for a missing string: "_" in RESP3, "$-1" in RESP2.
func AppendNull(dst []byte, resp3 bool) []byte {
	if resp3 {
		return append(dst, "_\r\n"...)
	}
	return append(dst, "$-1\r\n"...)
}

// AppendNullArray appends the null that stands for a missing array: "_" in RESP3, "*-1" in RESP2.
func AppendNullArray(dst []byte, resp3 bool) []byte {
	if resp3 {
		return append(dst, "_\r\n"...)
	}
	return append(dst, "*-1\r\n"...)
}

// AppendArray appends the head of an array of n elements.
func AppendArray(dst []byte, n int) []byte { return appendHead(dst, '*', int64(n)) }

// AppendMap appends the head of a map of n pairs; in RESP2 that is an array of 2n elements.
func AppendMap(dst []byte, n int, resp3 bool) []byte {
	if resp3 {
		return appendHead(dst, '%', int64(n))
	}
	return appendHead(dst, '*', 2*int64(n))
}

// AppendPush appends the head of a push of n elements; in RESP2 that is an array.
func AppendPush(dst []byte, n int, resp3 bool) []byte {
	if resp3 {
		return appendHead(dst, '>', int64(n))
	}
	return appendHead(dst, '*', int64(n))
}

// AppendCommand appends a request.
func AppendCommand(dst []byte, args ...string) []byte {
	dst = AppendArray(dst, len(args))
	for _, a := range args {
		dst = AppendBulkString(dst, a)
	}
	return dst
}

// AppendCommandBytes appends a request.
func AppendCommandBytes(dst []byte, args ...[]byte) []byte {
	dst = AppendArray(dst, len(args))
	for _, a := range args {
		dst = AppendBulk(dst, a)
	}
	return dst
}

func appendHead(dst []byte, kind byte, v int64) []byte {
	dst = append(dst, kind)
	if v >= 0 && v < 10 {
		return append(dst, byte('0'+v), '\r', '\n')
	}
	dst = strconv.AppendInt(dst, v, 10)
	return append(dst, '\r', '\n')
}
