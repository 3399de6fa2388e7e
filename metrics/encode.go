package metrics

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// NumBuckets is how many buckets a histogram has. All histograms have the same ones.
const NumBuckets = numBlocks << subBits

// The bounds of an encoded snapshot. They are far above what can be counted, and low enough that the sum of very many
// snapshots does not overflow.
const (
	maxEncodedCount = 1 << 48
	maxEncodedSum   = 1 << 60
	maxEncodedMax   = 1 << 53 // ns, 104 days: maxima are kept as they were, beyond the last bucket too
)

// Append appends the snapshot in a compact form that [Snapshot.MergeEncoded] reads: only the buckets in use, one byte
// for most of them.
//
//	used     uvarint: how many buckets are not empty; if 0, nothing follows
//	buckets  in ascending order, uvarint each: a count, or 0 and then how many empty buckets are left out
//	sum, max uvarint, ns
func (s *Snapshot) Append(dst []byte) []byte {
	used := 0
	for _, b := range s.blocks {
		if b == nil {
			continue
		}
		for _, n := range b {
			if n != 0 {
				used++
			}
		}
	}
	dst = binary.AppendUvarint(dst, uint64(used))
	if used == 0 {
		return dst
	}
	next := 0 // bucket that a reader expects
	for i, b := range s.blocks {
		if b == nil {
			continue
		}
		for j, n := range b {
			if n == 0 {
				continue
			}
			at := i<<subBits + j
			if at > next {
				dst = append(dst, 0)
				dst = binary.AppendUvarint(dst, uint64(at-next))
			}
			dst = binary.AppendUvarint(dst, n)
			next = at + 1
		}
	}
	dst = binary.AppendUvarint(dst, min(s.Sum, maxEncodedSum))
	return binary.AppendUvarint(dst, uint64(min(max(s.Max, 0), maxEncodedMax)))
}

var errShort = errors.New("histogram ends early")

// CheckEncoded reads an encoded snapshot at the start of src and returns how many bytes it takes, or why it is none.
func CheckEncoded(src []byte) (n int, err error) {
	used, n := binary.Uvarint(src)
	switch {
	case n <= 0:
		return 0, errShort
	case used == 0:
		return n, nil
	case used > NumBuckets:
		return 0, fmt.Errorf("histogram of %d buckets, of at most %d", used, NumBuckets)
	}
	var count uint64
	next := uint64(0)
	for skipped := false; used > 0; {
		v, w := binary.Uvarint(src[n:])
		if w <= 0 {
			return 0, errShort
		}
		n += w
		if v == 0 {
			gap, w := binary.Uvarint(src[n:])
			if w <= 0 {
				return 0, errShort
			}
			if gap == 0 || gap > NumBuckets || skipped {
				return 0, fmt.Errorf("histogram leaves out %d buckets after bucket %d", gap, next)
			}
			n, next, skipped = n+w, next+gap, true
			continue
		}
		if next >= NumBuckets {
			return 0, fmt.Errorf("histogram has bucket %d, of %d", next, NumBuckets)
		}
		if v > maxEncodedCount || count+v > maxEncodedCount {
			return 0, fmt.Errorf("histogram counts %d more in bucket %d, of at most %d", v, next, uint64(maxEncodedCount))
		}
		count, next, skipped, used = count+v, next+1, false, used-1
	}
	sum, w := binary.Uvarint(src[n:])
	if w <= 0 {
		return 0, errShort
	}
	n += w
	top, w := binary.Uvarint(src[n:])
	if w <= 0 {
		return 0, errShort
	}
	low, _ := bucketRange(int(next - 1))
	if sum > maxEncodedSum || top > maxEncodedMax || top < uint64(low) {
		return 0, fmt.Errorf("histogram with sum %d and maximum %d, its last bucket starts at %d", sum, top, low)
	}
	return n + w, nil
}

// MergeEncoded adds the encoded snapshot at the start of src and returns how many bytes it takes. On an error, which
// [CheckEncoded] finds too, s is as before.
func (s *Snapshot) MergeEncoded(src []byte) (int, error) {
	size, err := CheckEncoded(src)
	if err != nil {
		return 0, err
	}
	used, n := binary.Uvarint(src)
	if used == 0 {
		return size, nil
	}
	at := 0
	for used > 0 {
		v := uint64(src[n])
		if v < 0x80 {
			n++
		} else {
			var w int
			v, w = binary.Uvarint(src[n:])
			n += w
		}
		if v == 0 {
			gap, w := binary.Uvarint(src[n:])
			n += w
			at += int(gap)
			continue
		}
		s.block(at >> subBits)[at&(subBuckets-1)] += v
		s.Count += v
		at++
		used--
	}
	sum, w := binary.Uvarint(src[n:])
	top, _ := binary.Uvarint(src[n+w:])
	s.Sum += sum
	s.Max = max(s.Max, int64(top))
	return size, nil
}

// MergeShare adds the part'th of parts equal shares of the durations of o: the shares of all parts, merged, are o
// again. Buckets that cannot be divided evenly give their rest to different shares. parts is at least 1, part from 0 to
// parts-1.
func (s *Snapshot) MergeShare(o *Snapshot, part, parts uint64) {
	var before uint64 // counts in the buckets up to here, so that single ones go to different shares
	for i, from := range o.blocks {
		if from == nil {
			continue
		}
		for j, n := range from {
			if n == 0 {
				continue
			}
			share := Share(before+n, part, parts) - Share(before, part, parts)
			before += n
			if share == 0 {
				continue
			}
			s.block(i)[j] += share
			s.Count += share
			_, high := bucketRange(i<<subBits + j)
			if i<<subBits+j == NumBuckets-1 {
				high = o.Max // the last bucket holds all that is longer
			}
			s.Max = max(s.Max, min(high, o.Max))
		}
	}
	if o.Count > 0 { // sums are dealt with the counts, so that no share has a sum and no durations
		s.Sum += portion(o.Sum, dealt(o.Count, part+1, parts), o.Count) - portion(o.Sum, dealt(o.Count, part, parts), o.Count)
	}
}

// dealt returns how many of n things the first players get together; see Share.
func dealt(n, players, parts uint64) uint64 { return n/parts*players + min(players, n%parts) }

// portion returns sum*of/all, where of is at most all.
func portion(sum, of, all uint64) uint64 {
	hi, lo := bits.Mul64(sum, of)
	if hi >= all {
		return sum // of is all: hi is less otherwise
	}
	q, _ := bits.Div64(hi, lo, all)
	return q
}

// Share returns how many of n things, dealt one by one to parts players, the part'th gets.
func Share(n, part, parts uint64) uint64 {
	share := n / parts
	if part < n%parts {
		share++
	}
	return share
}
