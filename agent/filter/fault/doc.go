// Package fault carries out fault commands: it delays calls or fails them, so that operators can see what their
// application does then.
//
// It is last of the standard filters: limits and breakers have decided already, and the breaker counts an injected
// error like one of the resource's own.
//
//   - A delay holds the request back (Call.Delay) before it is sent. It is set for calls that go on only: with an
//     error in the same command the error is answered at once.
//   - An error ends the call with a fault whose text is the command's, as it is: whoever injects "LOADING Redis is
//     loading" wants exactly that. Its code, which decides the outcome in metrics and the error word where a protocol
//     has one, is Unavailable: the application is to believe that the resource failed, and none of the refusals that
//     name a rule of the agent says that.
//
// When several commands select a call, the newest decides.
package fault
