// Package sql looks at the statements of MySQL and MariaDB without parsing them: bytes in, facts out, in one pass that
// allocates nothing. It has no sockets, no clocks, no goroutines and no locks, and imports nothing of the project.
//
// The mysql driver calls it for each query and each prepared statement, to know what a statement is, where it may run,
// what it leaves behind on its connection and by which name statistics and rules know it:
//
//	text ──> lexer: tokens ──┬──> norm:  normal form, hash ──> Statement.Digest, AppendDigest
//	                         └──> facts: verb, kind, flags, tables ──> Statement
//	comments ──> Statement.Hint ──> Hints
//
// # What to rely on
//
// What is not known for certain is a write. A text that the server may understand differently from this package
// is [Broken] and its kind [Unknown], which has to be treated as [Write]: literals, names and comments without an
// end, control bytes, names that are not UTF-8 where they should be, comments inside executable comments.
//
// Executable comments, /*! ... */ and /*M! ... */, are code whatever their version: which of them run depends on
// server and version, and MariaDB skips versions that MySQL runs. The words inside count like any other, and unless
// all of them merely ask for another way to do a SELECT (SQL_NO_CACHE, SQL_CACHE, SQL_SMALL_RESULT, SQL_BIG_RESULT,
// SQL_BUFFER_RESULT, HIGH_PRIORITY, STRAIGHT_JOIN) the kind is at least Write. Optimizer hints, /*+ ... */, are
// comments.
//
// Several statements in one text have the strictest kind of all (Read, Session, Txn, Admin, Unknown, Write, from mild
// to strict) and the flags of all. Empty statements do not count. The words of a stored program's body count too.
//
// What a text cannot tell: what stored functions, triggers and views do when a SELECT uses them, and what EXECUTE runs.
// CALL and EXECUTE are therefore writes; for stored functions that write, routing needs a hint or a rule. DELIMITER is
// a word of command-line clients and never reaches a server.
//
// A lexer has to know how the server cuts bytes: see [Dialect]. With a wrong client character set or sql_mode a string
// may end elsewhere than the server thinks, and what looks like a literal may be code. Both can change with any SET.
//
// # Digests
//
// [AppendDigest] says what the normal form is. [Statement.Digest] is its hash, over all of it, while the text ends at
// [MaxDigestText]. The hash is the same on every machine and from one version to the next. It has no literals in it, so
// that the digest's text is what belongs in logs; there is no other way to redact a statement here.
//
// # Invariants
//
//   - No byte is looked at more than a fixed number of times, the stack is bounded, nothing recurses on the input.
//   - Spans lie within the text. A Statement is complete after Scan and holds no reference to the text.
//   - Broken implies Unknown. A normal form is its own normal form, with the same hash.
//   - Comments, white space and the case of keywords and names change neither digest nor kind; literals do not either.
//     Two exceptions: a comment within an executable comment is Broken, and a keyword used as a name is one only if no
//     space stands between it and a dot.
//
// Everything here may be used by many goroutines at once; a Statement belongs to whoever has it.
//
// Sources: the MySQL 8.0 and MariaDB 10.11 manuals on lexical structure (literals, identifiers, comments, user-defined
// variables), statements and server SQL modes, and the behaviour of both servers where the manuals are silent.
package sql
