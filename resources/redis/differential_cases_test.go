package redis

// sequences are sessions of several clients, "N> command" being sent by client N and answered before the next line. A line
// "N<" awaits one more reply of client N, "N<EOF" the end of its connection, "N<?1" until one client is blocked. "N>>" does
// not await the reply. Server and agent must agree in all of it.
var sequences = map[string]string{
	"watch conflict": `
1> SET k 1
1> WATCH k
2> SET k 2
1> MULTI
1> SET k 3
1> EXEC
1> GET k
1> EXEC`,
	"watch without conflict": `
1> WATCH k
1> GET k
1> MULTI
1> INCR n
2> SET other 1
1> EXEC
1> GET n`,
	"unwatch": `
1> WATCH k
2> SET k 1
1> UNWATCH
1> MULTI
1> SET k 2
1> EXEC
1> GET k`,
	"discard forgets watches": `
1> WATCH k
2> SET k 1
1> MULTI
1> DISCARD
1> MULTI
1> SET k 2
1> EXEC`,
	"two watchers": `
1> WATCH k
2> WATCH k
1> MULTI
2> MULTI
1> INCR k
2> INCR k
1> EXEC
2> EXEC
1> GET k`,
	"watch of a missing key that is created": `
1> WATCH new
2> SET new 1
2> DEL new
1> MULTI
1> PING
1> EXEC`,
	"nested multi": `
1> MULTI
1> MULTI
1> SET a 1
1> EXEC
1> EXEC`,
	"errors in a transaction": `
1> MULTI
1> NOSUCH
1> SET a 1
1> EXEC
1> GET a
1> MULTI
1> SET a
1> EXEC
1> MULTI
1> SET a x
1> INCR a
1> SET b 2
1> EXEC
1> GET b`,
	"watch in a transaction": `
1> MULTI
1> WATCH a
1> SET a 1
1> EXEC`,
	"unwatch in a transaction": `
1> MULTI
1> UNWATCH
1> EXEC
1> PING`,
	"blocking in a transaction": `
1> MULTI
1> BLPOP nolist 0
1> XREAD BLOCK 0 STREAMS nostream $
1> WAIT 0 0
1> EXEC`,
	"subscribe in a transaction": `
1> MULTI
1> SUBSCRIBE ch
1> EXEC
1> PING
1> UNSUBSCRIBE ch
1> PING`,
	"select in a transaction": `
1> MULTI
1> SELECT 3
1> SET in3 x
1> EXEC
1> GET in3
1> SELECT 0
1> GET in3`,
	"client names in a transaction": `
1> CLIENT SETNAME before
1> MULTI
1> CLIENT SETNAME within
1> CLIENT GETNAME
1> EXEC
1> CLIENT GETNAME`,
	"exec and discard alone": `
1> EXEC
1> DISCARD
1> UNWATCH
1> EXEC x`,
	"reset in a transaction": `
1> MULTI
1> SET a 1
1> RESET
1> EXEC
1> GET a`,
	"reset": `
1> SELECT 2
1> CLIENT SETNAME me
1> HELLO 3
1> RESET
1> CLIENT GETNAME
1> SET where 0
1> SELECT 0
1> GET where
1> HGETALL nosuch`,
	"quit": `
1> SET a 1
1> QUIT
1<EOF`,
	"quit in a transaction": `
1> MULTI
1> SET quitted 1
1> QUIT
1<EOF
2> GET quitted`,
	"quit with arguments": `
1> QUIT now
1<EOF`,
	"select is kept apart": `
1> SELECT 1
2> SELECT 2
1> SET k one
2> SET k two
3> GET k
1> GET k
2> GET k
1> SELECT 0
1> GET k
1> SELECT nonsense
1> SELECT 16
1> GET k`,
	"swapdb and move": `
1> SET k 1
1> MOVE k 4
1> SELECT 4
1> GET k
1> SWAPDB 0 4
1> GET k
1> SELECT 0
1> GET k
1> SWAPDB 0 4`,
	"names": `
1> CLIENT GETNAME
1> CLIENT SETNAME one
2> CLIENT GETNAME
1> CLIENT GETNAME
1> BLPOP nolist 0.01
1> CLIENT GETNAME
1> WATCH k
1> CLIENT GETNAME
1> CLIENT SETNAME other
1> CLIENT GETNAME
1> UNWATCH
1> CLIENT GETNAME
2> BLPOP nolist 0.01
2> CLIENT GETNAME
1> CLIENT SETNAME bad\x20name
1> HELLO 3 SETNAME third
1> CLIENT GETNAME
1> WATCH k
1> HELLO 2 SETNAME fourth
1> CLIENT GETNAME
1> UNWATCH
1> CLIENT GETNAME`,
	"reply off": `
1>> CLIENT REPLY OFF
1>> SET k 1
1>> INCR k
1>> CLIENT REPLY OFF
1>> CLIENT REPLY SKIP
1> CLIENT REPLY ON
1> GET k
1>> CLIENT REPLY SKIP
1>> INCR k
1> GET k
1>> CLIENT REPLY SKIP
1>> CLIENT REPLY SKIP
1>> INCR k
1> GET k
1>> CLIENT REPLY SKIP
1>> CLIENT REPLY OFF
1>> INCR k
1> CLIENT REPLY ON
1> GET k
1> CLIENT REPLY NEVER
1> CLIENT REPLY`,
	"reply skip of blocking and transactions": `
1>> CLIENT REPLY SKIP
1>> BLPOP nolist 0.01
1> PING
1>> CLIENT REPLY SKIP
1>> MULTI
1> SET a 1
1> EXEC
1>> CLIENT REPLY SKIP
1>> SELECT 1
1> SET ina 1
1> SELECT 0
1> GET ina`,
	"hello": `
1> HELLO
1> HELLO 3
1> HGETALL nosuch
1> GET nosuch
1> HELLO
1> HELLO 2
1> GET nosuch
1> HELLO 4
1> HELLO three
1> HELLO 3 AUTH nobody wrong SETNAME x
1> HELLO 3 AUTH nobody
1> HELLO 3 SETNAME
1> CLIENT GETNAME
1> PING`,
	"resp3 types": `
1> HELLO 3
1> HSET h a 1 b 2
1> HGETALL h
1> ZADD z 1.5 a 2 b
1> ZRANGE z 0 -1 WITHSCORES
1> ZSCORE z a
1> SADD s 1 2
1> SMEMBERS s
1> GET nosuch
1> LRANGE nosuch 0 -1
1> BLPOP nosuch 0.01
1> CONFIG GET maxmemory
1> XREAD STREAMS nosuch 0
1> XADD x 1-1 f v
1> XREAD STREAMS x 0
1> DEBUG PROTOCOL verbatim
1> MULTI
1> HGETALL h
1> EXEC
1> ACL WHOAMI`,
	"subscribe": `
1> SUBSCRIBE a
2> PUBLISH a hello
1<
2> PUBLISH b hello
1> PING
1> PING text
1> GET k
1> PSUBSCRIBE b*
2> PUBLISH bb hello
1<
1> UNSUBSCRIBE a
1> PUNSUBSCRIBE b*
1> GET k
1> PING`,
	"subscribe to several": `
1> SUBSCRIBE a b a
1<
1<
2> PUBLISH a 1
1<
1> UNSUBSCRIBE a nosuch
1<
1> SUBSCRIBE c
2> PUBLISH c 2
1<
1> UNSUBSCRIBE b
1> UNSUBSCRIBE
1> SET k 1
1> GET k`,
	"unsubscribe from nothing": `
1> UNSUBSCRIBE
1> PUNSUBSCRIBE
1> SUNSUBSCRIBE
1> UNSUBSCRIBE a b
1<
1> PUNSUBSCRIBE a
1> SUNSUBSCRIBE a
1> PING`,
	"patterns and channels": `
1> PSUBSCRIBE a*
1> SUBSCRIBE aa
2> PUBLISH aa m
1<
1<
1> PUNSUBSCRIBE
2> PUBLISH aa m
1<
1> UNSUBSCRIBE
1> ECHO done`,
	"shard channels": `
1> SSUBSCRIBE s1 s2
1<
2> SPUBLISH s1 m
1<
1> SUBSCRIBE a
2> PUBLISH a m
1<
1> UNSUBSCRIBE
1> SUNSUBSCRIBE s1
1> GET k
1> SUNSUBSCRIBE
1> GET k`,
	"what subscribers may say": `
1> SUBSCRIBE a
1> SET k v
1> MULTI
1> SUBSCRIBE
1> NOSUCH
1> SELECT 1
1> CLIENT SETNAME x
1> HELLO 3
1> RESET
1> CLIENT GETNAME
1> GET k`,
	"subscriber quits": `
1> SUBSCRIBE a
1> QUIT
1<EOF
2> PUBLISH a m`,
	"subscribe in resp3": `
1> HELLO 3
1> SUBSCRIBE a
1> GET k
1> SET k 1
1> GET k
2> PUBLISH a m
1<
1> PSUBSCRIBE a*
2> PUBLISH ab m
1<
1> PING
1> INCR k
1> UNSUBSCRIBE
1> PUNSUBSCRIBE
1> GET k
1> UNSUBSCRIBE`,
	"subscribe to itself in resp3": `
1> HELLO 3
1> SUBSCRIBE a b
1<
1> PUBLISH a one
1<
1> UNSUBSCRIBE a
1> PUBLISH a none
1> UNSUBSCRIBE b`,
	"arrays that look like messages": `
1> RPUSH l message ch text
1> LRANGE l 0 -1
1> RPUSH l2 subscribe ch 1
1> LRANGE l2 0 -1
1> HELLO 3
1> SUBSCRIBE ch
1> LRANGE l 0 -1
1> LRANGE l2 0 -1
1> UNSUBSCRIBE
1> LRANGE l2 0 -1`,
	"monitor refused": `
1> MONITOR x
1> PING
1> MULTI
1> MONITOR
1> EXEC
1> PING`,
	"blocking with data": `
1> RPUSH l a b c
1> BLPOP l 0
1> BRPOP nosuch l 0
1> BLMOVE l m LEFT RIGHT 0
1> BLPOP m nosuch 0
1> BLPOP m 0.01
1> ZADD z 1 a 2 b
1> BZPOPMIN z 0
1> BZPOPMAX nosuch z 0
1> BZPOPMAX z 0.01
1> XADD x 1-1 f v
1> XREAD BLOCK 0 STREAMS x 0
1> XREAD BLOCK 10 STREAMS x $
1> SET k v
1> BLPOP k 0
1> BLPOP l notanumber
1> BLPOP l -1
1> BLPOP l`,
	"blocking that is served later": `
1>> BLPOP l 0
1<?1
2> RPUSH l first
1<
1>> BLMOVE src dst LEFT RIGHT 0
1<?1
2> RPUSH src moved
1<
2> LRANGE dst 0 -1
1>> XREAD BLOCK 0 STREAMS x $
1<?1
2> XADD x 7-7 f v
1<
1>> BZPOPMIN z1 z2 0
1<?1
2> ZADD z2 1 one
1<`,
	"two blocked clients in order": `
1>> BLPOP q 0
1<?1
2>> BLPOP q 0
2<?2
3> RPUSH q x
3> RPUSH q y
1<
2<
3> LLEN q`,
	"blocked client has more to say": `
1>> BLPOP l 0
1>> GET k
1>> INCR n
1<?1
2> SET k late
2> RPUSH l now
1<
1<
1<`,
	"commands that need a connection follow each other": `
1> BLPOP l 0.01
1> WATCH a
1> BLPOP l 0.01
1> MULTI
1> SET a 1
1> EXEC
1> WAIT 0 0
1> SUBSCRIBE c
1> UNSUBSCRIBE c
1> GET a`,
	"scripts": `
1> SCRIPT LOAD return\x201
1> EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0
2> EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0
1> SCRIPT EXISTS e0e1f9fabfc9d4800c877a703b823ac0578ff8db
1> EVAL redis.call('set',KEYS[1],ARGV[1])\x20return\x20redis.call('get',KEYS[1]) 1 k v
1> EVAL redis.setresp(3)\x20return\x20redis.call('hgetall',KEYS[1]) 1 nosuch
1> SCRIPT FLUSH
1> EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0
1> EVAL return\x20redis.call('blpop',KEYS[1],0) 1 nolist
1> EVAL return\x20redis.call('subscribe','x') 0`,
	"unknown commands": `
1> NOSUCH a b c
1> GET
1> CONFIG NOSUCH
1> CONFIG
1> XINFO NOSUCH k
1> PING
1> "quoted"
1> VERYLONGNAMEVERYLONGNAMEVERYLONGNAMEVERYLONGNAMEVERYLONGNAMEVERYLONGNAMEVERYLONGNAMEVERYLONGNAMEVERYLONGNAMEVERYLONGNAMEVERYLONGNAME arg`,
	"security": `
1> SET k 1
1>> POST /
1<EOF`,
	"host header": `
1>> Host: example.org
1<EOF`,
	"readonly and asking": `
1> READONLY
1> READWRITE
1> ASKING
1> GET k`,
	"tracking": `
1> CLIENT TRACKING ON
1> HELLO 3
1> CLIENT TRACKING ON
1> GET k
2> SET k 2
1<
1> CLIENT TRACKING OFF
1> GET k
1> CLIENT TRACKING ON BCAST PREFIX a
2> SET a1 1
1<
1> CLIENT GETREDIR
1> CLIENT CACHING YES
1> CLIENT TRACKINGINFO`,
}
