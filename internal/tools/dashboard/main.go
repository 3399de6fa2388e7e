// Command dashboard writes the Grafana dashboard to standard output. It is made from the table in metrics/dashboard, whose
// tests hold every query against the metrics that there are.
//
//	go run ./internal/tools/dashboard > docs/grafana.json
package main

import (
	"fmt"
	"os"

	"github.com/sluice-mesh/sluice/metrics/dashboard"
)

func main() {
	out, err := dashboard.JSON()
	if err == nil {
		_, err = os.Stdout.Write(out)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "dashboard:", err)
		os.Exit(1)
	}
}
