package mock_test

import (
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/agent/filter/conformance"
	"github.com/sluice-mesh/sluice/agent/filter/mock"
	"github.com/sluice-mesh/sluice/resources"
)

func TestMockedCallsAreOK(t *testing.T) {
	fx := conformance.New(t, nil, resources.Command{
		ID: "c-7f3a", Type: resources.CommandMock, Percent: 100, Match: resources.Match{Key: "user:*", Op: "GET"}, Reply: "17",
	})
	f := fx.Build(t, mock.Definition, nil)
	if stop := fx.Do(f, "GET", resources.OutcomeOK, 0); stop == nil || *stop != (resources.Stop{Reply: "17", Outcome: resources.OutcomeOK}) {
		t.Errorf("GET got %+v", stop)
	}
	if stop := fx.Do(f, "SET", resources.OutcomeOK, 0); stop != nil {
		t.Errorf("SET got %+v", stop)
	}
}

func TestBadCommandIsNamed(t *testing.T) {
	fx := conformance.New(t, nil, resources.Command{ID: "c-7f3a", Type: resources.CommandMock, Match: resources.Match{Digest: "17"}, Reply: "17"})
	if _, err := mock.Definition.Compile(fx.Env(), nil); err == nil || !strings.Contains(err.Error(), "command c-7f3a: digest") {
		t.Errorf("error is %v", err)
	}
}
