package redis

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/protocols/resp"
	"github.com/sluice-mesh/sluice/testenv/server"
)

var (
	seedFlag   = flag.Uint64("differential.seed", 0, "of the random streams; 0: a new one")
	streamFlag = flag.Int("differential.steps", 80, "batches of each random stream")
)

// pair is a client of a server and a client of the agent in front of an equal server. What both are told must be answered
// alike.
type pair struct {
	t      *testing.T
	direct *wire
	agent  *wire
	what   string // for messages
}

// world is two equal servers, one of them behind the agent.
type world struct {
	direct, behind *server.RedisNode
	agent          *agent
}

func newWorld(t *testing.T, set *Settings) *world {
	t.Helper()
	// Hashes as lists keep the order of their fields: the order of a hash table is another in each server.
	args := []string{"--hash-max-listpack-value", "100000"}
	a, b := server.Start(t, server.Redis{Args: args}), server.Start(t, server.Redis{Args: args})
	return &world{a.Primary, b.Primary, startAgent(t, newFake(t, b.Primary.Addr), set)}
}

func (w *world) pair(t *testing.T) *pair {
	t.Helper()
	p := &pair{t: t, direct: dial(t, w.direct.Addr), agent: dial(t, w.agent.addr)}
	p.direct.name, p.agent.name = "server", "agent"
	return p
}

func (w *world) flush() {
	w.direct.Do("FLUSHALL")
	w.behind.Do("FLUSHALL")
}

// batch sends commands in one go and compares the replies, one for each command. enc are the bytes of the commands.
func (p *pair) batch(cmds [][]string, enc []byte, rng *rand.Rand) {
	p.t.Helper()
	p.direct.sendLater(enc, nil)
	p.agent.sendLater(enc, rng)
	for i, c := range cmds {
		want, got := p.direct.reply(), p.agent.reply()
		if w, g := normal(want), normal(got); w != g {
			p.t.Fatalf("%s: command %d of %d, %s\nserver %s\nagent  %s\nfrom byte %d; the batch is\n%s", p.what, i, len(cmds),
				show(strings.Join(c, " ")), show(w), show(g), firstDiff(w, g), showBatch(cmds))
		}
	}
	p.direct.join()
	p.agent.join()
}

func showBatch(cmds [][]string) string {
	var b strings.Builder
	for _, c := range cmds {
		b.WriteString("  ")
		b.WriteString(show(strings.Join(c, " ")))
		b.WriteByte('\n')
	}
	return b.String()
}

// same sends one command to both and returns the reply.
func (p *pair) same(line string) string {
	p.t.Helper()
	c := strings.Fields(line)
	want, got := p.direct.do(c...), p.agent.do(c...)
	if w, g := normal(want), normal(got); w != g {
		p.t.Fatalf("%s: %s\nserver %s\nagent  %s", p.what, line, show(w), show(g))
	}
	return got
}

// helloID is HELLO's answer around the id of the connection.
var helloID = regexp.MustCompile(`(\$5\r\nproto\r\n:[23]\r\n\$2\r\nid\r\n:)\d+`)

// normal takes out of a reply what two servers must answer differently: HELLO names the connection. Nothing else is
// touched.
func normal(r string) string { return helloID.ReplaceAllString(r, "${1}ID") }

// grammar makes random commands out of templates.
type grammar struct {
	rng *rand.Rand
	seq int // of stream entries
}

// Placeholders: $s string key, $l list, $h hash, $t set, $z sorted set, $x stream, $g geo, $p HyperLogLog, $k any key,
// $n small number, $m member or field, $i number as member of a set, $v value, $c score, $e a time far ahead, $d stream id.
//
// Members of sets are numbers, which Redis keeps sorted: strings come in an order that each server chooses anew.
var templates = strings.Split(strings.TrimSpace(`
SET $s $v
SET $s $v NX
SET $s $v XX GET
SET $s $v EXAT $e
SET $s $v KEEPTTL
SET $s $n
SET $s $v EX 0
SETNX $s $v
SETEX $s 100000 $v
PSETEX $s 100000000 $v
GET $s
GET $s
GET $k
GETSET $s $v
GETDEL $s
GETEX $s PERSIST
GETEX $s EXAT $e
MGET $s $s $k nosuch
MSET $s $v $s $v
MSETNX $s $v $s $v
MSET $s
INCR $s
DECR $s
INCRBY $s $n
DECRBY $s $n
INCRBYFLOAT $s 1.5
APPEND $s $v
STRLEN $s
SETRANGE $s $n $v
GETRANGE $s $n -1
SUBSTR $s 0 $n
LCS $s $s
LCS $s $s IDX WITHMATCHLEN
SETBIT $s $n 1
GETBIT $s $n
BITCOUNT $s 0 -1
BITPOS $s 1
BITOP AND $s $s $s
BITOP NOT $s $s
BITFIELD $s SET u8 0 $n GET u4 0 INCRBY i5 $n 1
BITFIELD_RO $s GET u8 $n
LPUSH $l $v $m
RPUSH $l $v $m $m
LPUSHX $l $v
RPUSHX $l $v
LPOP $l
RPOP $l $n
LLEN $l
LRANGE $l 0 -1
LRANGE $l $n $n
LINDEX $l $n
LSET $l $n $v
LINSERT $l BEFORE $m $v
LREM $l $n $m
LTRIM $l 0 20
LPOS $l $m COUNT 0
LMOVE $l $l LEFT RIGHT
RPOPLPUSH $l $l
LMPOP 2 $l $l LEFT COUNT $n
BLPOP $l $l 0.001
BRPOP $l 0.001
BLMOVE $l $l LEFT RIGHT 0.001
BRPOPLPUSH $l $l 0.001
BLMPOP 0.001 1 $l LEFT
BZPOPMIN $z 0.001
BZPOPMAX $z $z 0.001
BZMPOP 0.001 1 $z MAX COUNT $n
BLPOP $l -1
BLPOP $l x
HSET $h $m $v $m $v
HSETNX $h $m $v
HGET $h $m
HMGET $h $m $m nosuch
HMSET $h $m $v
HGETALL $h
HKEYS $h
HVALS $h
HLEN $h
HDEL $h $m
HEXISTS $h $m
HINCRBY $h $m $n
HINCRBYFLOAT $h $m 0.5
HSTRLEN $h $m
HRANDFIELD nosuch
HRANDFIELD nosuch 5 WITHVALUES
HSCAN $h 0
SADD $t $i $i $i
SREM $t $i
SMEMBERS $t
SCARD $t
SISMEMBER $t $i
SMISMEMBER $t $i $i
SINTER $t $t
SUNION $t $t
SDIFF $t $t
SINTERSTORE $t $t $t
SUNIONSTORE $t $t $t
SDIFFSTORE $t $t $t
SINTERCARD 2 $t $t LIMIT $n
SMOVE $t $t $i
EVAL return(redis.call('spop',KEYS[1],1000)) 1 $t
SPOP nosuch
SRANDMEMBER nosuch $n
SSCAN $t 0 COUNT 100
ZADD $z $c $m $c $m
ZADD $z NX CH $c $m
ZADD $z GT INCR $c $m
ZADD $z NX XX $c $m
ZINCRBY $z $c $m
ZSCORE $z $m
ZMSCORE $z $m $m nosuch
ZCARD $z
ZCOUNT $z -inf $c
ZRANK $z $m
ZREVRANK $z $m
ZRANGE $z 0 -1 WITHSCORES
ZRANGE $z (1 $c BYSCORE LIMIT 0 $n
ZRANGE $z - + BYLEX
ZREVRANGE $z 0 $n WITHSCORES
ZRANGEBYSCORE $z -inf +inf WITHSCORES LIMIT 0 $n
ZREVRANGEBYSCORE $z +inf $c
ZLEXCOUNT $z - +
ZREM $z $m
ZREMRANGEBYRANK $z $n $n
ZREMRANGEBYSCORE $z 1 2
ZPOPMIN $z
ZPOPMAX $z $n
ZMPOP 1 $z MIN COUNT $n
ZUNION 2 $z $z WITHSCORES
ZINTER 2 $z $z WEIGHTS 1 2
ZDIFF 2 $z $z
ZUNIONSTORE $z 2 $z $z AGGREGATE MAX
ZINTERCARD 2 $z $z
ZRANGESTORE $z $z 0 -1
ZRANDMEMBER nosuch
ZSCAN $z 0
XADD $x $d f $v g $m
XADD $x MAXLEN 10 $d f $v
XADD $x NOMKSTREAM $d f v
XLEN $x
XRANGE $x - +
XRANGE $x - + COUNT $n
XREVRANGE $x + -
XREAD COUNT 2 STREAMS $x 0
XREAD BLOCK 1 STREAMS $x $
XREAD BLOCK 1 COUNT 1 STREAMS $x $x 0 0
XDEL $x $d
XTRIM $x MAXLEN 5
XGROUP CREATE $x grp 0 MKSTREAM
XGROUP CREATECONSUMER $x grp c1
XGROUP SETID $x grp 0
XGROUP DESTROY $x grp
XREADGROUP GROUP grp c1 COUNT 1 STREAMS $x >
XREADGROUP GROUP grp c1 BLOCK 1 STREAMS $x >
XACK $x grp 1-1
XPENDING $x grp
XINFO STREAM nosuch
XSETID $x 99999-1
GEOADD $g 13.361389 38.115556 $m 15.087269 37.502669 $m
GEOPOS $g $m $m
GEODIST $g $m $m km
GEOHASH $g $m
GEOSEARCH $g FROMLONLAT 15 37 BYRADIUS 200 km ASC WITHCOORD WITHDIST
GEORADIUS $g 15 37 200 km ASC
GEORADIUS_RO $g 15 37 200 km ASC
GEORADIUSBYMEMBER $g $m 100 km ASC
GEOSEARCHSTORE $g $g FROMLONLAT 15 37 BYBOX 400 400 km
PFADD $p $m $m
PFCOUNT $p $p
PFMERGE $p $p
DEL $k $k
UNLINK $k
EXISTS $k $k nosuch
TOUCH $k $k
TYPE $k
EXPIREAT $k $e
EXPIREAT $k $e NX
PEXPIREAT $k $e000
EXPIRETIME nosuch
PEXPIRETIME nosuch
PERSIST $k
EXPIRE $k 0
EXPIRE $k x
RENAME $s $s
RENAMENX $s $s
RENAME nosuch $s
COPY $k $k REPLACE
COPY $s $s DB 5
MOVE $s 7
OBJECT ENCODING $k
OBJECT REFCOUNT nosuch
OBJECT FREQ $s
OBJECT NOSUCH $s
OBJECT HELP
DUMP $s
RESTORE $s 0 bad
SORT $l ALPHA
SORT $l
SORT $t DESC LIMIT 0 $n
SORT_RO $t BY nosort GET # GET nosuch*
SORT $t STORE $l
EVAL return{KEYS[1],ARGV[1],1,{2,3}} 1 $s $v
EVAL return(redis.call('get',KEYS[1])) 1 $s
EVAL return(redis.call('incr',KEYS[1])) 1 $s
EVAL return(redis.pcall('incr',KEYS[1])) 1 $s
EVAL return{err='MYERR_it_went_wrong'} 0
EVAL return{ok='fine'} 0
EVAL bad(syntax 0
EVAL return(redis.call('nosuch')) 0
EVAL return(1) -1
EVAL return(1) 3 a
EVAL_RO return(redis.call('set',KEYS[1],'x')) 1 $s
EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0
EVALSHA ffffffffffffffffffffffffffffffffffffffff 0
EVALSHA a42059b356c875f0717db19a51f6aaca9ae659ea 2 $s $s
SCRIPT LOAD return(1)
SCRIPT EXISTS e0e1f9fabfc9d4800c877a703b823ac0578ff8db ffffffffffffffffffffffffffffffffffffffff
SCRIPT FLUSH
SCRIPT NOSUCH
FUNCTION LIST
FUNCTION LOAD #!lua_name=lib\nredis.register_function('f',function(keys,args)return(args[1])end)
FCALL f 0 $v
FCALL nosuch 0
FUNCTION FLUSH
SCAN 0 MATCH nosuch* COUNT 100000
SCAN x
SCAN 0 COUNT 0
SCAN 0 TYPE a b c
KEYS nosuch*
RANDOMKEY x y
DBSIZE
PING
PING $v
ECHO $v
TIME x y
LOLWUT x y
COMMAND COUNT
COMMAND GETKEYS MSET a b c d
COMMAND INFO get nosuch
CONFIG GET maxmemory-policy
CONFIG GET nosuch
CONFIG NOSUCH
CONFIG SET nosuch 1
CLIENT SETNAME $m
CLIENT SETNAME a\nb
CLIENT GETNAME
CLIENT NOSUCH
CLIENT NO-TOUCH ON
CLIENT KILL ID 0
CLIENT UNBLOCK 999999
CLIENT LIST ID 999999
CLIENT REPLY NOSUCH
CLIENT
ACL WHOAMI
ACL CAT nosuch
ACL NOSUCH
PUBLISH nobody $v
SPUBLISH nobody $v
PUBSUB CHANNELS nosuch*
PUBSUB NUMSUB nosuch
PUBSUB NUMPAT
WAIT 0 0
WAIT 0 x
WAIT 1 1
SLOWLOG NOSUCH
MEMORY NOSUCH
MEMORY USAGE nosuch
LATENCY NOSUCH
DEBUG SLEEP 0
MODULE LIST
CLUSTER INFO
READONLY
READWRITE
ASKING
ROLE x y
SELECT $n
SELECT 0
SELECT 99999
SELECT x
SELECT -1
SWAPDB 14 15
SWAPDB a b
FLUSHDB NOSUCH
NOSUCH a b $v
nosuch
GET
SET a
AUTH x
AUTH a b c d
AUTH nobody x
HELLO 9
HELLO x
HELLO 2 SETNAME
HELLO 2 SETNAME a\nb
HELLO 2 SETNAME $m
HELLO 2 NOSUCH x
EXEC
DISCARD
MULTI x
EXEC x
UNWATCH
WATCH $k $k
WATCH
RESET x
GETKEYSINSLOT
OBJECT
XGROUP
PSYNC x
`), "\n")

func (g *grammar) command() []string {
	return g.fill(templates[g.rng.IntN(len(templates))])
}

func (g *grammar) fill(tpl string) []string {
	words := strings.Split(tpl, " ")
	for i, w := range words {
		words[i] = g.word(w)
	}
	switch n := g.rng.IntN(60); {
	case n == 0 && words[0] != "COMMAND": // alone it lists the commands in an order of each server's own
		words = words[:max(1, len(words)-1)]
	case n == 1 && !surplusMeansMore[words[0]]:
		words = append(words, "77")
	}
	switch g.rng.IntN(4) {
	case 0:
		words[0] = strings.ToLower(words[0])
	case 1:
		words[0] = words[0][:1] + strings.ToLower(words[0][1:])
	}
	return words
}

// surplusMeansMore are commands that do something else with one more argument: block for longer, become a replica, or set
// a name before they fail (see doc.go).
var surplusMeansMore = map[string]bool{
	"BLPOP": true, "BRPOP": true, "BZPOPMIN": true, "BZPOPMAX": true, "PSYNC": true, "HELLO": true,
}

func (g *grammar) word(w string) string {
	if len(w) < 2 || w[0] != '$' {
		return strings.ReplaceAll(w, `\n`, "\n")
	}
	n := g.rng.IntN
	switch w[1] {
	case 'k':
		return string("slhtzxgp"[n(8)]) + string(rune('0'+n(4)))
	case 's', 'l', 'h', 't', 'z', 'x', 'g', 'p':
		kind := w[1]
		if n(25) == 0 {
			kind = "slhtzxgp"[n(8)] // of the wrong type
		}
		return string(kind) + string(rune('0'+n(4)))
	case 'n':
		return fmt.Sprint(n(9))
	case 'i':
		return fmt.Sprint(n(40))
	case 'm':
		return fmt.Sprintf("m%d", n(8))
	case 'c':
		return fmt.Sprintf("%d.%d", n(5), n(4)*25)
	case 'e':
		return fmt.Sprint(4000000000+n(3)) + w[2:]
	case 'd':
		if n(4) == 0 {
			return fmt.Sprintf("%d-1", 1+n(20))
		}
		g.seq++
		return fmt.Sprintf("%d-1", g.seq)
	case 'v':
		return g.value()
	}
	return w
}

func (g *grammar) value() string {
	switch g.rng.IntN(10) {
	case 0:
		return ""
	case 1:
		return "\r\n$5\r\n\x00\xff+OK\r\n"
	case 2:
		b := make([]byte, g.rng.IntN(3000))
		for i := range b {
			b[i] = byte(g.rng.UintN(256))
		}
		return string(b)
	}
	return fmt.Sprintf("v%d", g.rng.IntN(1000))
}

// batch makes some commands; sometimes a transaction, with a watch before it or not, that ends in one way or another.
func (g *grammar) batch() [][]string {
	var out [][]string
	n := 1 + g.rng.IntN(12)
	if g.rng.IntN(4) > 0 {
		for range n {
			out = append(out, g.command())
		}
		return out
	}
	if g.rng.IntN(3) == 0 {
		out = append(out, g.fill("WATCH $k $s"))
		if g.rng.IntN(2) == 0 {
			out = append(out, g.command())
		}
	}
	out = append(out, []string{"MULTI"})
	for range n {
		switch g.rng.IntN(15) {
		case 0:
			out = append(out, []string{"MULTI"})
		case 1:
			out = append(out, g.fill("WATCH $k"))
		case 2:
			out = append(out, []string{"SELECT", fmt.Sprint(g.rng.IntN(3))})
		default:
			out = append(out, g.command())
		}
	}
	return append(out, [][]string{{"EXEC"}, {"EXEC"}, {"EXEC"}, {"DISCARD"}}[g.rng.IntN(4)])
}

// encode writes a batch, some commands as lines where that is possible.
func (g *grammar) encode(cmds [][]string) []byte {
	var b []byte
	for _, c := range cmds {
		if g.rng.IntN(10) == 0 && inlineable(c) {
			b = append(b, strings.Join(c, " ")...)
			b = append(b, []string{"\r\n", "\n"}[g.rng.IntN(2)]...)
			continue
		}
		b = resp.AppendCommand(b, c...)
		if g.rng.IntN(20) == 0 {
			b = append(b, []string{"\r\n", "*0\r\n", "*-1\r\n", "\n"}[g.rng.IntN(4)]...)
		}
	}
	return b
}

func inlineable(c []string) bool {
	for _, w := range c {
		if w == "" || strings.ContainsAny(w, " \r\n\t\"'\x00\\\x0b\x0c") || len(w) > 1000 {
			return false
		}
	}
	return c[0][0] != '*'
}

// TestRandomStreams sends the same random commands to a server and through the agent.
func TestRandomStreams(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	for _, profile := range []string{profileMultiplexed, profileTransparent} {
		w := newWorld(t, &Settings{Profile: profile})
		for i, proto := range []string{"2", "3"} {
			t.Run(profile+"/resp"+proto, func(t *testing.T) {
				w.flush()
				s := seed + uint64(i)
				what := fmt.Sprintf("-differential.seed=%d", seed)
				p := w.pair(t)
				p.what = what
				g := &grammar{rng: rand.New(rand.NewPCG(s, 1))}
				p.same("HELLO " + proto)
				for range *streamFlag {
					cmds := g.batch()
					p.batch(cmds, g.encode(cmds), g.rng)
				}
			})
		}
	}
}
