// Package servicetest is what tests of drivers of services have around them: a runtime that does the least that a driver needs, and an
// address with the services behind it.
//
// The runtime checks that every call that began ended once. At its end the world checks that of each runtime, and that no session
// and no connection is left. It has no filters, no balance and no probes: drivers are tested with those by testenv.
package servicetest
