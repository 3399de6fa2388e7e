package series

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/metrics/report"
)

// maxOutcomes bounds the different outcomes of the fleet; there are a dozen.
const maxOutcomes = 32

// outcomes numbers the words for how calls end. ok is 0, and the last number is for all that have no room. Numbers are
// never taken back.
type outcomes struct {
	mu    sync.Mutex // a leaf
	names []string
}

func newOutcomes() *outcomes { return &outcomes{names: []string{"ok"}} }

func (o *outcomes) number(name string) uint8 {
	o.mu.Lock()
	defer o.mu.Unlock()
	if i := slices.Index(o.names, name); i >= 0 {
		return uint8(i)
	}
	if len(o.names) >= maxOutcomes-1 || name == metrics.Overflow {
		return maxOutcomes - 1
	}
	o.names = append(o.names, name)
	return uint8(len(o.names) - 1)
}

// list returns the words by number. It must not be changed.
func (o *outcomes) list() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.names
}

// translation says which number the outcomes of a block have in this process.
type translation [maxOutcomes]uint8

// same is the translation of what this process numbered itself.
var same = func() (t translation) {
	for i := range t {
		t[i] = uint8(i)
	}
	return t
}()

// sum is what some calls have in common: how many, how they ended, how long they took. It is merged exactly.
type sum struct {
	outcomes [maxOutcomes]uint64
	slow     uint64
	in, out  uint64 // bytes
	latency  metrics.Snapshot
}

func (s *sum) reset() {
	s.outcomes = [maxOutcomes]uint64{}
	s.slow, s.in, s.out = 0, 0, 0
	s.latency.Reset()
}

func (s *sum) calls() (n uint64) {
	for _, c := range s.outcomes {
		n += c
	}
	return n
}

// append encodes the sum:
//
//	outcomes  how many, then (number, calls) each
//	slow, bytes in, bytes out
//	latency   as metrics.Snapshot.Append does
func (s *sum) append(dst []byte) []byte {
	used := 0
	for _, n := range s.outcomes {
		if n != 0 {
			used++
		}
	}
	dst = append(dst, byte(used))
	for i, n := range s.outcomes {
		if n != 0 {
			dst = binary.AppendUvarint(append(dst, byte(i)), n)
		}
	}
	dst = binary.AppendUvarint(dst, s.slow)
	dst = binary.AppendUvarint(dst, s.in)
	dst = binary.AppendUvarint(dst, s.out)
	return s.latency.Append(dst)
}

// appendCell encodes what a report says of a cell as the sum that it is, without unpacking its latencies.
func appendCell(dst []byte, c *report.Cell, names *outcomes) []byte {
	dst = append(dst, byte(len(c.Outcomes)))
	for _, o := range c.Outcomes {
		dst = binary.AppendUvarint(append(dst, names.number(o.Name)), o.Calls)
	}
	dst = binary.AppendUvarint(dst, c.Slow)
	dst = binary.AppendUvarint(dst, c.BytesIn)
	dst = binary.AppendUvarint(dst, c.BytesOut)
	return append(dst, c.Latency...)
}

// appendCount encodes a plain number as a sum, whose calls it is.
func appendCount(dst []byte, n uint64) []byte {
	dst = binary.AppendUvarint(append(dst, 1, 0), n)
	return append(dst, 0, 0, 0, 0)
}

var errShort = errors.New("it ends early")

// merge adds an encoded sum, whose outcomes t translates. On an error s may have part of it.
func (s *sum) merge(src []byte, t *translation) error {
	if len(src) == 0 {
		return errShort
	}
	used := src[0]
	src = src[1:]
	for range used {
		if len(src) == 0 {
			return errShort
		}
		if src[0] >= maxOutcomes {
			return fmt.Errorf("outcome %d, of %d", src[0], maxOutcomes)
		}
		n, w := binary.Uvarint(src[1:])
		if w <= 0 {
			return errShort
		}
		s.outcomes[t[src[0]]] += n
		src = src[1+w:]
	}
	for _, into := range []*uint64{&s.slow, &s.in, &s.out} {
		n, w := binary.Uvarint(src)
		if w <= 0 {
			return errShort
		}
		*into += n
		src = src[w:]
	}
	n, err := s.latency.MergeEncoded(src)
	if err == nil && n != len(src) {
		err = fmt.Errorf("%d bytes follow a sum", len(src)-n)
	}
	return err
}

// add adds another sum.
func (s *sum) add(o *sum) {
	for i, n := range o.outcomes {
		s.outcomes[i] += n
	}
	s.slow += o.slow
	s.in += o.in
	s.out += o.out
	s.latency.Merge(&o.latency)
}

// share makes s the part'th of parts equal shares of o.
func (s *sum) share(o *sum, part, parts uint64) {
	s.reset()
	for i, n := range o.outcomes {
		s.outcomes[i] = metrics.Share(n, part, parts)
	}
	s.slow = metrics.Share(o.slow, part, parts)
	s.in = metrics.Share(o.in, part, parts)
	s.out = metrics.Share(o.out, part, parts)
	s.latency.MergeShare(&o.latency, part, parts)
}

// quantiles stores in into[i] the duration in ns that a share qs[i] of all does not exceed; qs must ascend.
//
// Within its bucket a duration is placed by its rank, as if the bucket's durations were spread evenly, and then drawn
// to where it is at most 1.95 % off every duration that the bucket may hold. So the result is never more than 2 % off,
// whatever the durations are, and within 1.2 % where they are spread, which the middle of the bucket, up to 1.6 % off,
// is not.
func quantiles(s *metrics.Snapshot, qs []float64, into []int64) {
	clear(into)
	if s.Count == 0 {
		return
	}
	var before uint64
	next := 0
	s.Each(func(low, high int64, n uint64) {
		for ; next < len(qs); next++ {
			rank := max(math.Ceil(qs[next]*float64(s.Count)), 1)
			if rank > float64(before+n) {
				break
			}
			at := float64(low) + (rank-float64(before)-0.5)/float64(n)*float64(high-low+1)
			at = min(max(at, float64(high)*(1-maxOff), float64(low)), float64(low)*(1+maxOff), float64(high))
			into[next] = min(int64(at+0.5), s.Max)
		}
		before += n
	})
	for ; next < len(qs); next++ {
		into[next] = s.Max
	}
}

// maxOff is how far a quantile may be from any duration in its bucket, whose width is at most 1/32 of its low end.
const maxOff = 0.0195
