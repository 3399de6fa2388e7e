package grpc

import (
	"github.com/sluice-mesh/sluice/protocols/http2"
	"github.com/sluice-mesh/sluice/resources"
)

// judge sets the outcome of a call by the end of its answer. That the service is not to be had, or did not answer in time, counts
// against the server; every other status is the service's own word.
func (sh *shard) judge(c *call, fields []http2.Field) {
	status, code := "", ""
	for i := range fields {
		switch fields[i].Name {
		case "grpc-status":
			status = fields[i].Value
		case ":status":
			code = fields[i].Value
		}
	}
	switch outcome(status, code) {
	case resources.OutcomeOK:
		c.Outcome = resources.OutcomeOK
	case resources.Outcome(resources.Unavailable):
		c.Fault = sh.unavailable(c)
		c.Outcome = resources.OutcomeOf(c.Fault)
	case resources.Outcome(resources.Timeout):
		c.Fault = resources.NewFault(resources.Timeout, resources.FromUpstream, sh.rt.Name(), address(c)+" answered DEADLINE_EXCEEDED")
		c.Outcome = resources.OutcomeOf(c.Fault)
	default:
		c.Outcome = resources.OutcomeError
	}
}

func (sh *shard) unavailable(c *call) *resources.Fault {
	return resources.NewFault(resources.Unavailable, resources.FromUpstream, sh.rt.Name(), address(c)+" answered that the service is unavailable")
}

func address(c *call) string {
	if c.Endpoint == nil {
		return "the server"
	}
	return c.Endpoint.Address
}

// outcome is what a grpc-status means or, where there is none, a status of HTTP
// (github.com/grpc/grpc/doc/http-grpc-status-mapping.md).
func outcome(status, code string) resources.Outcome {
	switch status {
	case "0":
		return resources.OutcomeOK
	case "4":
		return resources.Outcome(resources.Timeout)
	case "14":
		return resources.Outcome(resources.Unavailable)
	case "":
		switch code {
		case "429", "502", "503", "504":
			return resources.Outcome(resources.Unavailable)
		}
	}
	return resources.OutcomeError
}

// failure reports whether an answer counts against its server.
func (u *upstream) failure(fields []http2.Field) bool {
	status, code := "", ""
	for i := range fields {
		switch fields[i].Name {
		case "grpc-status":
			status = fields[i].Value
		case ":status":
			code = fields[i].Value
		}
	}
	return outcome(status, code).Failure()
}
