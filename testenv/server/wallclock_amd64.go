package server

// clockCode returns a clock_gettime, and where in it the word is that it adds: seconds, as an int64.
//
// It is called like the vDSO's (System V: the clock in edi, the timespec at rsi) and uses only registers that are the
// callee's.
func clockCode() (code []byte, word int) {
	return []byte{
		0xb8, 228, 0, 0, 0, // mov eax, SYS_clock_gettime
		0x0f, 0x05, // syscall
		0x85, 0xff, // test edi, edi: CLOCK_REALTIME is 0
		0x75, 10, // jne over the next two
		0x48, 0x8b, 0x15, 6, 0, 0, 0, // mov rdx, [rip+6]: the word
		0x48, 0x01, 0x16, // add [rsi], rdx
		0xc3,       // ret
		0x90, 0x90, // to a multiple of 8
		0, 0, 0, 0, 0, 0, 0, 0,
	}, 24
}
