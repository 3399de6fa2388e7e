package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// The pages of the centre in a real browser: the distribution's Chromium, driven by testenv/governance/browser/measure.mjs, over
// a real centre with resources that simulated agents report numbers of. The browser plays a slow laptop: its processor is four
// times slower than this machine's, and its network has 10 Mbit/s and 40 ms, the profile that Lighthouse calls desktop. Browser,
// centre and agents share this machine.
//
// The first view is the time from the start of the navigation, with empty caches and a session that stands, to the end of the
// first frame that shows the page's data. An update is the event by which a page hears, each second, the numbers of all
// resources: what is measured is the CPU time of the page's main thread from then until the next one, from reading the event to painting.
// The figure is for a window as people have them and this machine's processor. There the table of the catalogue holds the rows in
// sight, and lets the others be gaps. The report also has the slow processor, and a window so high that all rows are in sight.

// uiOrder says what to measure.
type uiOrder struct {
	Resources int `json:"resources"`
	Agents    int `json:"agents"`
	Each      int `json:"each"`    // resources of an agent
	CPU       int `json:"cpu"`     // how many times slower the browser's processor is
	Mbit      int `json:"mbit"`    // Mbit/s of its network, both ways
	RTT       int `json:"rtt"`     // ms
	Runs      int `json:"runs"`    // first views of each page
	Updates   int `json:"updates"` // in each window
}

// uiRow is what came out, in ms.
type uiRow struct {
	Order     uiOrder   `json:"order"`
	Overview  []float64 `json:"overview"`  // first views
	Catalogue []float64 `json:"catalogue"` // likewise
	// Updates are those in a window of 1360 by 860 pixels and in one with all rows in sight, first with this machine's
	// processor and then with the slow one.
	Updates []updates `json:"updates"`
}

type updates struct {
	Rows int       `json:"rows"` // that the page holds
	CPU  int       `json:"cpu"`
	Ms   []float64 `json:"ms"`
}

func (b *bench) partUI() error {
	o := uiOrder{Resources: 500, Agents: 20, Each: 50, CPU: 4, Mbit: 10, RTT: 40, Runs: 10, Updates: 20}
	if b.quick {
		o.Runs, o.Updates = 3, 8
	}
	r, err := measureUI(b.t, b.binary, o, b.progress)
	if err != nil {
		return err
	}
	b.results.UI = r
	b.figure("ui-overview", exactly(median(r.Overview)))
	b.figure("ui-catalogue", exactly(median(r.Catalogue)))
	b.figure("ui-update", exactly(median(r.Updates[0].Ms)))
	return nil
}

func measureUI(t server.TB, binary string, o uiOrder, progress func(string)) (*uiRow, error) {
	progress(fmt.Sprintf("pages: %d resources and %d agents", o.Resources, o.Agents))
	center := server.Start(t, server.Center{Name: "bench", Binary: binary})
	var names []string
	for i := range o.Resources {
		name := fmt.Sprintf("%s-%s-%03d", []string{"feed", "user", "order", "search"}[i%4], []string{"cache", "store", "queue"}[i%3], i)
		center.Must("PUT", "/v1/resources/"+name, fmt.Sprintf(`{"kind":"redis","labels":{"team":"team-%d"},"groups":{`+
			`"yf":{"idc":"yf","weight":%d,"endpoints":["10.1.%d.1:6379","10.1.%[3]d.2:6379"]},"tc":{"idc":"tc","weight":%d,"endpoints":["10.2.%[3]d.1:6379"]}}}`,
			i%25, 50+i%50, i%250, 50-i%50), "Content-Type", "application/json")
		names = append(names, name)
	}
	var join struct{ Token string }
	if err := json.Unmarshal([]byte(center.Must("POST", "/v1/joins", fmt.Sprintf(`{"uses": %d}`, o.Agents))), &join); err != nil {
		return nil, fmt.Errorf("join token: %w", err)
	}
	agents, err := startUIAgents(center.Address, join.Token, o.Agents, o.Each, names)
	if err != nil {
		return nil, err
	}
	defer agents.stop()
	if err := reported(center, o.Resources); err != nil {
		return nil, err
	}
	progress(fmt.Sprintf("pages: %d first views and %d updates", 2*o.Runs, 4*o.Updates))
	return browse(t, center, o)
}

// reported waits until the centre has numbers of all resources.
func reported(center *server.CenterProcess, resources int) error {
	for end := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		status, answer, err := center.Call("GET", "/v1/resources", "")
		var list struct {
			Resources []struct{ Rate struct{ Calls float64 } }
		}
		if err == nil && status == 200 {
			err = json.Unmarshal([]byte(answer), &list)
		}
		called := 0
		for _, r := range list.Resources {
			if r.Rate.Calls > 0 {
				called++
			}
		}
		switch {
		case err != nil:
			return fmt.Errorf("the list of resources: %w", err)
		case called == resources:
			return nil
		case time.Now().After(end):
			return fmt.Errorf("%d of %d resources have numbers after a minute", called, resources)
		}
	}
}

// browse runs measure.mjs.
func browse(t server.TB, center *server.CenterProcess, o uiOrder) (*uiRow, error) {
	dir, err := exec.Command("go", "list", "-f", "{{.Dir}}", "github.com/sluice-mesh/sluice/testenv/governance").Output()
	if err != nil {
		return nil, fmt.Errorf("find the folder of measure.mjs: %w", err)
	}
	order, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	node := exec.CommandContext(ctx, "node", "measure.mjs")
	node.Dir = filepath.Join(strings.TrimSpace(string(dir)), "browser")
	server.NodeModules(t, node.Dir)
	node.Env = append(os.Environ(), "CENTER="+center.URL(), "CENTER_TOKEN="+center.Token(), "ORDER="+string(order))
	node.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the browser ends with it
	node.Cancel = func() error { return syscall.Kill(-node.Process.Pid, syscall.SIGKILL) }
	node.WaitDelay = 10 * time.Second
	var said bytes.Buffer
	node.Stderr = &said
	out, err := node.Output()
	if err != nil {
		return nil, fmt.Errorf("measure.mjs: %w\n%s", err, said.Bytes())
	}
	r := &uiRow{Order: o}
	if err := json.Unmarshal(out, r); err != nil {
		return nil, fmt.Errorf("measure.mjs wrote %q: %w", out, err)
	}
	if len(r.Overview) != o.Runs || len(r.Catalogue) != o.Runs || len(r.Updates) < 2 || r.Updates[1].Rows != o.Resources {
		return nil, errors.New("measure.mjs did not measure all that it was told: " + string(out))
	}
	return r, nil
}

func (r *uiRow) print(w io.Writer) {
	o := r.Order
	fmt.Fprintf(w, "\npages in Chromium, %d resources, %d agents; first views with a processor %d times slower and a network of %d Mbit/s and %d ms\n", o.Resources, o.Agents, o.CPU, o.Mbit, o.RTT)
	t := table(w)
	fmt.Fprintln(t, "\tn\tp50 ms\tmax ms\t")
	line := func(name string, ms []float64) {
		fmt.Fprintf(t, "%s\t%d\t%.1f\t%.1f\t\n", name, len(ms), median(ms), slices.Max(ms))
	}
	line("first view, overview", r.Overview)
	line("first view, catalogue", r.Catalogue)
	for _, u := range r.Updates {
		name := fmt.Sprintf("update of the catalogue, %d rows in the page", u.Rows)
		if u.CPU > 1 {
			name += fmt.Sprintf(", processor %d times slower", u.CPU)
		}
		line(name, u.Ms)
	}
	t.Flush()
}
