// Package mock carries out mock commands: calls get a given text as their answer and no server is asked.
//
// It is how an application is tried against an answer that the real resource does not give. A mocked call counts as
// ok. When several commands select a call, the newest decides. Degrading, which counts as a failure of its own, comes
// before it in the chain; breakers and fault injection come later and do not see mocked calls.
package mock
