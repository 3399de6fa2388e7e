package mysql

import (
	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/protocols/sql"
	"github.com/sluice-mesh/sluice/resources"
)

// Classes of the kinds of statements. A statement whose effect is unknown is a write wherever that matters.
var classOf = map[sql.Kind]resources.Class{
	sql.Read:    resources.ClassRead,
	sql.Write:   resources.ClassWrite,
	sql.Txn:     resources.ClassTxn,
	sql.Session: resources.ClassSession,
	sql.Admin:   resources.ClassAdmin,
	sql.Unknown: resources.ClassOther,
}

// commandOps are the commands that are operations of their own; statements are operations by their verb.
var commandOps = []struct {
	cmd   mysql.Command
	class resources.Class
}{
	{mysql.ComInitDB, resources.ClassSession},
	{mysql.ComFieldList, resources.ClassRead},
	{mysql.ComStatistics, resources.ClassRead},
	{mysql.ComProcessInfo, resources.ClassRead},
	{mysql.ComProcessKill, resources.ClassAdmin},
	{mysql.ComRefresh, resources.ClassAdmin},
	{mysql.ComShutdown, resources.ClassAdmin},
	{mysql.ComDebug, resources.ClassAdmin},
	{mysql.ComPing, resources.ClassRead},
	{mysql.ComChangeUser, resources.ClassSession},
	{mysql.ComResetConnection, resources.ClassSession},
	{mysql.ComSetOption, resources.ClassSession},
	{mysql.ComStmtPrepare, resources.ClassSession},
	{mysql.ComStmtFetch, resources.ClassRead},
	{mysql.ComStmtSendLongData, resources.ClassSession},
	{mysql.ComStmtReset, resources.ClassSession},
	{mysql.ComStmtClose, resources.ClassSession},
	{mysql.ComStmtBulkExecute, resources.ClassWrite},
	{mysql.ComBinlogDump, resources.ClassStream},
	{mysql.ComBinlogDumpGTID, resources.ClassStream},
	{mysql.ComRegisterSlave, resources.ClassAdmin},
}

// retryOf is the retry rule of a class: only what reads may be sent twice, and what belongs to a transaction, never.
func retryOf(c resources.Class) resources.Retry {
	if c == resources.ClassRead {
		return resources.RetryIdempotent
	}
	return resources.RetryUnsent
}

// verbClasses are the classes that operations have by their verbs; a statement's own class may be another.
var verbClasses = map[sql.Verb]resources.Class{
	sql.VerbSelect: resources.ClassRead, sql.VerbValues: resources.ClassRead, sql.VerbTable: resources.ClassRead,
	sql.VerbDo: resources.ClassRead, sql.VerbShow: resources.ClassRead, sql.VerbExplain: resources.ClassRead,
	sql.VerbDescribe: resources.ClassRead, sql.VerbHelp: resources.ClassRead, sql.VerbChecksum: resources.ClassRead,
	sql.VerbInsert: resources.ClassWrite, sql.VerbReplace: resources.ClassWrite, sql.VerbUpdate: resources.ClassWrite,
	sql.VerbDelete: resources.ClassWrite, sql.VerbLoad: resources.ClassWrite, sql.VerbCall: resources.ClassWrite,
	sql.VerbCreate: resources.ClassWrite, sql.VerbAlter: resources.ClassWrite, sql.VerbDrop: resources.ClassWrite,
	sql.VerbTruncate: resources.ClassWrite, sql.VerbRename: resources.ClassWrite, sql.VerbLock: resources.ClassWrite,
	sql.VerbOptimize: resources.ClassWrite, sql.VerbAnalyze: resources.ClassWrite, sql.VerbRepair: resources.ClassWrite,
	sql.VerbBegin: resources.ClassTxn, sql.VerbCommit: resources.ClassTxn, sql.VerbRollback: resources.ClassTxn,
	sql.VerbSavepoint: resources.ClassTxn, sql.VerbRelease: resources.ClassTxn, sql.VerbXA: resources.ClassTxn,
	sql.VerbSet: resources.ClassSession, sql.VerbUse: resources.ClassSession, sql.VerbPrepare: resources.ClassSession,
	sql.VerbExecute: resources.ClassSession, sql.VerbDeallocate: resources.ClassSession, sql.VerbGet: resources.ClassSession,
	sql.VerbHandler: resources.ClassSession, sql.VerbUnlock: resources.ClassSession,
	sql.VerbKill: resources.ClassAdmin, sql.VerbFlush: resources.ClassAdmin, sql.VerbGrant: resources.ClassAdmin,
	sql.VerbRevoke: resources.ClassAdmin, sql.VerbShutdown: resources.ClassAdmin,
}

// verbs yields all verbs but VerbOther, whose operation is the table's catch-all.
func verbs(yield func(sql.Verb) bool) {
	for v := sql.VerbOther + 1; v.String() != sql.VerbOther.String(); v++ {
		if !yield(v) {
			return
		}
	}
}

// knownOps is the operation table of the kind.
func knownOps() []resources.OpInfo {
	var out []resources.OpInfo
	for v := range verbs {
		class := verbClasses[v]
		out = append(out, resources.OpInfo{Name: v.String(), Class: class, Retry: retryOf(class)})
	}
	for _, c := range commandOps {
		out = append(out, resources.OpInfo{Name: c.cmd.String(), Class: c.class, Retry: retryOf(c.class)})
	}
	return out
}

// opTable finds operations without a map: by verb and by command.
type opTable struct {
	verbs    [256]resources.OpID
	commands [256]resources.OpID
}

func newOpTable(ops *resources.Ops) *opTable {
	t := &opTable{}
	for v := range verbs {
		t.verbs[v], _ = ops.Lookup(v.String())
	}
	for _, c := range commandOps {
		t.commands[c.cmd], _ = ops.Lookup(c.cmd.String())
	}
	return t
}
