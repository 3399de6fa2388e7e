// Package governance tests the centre as people run it: the real program, real agents linked to it, real Redis and MariaDB behind
// them, and applications that must notice nothing.
package governance
