// Package otlp sends spans to an OpenTelemetry collector, as OTLP over HTTP in JSON
// (https://opentelemetry.io/docs/specs/otlp/#otlphttp), without the OpenTelemetry SDK: spans are made by the trace
// filter, which needs none of the SDK's samplers, processors and propagators, only their way out.
//
// # Who calls it
//
// The agent opens one [Exporter] for each collector that a policy names. The trace filter hands it the sampled calls.
//
//	Export -> queue (bounded, never blocks) -> batch (full, or Every old) -> POST URL/v1/traces -> next batch
//
// # Loss
//
// A span is lost, and counted in sluice_dropped_total{what="otlp"}, when the queue is full, when the collector refuses
// it, when it could not be sent for RetryFor, and when Close gives up. Answers 429, 502, 503 and 504 and failed
// connections are tried again after growing, jittered pauses, or after the time that the collector asks for; all other
// answers are final. A batch is sent again whole, and collectors recognise spans by their ids.
//
// # Goroutines and locks
//
// One goroutine sends; Close ends it and waits for it. Exporter.mu is taken for reading by Export and for writing only
// at the moment of Close, so that Export waits for nobody and no span slips in after the last batch.
package otlp
