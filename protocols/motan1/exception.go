package motan1

import "unicode/utf16"

// The Java classes of Motan's exceptions.
const (
	ClassBiz       = "com.weibo.api.motan.exception.MotanBizException"       // what the method threw
	ClassService   = "com.weibo.api.motan.exception.MotanServiceException"   // the service could not be called
	ClassFramework = "com.weibo.api.motan.exception.MotanFrameworkException" // what was sent could not be read
)

const classErrorMsg = "com.weibo.api.motan.exception.MotanErrorMsg"

// maxMessage is how many characters of a message are written, in UTF-16.
const maxMessage = 8 << 10

// Exception is what an exception reply says.
type Exception struct {
	Class   string // ClassService if empty
	Status  int32  // as of HTTP: 503 for most of what an agent says
	Code    int32  // Motan's: 10001 service error, 10002 rejected, 10003 timeout, 10101 not found, 20003 not decodable
	Message string // cut after 8,192 characters
}

// AppendException appends the reply that makes Java throw e. Its value is in Hessian 2, Java's default: nothing in a frame
// says what serialization a caller wants. A class of more than 65,535 bytes becomes ClassService.
//
// Of the exception's fields only Motan's own are written, the text and the codes. What all Java exceptions have, stack and
// cause, keeps what its constructor gives it.
func AppendException(dst []byte, v Version, id uint64, ms int64, e Exception) []byte {
	if e.Class == "" || checkUTF(e.Class) != nil {
		e.Class = ClassService
	}
	value := appendHessianClass(nil, e.Class, "errorMsg", "motanErrorMsg")
	value = append(value, 0x60) // an object of the first class
	value = appendHessianString(value, e.Message)
	value = appendHessianClass(value, classErrorMsg, "status", "errorcode", "message")
	value = append(value, 0x61) // an object of the second class
	value = appendHessianInt(value, e.Status)
	value = appendHessianInt(value, e.Code)
	value = appendHessianString(value, e.Message)
	out, _ := appendObject(dst, v, KindException, id, ms, e.Class, value) // far from too long
	return out
}

// appendHessianClass appends the definition of a class.
func appendHessianClass(dst []byte, name string, fields ...string) []byte {
	dst = appendHessianString(append(dst, 'C'), name)
	dst = appendHessianInt(dst, int32(len(fields)))
	for _, f := range fields {
		dst = appendHessianString(dst, f)
	}
	return dst
}

// appendHessianInt appends an int in one to five bytes.
func appendHessianInt(dst []byte, v int32) []byte {
	switch {
	case v >= -0x10 && v < 0x30:
		return append(dst, byte(0x90+v))
	case v >= -0x800 && v < 0x800:
		return append(dst, byte(0xc8+v>>8), byte(v))
	case v >= -0x40000 && v < 0x40000:
		return append(dst, byte(0xd4+v>>16), byte(v>>8), byte(v))
	}
	return append(dst, 'I', byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

// appendHessianString appends at most maxMessage characters of s. A string's length is that in UTF-16, and its bytes are
// the UTF-8 of each part of UTF-16.
func appendHessianString(dst []byte, s string) []byte {
	n := 0
	for i, r := range s {
		k := utf16.RuneLen(r)
		if n+k > maxMessage {
			s = s[:i]
			break
		}
		n += k
	}
	switch {
	case n < 0x20:
		dst = append(dst, byte(n))
	case n < 0x400:
		dst = append(dst, byte(0x30+n>>8), byte(n))
	default:
		dst = append(dst, 'S', byte(n>>8), byte(n))
	}
	for _, r := range s {
		dst = appendSurrogates(dst, r)
	}
	return dst
}
