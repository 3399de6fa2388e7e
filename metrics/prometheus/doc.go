// Package prometheus shows a [metrics.Registry] in the Prometheus text format 0.0.4
// (https://prometheus.io/docs/instrumenting/exposition_formats/), followed by the figures of the Go runtime and the
// process under the names that Prometheus users know them by (go_*, process_*).
//
// # Who calls it
//
// The admin interfaces of agent and centre mount [Handler] at /metrics.
//
//	Registry.Gather -> one HELP and TYPE per name -> lines -> 32 KiB buffer -> response
//
// # Why not client_golang
//
// The library's registry would need a collector that copies each of our series into its protobuf model, for every
// scrape, only to have them written as text; the text itself is some sixty lines. What is left, the runtime and process
// collectors, is [runtime/metrics], getrusage and three files of /proc: some 150 lines, where the library brings nine
// modules. The tests read the output back with a strict parser of the format.
//
// Responses are not compressed: the scraper mostly sits beside the agent, and the processor belongs to the calls.
//
// # Invariants
//
//   - All series of one name follow each other, with one HELP and one TYPE line before them, and no two have the same
//     labels.
//   - Buckets of a histogram are cumulative, end in +Inf, and that one equals _count. They are computed from the fine
//     histogram with [metrics.Snapshot.Cumulative]: a call is in a bucket if it took at most the bound, plus some of
//     those up to 3.2 % above it.
//   - A scrape holds no lock of the registry while it writes to a slow client.
package prometheus
