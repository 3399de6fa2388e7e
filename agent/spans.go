package agent

import (
	"github.com/sluice-mesh/sluice/agent/filter"
	"github.com/sluice-mesh/sluice/metrics/otlp"
)

// openSpans opens the exporter of spans for a collector, which the sinks keep and close.
func (a *Agent) openSpans(url string) (filter.SpanSink, error) {
	c := &a.identity
	e, err := otlp.Open(a.registry, otlp.Options{
		URL: url, Service: c.Application, Log: a.log,
		Attributes: []otlp.Attribute{otlp.String("service.instance.id", c.Name), otlp.String("cloud.availability_zone", c.IDC)},
	})
	if err != nil {
		return nil, err
	}
	return spanSink{e}, nil
}

// spanSink turns the calls that filters trace into spans of the protocol.
type spanSink struct{ *otlp.Exporter }

// Export implements filter.SpanSink.
func (s spanSink) Export(in filter.Span) bool {
	out := otlp.Span{
		TraceID: in.TraceID, SpanID: in.SpanID, Parent: in.Parent, Name: in.Resource + " " + in.Op, Kind: otlp.Client,
		Start: in.Start, End: in.End, Failed: in.Failed, Message: in.Fault,
	}
	for _, f := range []struct{ key, value string }{
		{"sluice.resource", in.Resource}, {"sluice.kind", in.Kind}, {"sluice.op", in.Op}, {"sluice.class", in.Class},
		{"sluice.group", in.Group}, {"server.address", in.Endpoint}, {"sluice.caller", in.Caller}, {"client.address", in.Client},
		{"sluice.outcome", in.Outcome},
	} {
		if f.value != "" {
			out.Attributes = append(out.Attributes, otlp.String(f.key, f.value))
		}
	}
	if st := in.Stages; st.Total > 0 {
		out.Attributes = append(out.Attributes, otlp.Int("sluice.receive_us", st.Receive), otlp.Int("sluice.route_us", st.Route),
			otlp.Int("sluice.send_us", st.Send), otlp.Int("sluice.wait_us", st.Wait), otlp.Int("sluice.reply_us", st.Reply))
	}
	out.Attributes = append(out.Attributes, otlp.Int("sluice.tries", int64(in.Tries)),
		otlp.Int("sluice.request.bytes", in.RequestBytes), otlp.Int("sluice.response.bytes", in.ResponseBytes))
	return s.Exporter.Export(out)
}
