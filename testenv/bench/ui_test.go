package main

import "testing"

// TestPages measures the pages once, with few resources and nothing slowed down: the browser sees the views and the updates.
func TestPages(t *testing.T) {
	r, err := measureUI(t, "", uiOrder{Resources: 40, Agents: 2, Each: 40, CPU: 1, Mbit: 100, RTT: 1, Runs: 1, Updates: 10}, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	for _, ms := range [][]float64{r.Overview, r.Catalogue, r.Updates[0].Ms, r.Updates[1].Ms} {
		if m := median(ms); m <= 0 || m > 30_000 {
			t.Errorf("%+v", r)
		}
	}
	if r.Updates[0].Rows != 40 || r.Updates[1].Rows != 40 {
		t.Errorf("the catalogue holds %d and %d rows of 40", r.Updates[0].Rows, r.Updates[1].Rows)
	}
}
