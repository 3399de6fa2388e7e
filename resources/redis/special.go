package redis

// special marks commands that change what their connection is, or that mean more than their bytes.
type special uint8

const (
	spNone special = iota
	spUnknown
	spAuth
	spHello
	spSelect
	spQuit
	spReset
	spSetName
	spGetName
	spReply
	spPeek  // speaks of the connection that it runs on
	spState // changes the connection in a way that cannot be repeated on another
	spMulti
	spExec
	spDiscard
	spWatch
	spUnwatch
	spSubscribe
	spUnsubscribe
	spMonitor  // the connection becomes a stream of something else than replies
	spBlocking // may wait for a long time
	spXRead    // the same, when it says BLOCK
	spWait     // speaks of the connection's last write
	spScan
	spKeyScan
)

func (s special) session() bool { return s >= spAuth && s <= spState }
func (s special) txn() bool     { return s >= spMulti && s <= spUnwatch }
func (s special) stream() bool  { return s >= spSubscribe && s <= spMonitor }

// plain reports whether a command is no more than its bytes, so that it may share a connection with anybody's.
func (s special) plain() bool { return s == spNone || s == spScan || s == spKeyScan }

var specials = map[string]special{
	"AUTH": spAuth, "HELLO": spHello, "SELECT": spSelect, "QUIT": spQuit, "RESET": spReset,
	"CLIENT|SETNAME": spSetName, "CLIENT|GETNAME": spGetName, "CLIENT|REPLY": spReply,
	"CLIENT|ID": spState, "CLIENT|TRACKING": spState, "CLIENT|CACHING": spState, "CLIENT|NO-EVICT": spState,
	"CLIENT|NO-TOUCH": spState, "CLIENT|CAPA": spState, "CLIENT|INFO": spPeek, "CLIENT|GETREDIR": spPeek,
	"CLIENT|TRACKINGINFO": spPeek, "SCRIPT|DEBUG": spState, "READONLY": spState, "READWRITE": spState, "ASKING": spState,
	"MULTI": spMulti, "EXEC": spExec, "DISCARD": spDiscard, "WATCH": spWatch, "UNWATCH": spUnwatch,
	"SUBSCRIBE": spSubscribe, "PSUBSCRIBE": spSubscribe, "SSUBSCRIBE": spSubscribe,
	"UNSUBSCRIBE": spUnsubscribe, "PUNSUBSCRIBE": spUnsubscribe, "SUNSUBSCRIBE": spUnsubscribe,
	"MONITOR": spMonitor, "SYNC": spMonitor, "PSYNC": spMonitor, "REPLCONF": spMonitor,
	"BLPOP": spBlocking, "BRPOP": spBlocking, "BLMOVE": spBlocking, "BRPOPLPUSH": spBlocking, "BLMPOP": spBlocking,
	"BZPOPMIN": spBlocking, "BZPOPMAX": spBlocking, "BZMPOP": spBlocking,
	"XREAD": spXRead, "XREADGROUP": spXRead, "WAIT": spWait, "WAITAOF": spWait,
	"SCAN": spScan, "SSCAN": spKeyScan, "HSCAN": spKeyScan, "ZSCAN": spKeyScan,
}

// split says how a command over many keys is spread over servers and how the answers become one.
type split uint8

const (
	splitNone    split = iota
	splitSum           // one key each; integers are added: DEL EXISTS TOUCH UNLINK
	splitMGet          // one key each; the values in order
	splitMSet          // a key and a value each; OK when all are
	splitAllSum        // no keys, every server: DBSIZE
	splitAllOK         // no keys, every server, OK when all are: FLUSHALL, SCRIPT FLUSH
	splitAllJoin       // no keys, every server; the arrays one after the other: KEYS
	splitAllSame       // no keys, every server; the first answer stands for all: SCRIPT LOAD
)

func (s split) all() bool { return s >= splitAllSum }

var splits = map[string]split{
	"DEL": splitSum, "EXISTS": splitSum, "TOUCH": splitSum, "UNLINK": splitSum, "MGET": splitMGet, "MSET": splitMSet,
	"DBSIZE": splitAllSum, "FLUSHALL": splitAllOK, "FLUSHDB": splitAllOK, "KEYS": splitAllJoin,
	"SCRIPT|LOAD": splitAllSame, "SCRIPT|FLUSH": splitAllOK, "FUNCTION|LOAD": splitAllSame, "FUNCTION|FLUSH": splitAllOK,
	"FUNCTION|DELETE": splitAllOK, "CONFIG|SET": splitAllOK, "CONFIG|RESETSTAT": splitAllOK,
}
