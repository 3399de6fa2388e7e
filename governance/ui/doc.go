// Package ui serves the page of the governance centre: the build of a Svelte application that lies beside it in source. The
// build is committed, in dist, so that compiling needs no Node; README.md says how it is made.
//
// The centre's HTTP server calls it for every path that is none of its own:
//
//	/v1/...           governance/api
//	/assets/NAME      a file of the build; its name holds a hash of its content: kept by browsers for a year
//	/icon.svg, ...    another file at the top of the build: asked for again each time, answered 304 when it is the same
//	any other path    index.html, which reads the path and shows that page: links to pages can be sent, and the back
//	                  button works
//
// # What holds
//
// The page loads nothing from elsewhere and has no inline script or style: the Content-Security-Policy that goes with every
// answer allows neither. Text files are stored gzipped too and sent so to who accepts it. Only GET and HEAD are answered.
//
// dist/sources.sha256 lists the hash of every source and of every built file; a test compares it with what is there, so
// that a build that was forgotten is seen without Node.
//
// Handler holds no state that changes and may be used from any goroutine.
package ui
