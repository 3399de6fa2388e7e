package resp

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var commandNames = strings.Fields(`get set setnx setex psetex append strlen del unlink exists setbit getbit bitfield
bitfield_ro setrange getrange substr incr decr mget rpush lpush rpushx lpushx linsert rpop lpop lmpop brpop brpoplpush
blmove blmpop blpop llen lindex lset lrange ltrim lpos lrem rpoplpush lmove sadd srem smove sismember smismember scard
spop srandmember sinter sintercard sinterstore sunion sunionstore sdiff sdiffstore smembers sscan zadd zincrby zrem
zremrangebyscore zremrangebyrank zremrangebylex zunionstore zinterstore zdiffstore zunion zinter zintercard zdiff zrange
zrangestore zrangebyscore zrevrangebyscore zrangebylex zrevrangebylex zcount zlexcount zrevrange zcard zscore zmscore
zrank zrevrank zscan zpopmin zpopmax zmpop bzpopmin bzpopmax bzmpop zrandmember hset hsetnx hget hmset hmget hincrby
hincrbyfloat hdel hlen hstrlen hkeys hvals hgetall hexists hrandfield hscan incrby decrby incrbyfloat getset getdel
getex mset msetnx randomkey select move copy rename renamenx expire expireat pexpire pexpireat keys scan dbsize auth
ping echo save bgsave bgrewriteaof shutdown lastsave type multi exec discard sync psync replconf flushdb flushall sort
sort_ro info monitor ttl touch pttl persist replicaof role debug config subscribe unsubscribe psubscribe punsubscribe
publish spublish ssubscribe sunsubscribe pubsub watch unwatch cluster restore migrate asking readonly readwrite dump
object memory client hello eval eval_ro evalsha evalsha_ro slowlog script time bitop bitcount bitpos wait command geoadd
georadius georadius_ro georadiusbymember georadiusbymember_ro geohash geopos geodist geosearch geosearchstore pfselftest
pfadd pfcount pfmerge pfdebug xadd xrange xrevrange xlen xread xreadgroup xgroup xsetid xack xpending xclaim xautoclaim
xinfo xdel xtrim latency lolwut acl failover function fcall fcall_ro reset quit`)

func TestNamesIgnoreCase(t *testing.T) {
	var names Names[int]
	if _, ok := names.Lookup([]byte("GET")); ok {
		t.Fatal("an empty table knows GET")
	}
	for i, n := range commandNames {
		names.Set(n, i)
	}
	if names.Len() != len(commandNames) {
		t.Fatalf("Len = %d, want %d", names.Len(), len(commandNames))
	}
	for i, n := range commandNames {
		mixed := []byte(n)
		mixed[i%len(n)] = strings.ToUpper(n)[i%len(n)]
		for _, spelling := range [][]byte{[]byte(n), []byte(strings.ToUpper(n)), mixed} {
			if v, ok := names.Lookup(spelling); !ok || v != i {
				t.Fatalf("Lookup(%q) = %d, %v, want %d", spelling, v, ok, i)
			}
		}
	}
	for _, n := range []string{"", "g", "ge", "gett", "get ", "get\x00", "\x00get", "G\xc5T", "GE\xd4", "get\r", "GE4", "get@", "[ET"} {
		if v, ok := names.Lookup([]byte(n)); ok {
			t.Errorf("Lookup(%q) found %q", n, commandNames[v])
		}
	}
}

// TestNamesAgainstMap compares with a map over names that are close to each other in length and bytes.
func TestNamesAgainstMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		letters := rapid.SliceOfN(rapid.SampledFrom([]byte("aAzZ@[`{\x00\xe1\xc1_|")), 0, 30)
		var names Names[int]
		model := map[string]int{}
		for i := range rapid.IntRange(0, 40).Draw(t, "sets") {
			n := letters.Draw(t, "name")
			names.Set(string(n), i)
			model[upper(string(n))] = i
		}
		clone := names.Clone()
		clone.Set("only in the clone", 1)
		for range 40 {
			n := letters.Draw(t, "lookup")
			want, wantOK := model[upper(string(n))]
			got, ok := names.Lookup(n)
			if ok != wantOK || got != want {
				t.Fatalf("Lookup(%q) = %d, %v, want %d, %v", n, got, ok, want, wantOK)
			}
		}
		if names.Len() != len(model) || clone.Len() != len(model)+1 {
			t.Fatalf("Len = %d and %d in the clone, want %d and one more", names.Len(), clone.Len(), len(model))
		}
		if _, ok := names.Lookup([]byte("only in the clone")); ok {
			t.Fatal("Set on the clone changed the original")
		}
	})
}

func TestUpper8(t *testing.T) {
	for c := range 256 {
		in := bytes.Repeat([]byte{byte(c)}, 8)
		want := []byte(upper(string(in)))
		if got := upper8(le64(in)); got != le64(want) {
			t.Errorf("upper8 of eight bytes %#x = %#x, want %#x", c, got, le64(want))
		}
	}
}

func TestNamesLookupDoesNotAllocate(t *testing.T) {
	var names Names[int]
	for i, n := range append(commandNames, "a.module.command.with.a.long.name") {
		names.Set(n, i)
	}
	for _, n := range []string{"get", "Zrangebyscore", "unknown", "a.module.COMMAND.with.a.long.name"} {
		name := []byte(n)
		if a := testing.AllocsPerRun(100, func() { names.Lookup(name) }); a != 0 {
			t.Errorf("Lookup(%q) allocates %v times", n, a)
		}
	}
}
