package agent

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/sluice-mesh/sluice/agent/control"
	"github.com/sluice-mesh/sluice/config"
)

// Reload reads the file again, as SIGHUP asks for, and reopens log files. A file with any error is refused whole: what
// runs goes on, and every problem is logged.
//
// The last word counts: a resource whose entry in the file was edited since it was last read is taken from the file, even
// if it had been changed over HTTP.
func (a *Agent) Reload() error {
	a.sinks.Reopen()
	a.changing.Lock()
	defer a.changing.Unlock()
	if a.draining.Load() {
		return errDraining
	}
	next, err := a.opt.Config.Load(a.file.Path)
	if err != nil {
		return a.refuse(err)
	}
	js, err := jsonOf(next)
	if err != nil {
		return a.refuse(err)
	}
	forgotten, err := a.forget(edited(a.fileJSON, js))
	if err != nil {
		return a.refuse(err)
	}
	want, err := a.desired(next)
	if err == nil && a.center != nil {
		err = a.center.overlay(want, next.Wants)
	}
	if err == nil {
		err = a.set.apply(want)
	}
	if err != nil {
		a.remember(forgotten)
		return a.refuse(err)
	}
	if keys := needsRestart(a.file.Agent, next.Agent); len(keys) > 0 {
		a.log.Warn("these settings take effect when the agent is restarted", "settings", keys)
	}
	drain := next.Agent.Drain
	next.Agent = a.file.Agent // what is in force, except for what is live
	next.Agent.Drain = drain
	before := a.fileJSON
	a.file, a.fileJSON = next, js
	if a.center != nil && !maps.Equal(before, js) {
		a.center.reloaded()
	}
	a.reloads.Add(1)
	a.changed()
	a.log.Info("config read again", "file", next.Path, "resources", len(want), "revision", a.revisionNumber())
	return nil
}

// refuse logs every problem of a config that is not taken.
func (a *Agent) refuse(err error) error {
	var problems *config.Errors
	if errors.As(err, &problems) {
		for _, p := range problems.Problems {
			a.log.Error("config problem", "at", fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column), "path", p.Path, "problem", p.Message)
		}
	}
	a.log.Error("the changed config is refused, what runs goes on", "error", err)
	return err
}

// forget drops what was changed over HTTP of these resources, and returns it.
func (a *Agent) forget(names []string) ([]control.Saved, error) {
	var gone []control.Saved
	for _, kept := range a.store.Resources() {
		if !slices.Contains(names, kept.Name) {
			continue
		}
		if err := a.store.ForgetResource(kept.Name); err != nil {
			a.remember(gone)
			return nil, err
		}
		a.log.Info("the file was edited, so what was changed over HTTP is dropped", "resource", kept.Name, "changed", kept.Changed)
		gone = append(gone, kept)
	}
	return gone, nil
}

// remember takes forget back.
func (a *Agent) remember(list []control.Saved) {
	for _, kept := range list {
		err := error(nil)
		if kept.Deleted {
			err = a.store.DeleteResource(kept.Name)
		} else {
			err = a.store.PutResource(kept.Name, kept.Data)
		}
		if err != nil {
			a.log.Error("what was changed over HTTP could not be kept", "resource", kept.Name, "error", err)
		}
	}
}

// recompile brings the commands of a resource into force. A resource that does not exist (any more) has none to bring.
func (a *Agent) recompile(name string) error {
	a.changing.Lock()
	defer a.changing.Unlock()
	defer a.changed()
	m := a.set.get(name)
	if m == nil || a.draining.Load() {
		return nil
	}
	return a.set.recompile(m)
}

// changed publishes a new revision, and follows what the resources of now need from elsewhere. changing is held.
func (a *Agent) changed() {
	a.console.follow()
	a.revision.Set(int64(a.revisionNumber()))
}

// revisionNumber grows with every change of resources and commands.
func (a *Agent) revisionNumber() uint64 {
	n := a.store.Revision() + a.reloads.Load() + a.console.changes.Load()
	if a.center != nil {
		n += a.center.keep.Changes()
	}
	return n
}

var errDraining = errors.New("the agent is draining")
