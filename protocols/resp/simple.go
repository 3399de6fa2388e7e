package resp

// ScanSimple returns the length of the reply at the start of buf if that is whole and one of the kinds that most
// replies are: '+', '-', ':', '$' or the RESP3 null '_'. It returns 0 for everything else, malformed bytes included:
// ReplyScanner decides then. Whatever it accepts, ReplyScanner accepts with the same length.
func ScanSimple(buf []byte) int {
	if len(buf) < 3 {
		return 0
	}
	switch buf[0] {
	case '$':
		n, next := shortLength(buf, 1)
		if next == 0 {
			if len(buf) >= 5 && buf[1] == '-' && buf[2] == '1' && buf[3] == '\r' && buf[4] == '\n' {
				return 5
			}
			return 0
		}
		end := next + n
		if end+2 > len(buf) || buf[end] != '\r' || buf[end+1] != '\n' {
			return 0
		}
		return end + 2
	case '+', '-':
		for i := 1; i < len(buf)-1; i++ {
			if c := buf[i]; c == '\r' {
				if buf[i+1] == '\n' {
					return i + 2
				}
				return 0
			} else if c == '\n' {
				return 0
			}
		}
	case ':':
		i := 1
		if buf[1] == '-' || buf[1] == '+' {
			i = 2
		}
		from := i
		for i < len(buf) && buf[i]-'0' <= 9 {
			i++
		}
		if i == from || i-from > maxIntDigits || i+1 >= len(buf) || buf[i] != '\r' || buf[i+1] != '\n' {
			return 0
		}
		return i + 2
	case '_':
		if buf[1] == '\r' && buf[2] == '\n' {
			return 3
		}
	}
	return 0
}
