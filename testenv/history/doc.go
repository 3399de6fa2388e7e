// Package history judges what concurrent clients saw of registers that several nodes serve: what they wrote, read and were refused, with
// the times at which they asked and were answered. It decides, with porcupine, whether one order of all operations explains the
// history: each operation between its call and its answer, each write on top of what it was conditional on.
//
// A node may show what it last heard of (View) and not what is in force (Read). Views are judged as a promise of each node: they only go
// forward, and what a node has answered for is in its views.
package history
