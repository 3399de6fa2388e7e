// Package cli is what the operator's verbs are made of: the HTTP client that speaks to an agent or a centre, and the
// rendering of what they answer, as tables, JSON, YAML, live screens and lines.
//
// cmd/sluice declares the verbs and calls this package; nothing else does. It knows the shapes of the HTTP interface
// ([Status], [Resource], [Endpoint] and so on) by their JSON alone, so that a newer agent with more fields still prints.
//
//	cmd/sluice verb -> Client.Do / Client.Stream -> views.go -> Table / Top / EventLine -> stdout
//
// # Rules of the output
//
//   - What a program reads (a pipe, -o json) never holds colours, boxes or cursor movements. Colours appear only on a
//     terminal, never when NO_COLOR is set (https://no-color.org), and never carry a meaning that the words do not.
//   - Text that came over the network is shown with its control characters replaced, so that a key or a client's name
//     cannot drive the terminal.
//   - Errors are one line, and say what to do where that is known.
package cli
