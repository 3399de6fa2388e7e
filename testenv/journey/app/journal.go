package main

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Report is what the program says in the end. All times are Unix time in milliseconds.
type Report struct {
	OK       map[string]map[int64]int // calls answered well, by operation and tenth of a second (time / 100)
	Errors   []Error
	Findings []Finding
	Writes   map[string]int // by outcome
	Checked  int            // writes that were looked up in the end
}

// Error is a call that was answered with an error.
type Error struct {
	At   int64
	Op   string
	Word string // first word of an error reply, or CONNECT, CLOSED or NOREPLY for what is no reply
	Text string
}

// Finding is something that should not be, or that must have a reason outside of this program.
type Finding struct {
	// Kind is wrong (a reply that its call cannot have), refused (a refused write took effect), repeated, lost (an
	// acknowledged write is gone) or stale (a read returned less than what was acknowledged before).
	Kind    string
	From    int64 // when what is missing or came twice was acknowledged first
	To      int64 // when that was noticed; 0: in the end
	Durable bool  // it had reached the replicas
	// Count writes are lost, nobody knows which; they are among those acknowledged at these times. 0: From says it.
	Count int     `json:",omitempty"`
	Among []int64 `json:",omitempty"`
	Text  string
}

// outcome is what is known about a write.
type outcome uint8

const (
	pending outcome = iota
	refused         // it was not executed
	unknown         // it may have been executed
	acked           // the server said so
	durable         // and its replicas, too
)

var outcomeNames = [...]string{"pending", "refused", "unknown", "acked", "durable"}

// journal collects what the workers see.
type journal struct {
	mu   sync.Mutex // guards all
	rep  Report
	all  []*ledger
	most int // findings that are kept
}

func newJournal() *journal {
	return &journal{rep: Report{OK: map[string]map[int64]int{}, Writes: map[string]int{}}, most: 2000}
}

func now() int64 { return time.Now().UnixMilli() }

// call notes how a call ended and returns the word of its error, "" when it ended well. Answers that are no failure,
// such as nil, end well.
func (j *journal) call(op string, err error) string {
	at := now()
	j.mu.Lock()
	defer j.mu.Unlock()
	if err == nil || errors.Is(err, redis.Nil) || errors.Is(err, redis.TxFailedErr) {
		if j.rep.OK[op] == nil {
			j.rep.OK[op] = map[int64]int{}
		}
		j.rep.OK[op][at/100]++
		return ""
	}
	word := wordOf(err)
	j.rep.Errors = append(j.rep.Errors, Error{at, op, word, err.Error()})
	return word
}

func (j *journal) find(f Finding, format string, args ...any) {
	f.Text = fmt.Sprintf(format, args...)
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.rep.Findings) < j.most {
		j.rep.Findings = append(j.rep.Findings, f)
	}
}

// wrong notes a reply that its call cannot have.
func (j *journal) wrong(format string, args ...any) {
	j.find(Finding{Kind: "wrong", To: now()}, format, args...)
}

func (j *journal) checked(n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.rep.Checked += n
}

func (j *journal) report() *Report {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, l := range j.all {
		for _, w := range l.writes {
			j.rep.Writes[outcomeNames[w.is]]++
		}
	}
	return &j.rep
}

// wordOf names an error.
func wordOf(err error) string {
	var reply redis.Error
	if errors.As(err, &reply) {
		word, _, _ := strings.Cut(reply.Error(), " ")
		return word
	}
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op == "dial":
		return "CONNECT"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "NOREPLY"
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), op != nil:
		return "CLOSED"
	}
	return fmt.Sprintf("%T", err)
}

// outcomeOf says what an error word tells about a write. Redis and whoever stands before it promise with some words that
// nothing was executed.
func outcomeOf(word string) outcome {
	switch word {
	case "":
		return acked
	case "UNAVAILABLE", "LIMITED", "DEGRADED", "BREAKER", "NOPERM", "ERR", "READONLY", "LOADING", "MASTERDOWN", "EXECABORT", "CONNECT":
		return refused
	}
	return unknown
}

// ledger holds all writes of one client to one key, by sequence.
type ledger struct {
	key, client string

	mu     sync.Mutex // guards writes
	writes []write
}

type write struct {
	is outcome
	at int64 // when it was acknowledged
}

func (j *journal) ledger(key, client string) *ledger {
	l := &ledger{key: key, client: client}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.all = append(j.all, l)
	return l
}

// next begins a write and returns its sequence and value.
func (l *ledger) next() (seq int, value string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writes = append(l.writes, write{})
	seq = len(l.writes) - 1
	return seq, encode(l.key, l.client, seq)
}

func (l *ledger) end(seq int, is outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writes[seq] = write{is, now()}
}

// last returns the latest acknowledged write, -1 if there is none.
func (l *ledger) last() (seq int, w write) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.writes) - 1; i >= 0; i-- {
		if l.writes[i].is >= acked {
			return i, l.writes[i]
		}
	}
	return -1, write{}
}

// get returns a write; ok is false when there is none of this sequence.
func (l *ledger) get(seq int) (w write, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if seq < 0 || seq >= len(l.writes) {
		return write{}, false
	}
	return l.writes[seq], true
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encode makes a value: key|client|sequence|CRC.
func encode(key, client string, seq int) string {
	v := key + "|" + client + "|" + strconv.Itoa(seq) + "|"
	return v + fmt.Sprintf("%08x", crc32.Checksum([]byte(v), castagnoli))
}

// decode returns the sequence of a value of this key and client.
func decode(v, key, client string) (int, error) {
	f := strings.Split(v, "|")
	if len(f) != 4 {
		return 0, fmt.Errorf("%.80q is no value of this program", v)
	}
	seq, err := strconv.Atoi(f[2])
	if err != nil || encode(f[0], f[1], seq) != v {
		return 0, fmt.Errorf("%.80q is damaged", v)
	}
	if f[0] != key || client != "" && f[1] != client {
		return 0, fmt.Errorf("%.80q belongs to another key or client than %s of %s", v, key, client)
	}
	return seq, nil
}
