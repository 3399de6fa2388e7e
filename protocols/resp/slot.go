package resp

import "bytes"

// Slots is the number of hash slots of a Redis Cluster.
const Slots = 16384

// HashTag returns the part of a key that decides its slot: what is between the first '{' and the next '}' if that is
// not empty, else the whole key.
func HashTag(key []byte) []byte {
	open := bytes.IndexByte(key, '{')
	if open < 0 {
		return key
	}
	n := bytes.IndexByte(key[open+1:], '}')
	if n <= 0 {
		return key
	}
	return key[open+1 : open+1+n]
}

// Slot returns the Redis Cluster slot of a key: CRC16 (XMODEM) of its hash tag, modulo 16,384.
func Slot(key []byte) uint16 {
	var crc uint16
	for _, c := range HashTag(key) {
		crc = crc<<8 ^ crcTable[byte(crc>>8)^c]
	}
	return crc % Slots
}

// crcTable is the byte table of polynomial 0x1021.
var crcTable = func() (t [256]uint16) {
	for i := range t {
		crc := uint16(i) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
		t[i] = crc
	}
	return t
}()
