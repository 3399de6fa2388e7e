package main

import (
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// microBench names the benchmark that stands for a figure.
type microBench struct {
	key, pkg, bench string
}

var microBenches = []microBench{
	{"histogram", "./metrics", "BenchmarkHistogramRecord"},
	{"limiter", "./agent/filter/ratelimit", "BenchmarkFilter"},
	{"breaker", "./agent/filter/breaker", "BenchmarkFilter"},
}

// runMicro runs one benchmark several times and returns the median of its ns/op with the lowest and the highest.
func runMicro(m microBench, count int) (estimate, error) {
	cmd := exec.Command("go", "test", "-run", "^$", "-bench", "^"+m.bench+"$", "-benchtime", "100ms", "-count", strconv.Itoa(count), "-cpu", "1", m.pkg)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return estimate{}, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	ns, err := nsPerOp(string(out), m.bench)
	if err != nil {
		return estimate{}, fmt.Errorf("%s in %s: %w", m.bench, m.pkg, err)
	}
	slices.Sort(ns)
	return estimate{Value: ns[len(ns)/2], Low: ns[0], High: ns[len(ns)-1]}, nil
}

var benchLine = regexp.MustCompile(`(?m)^(Benchmark\S+)\s+\d+\s+([0-9.]+) ns/op`)

// nsPerOp finds a benchmark's results in the output of go test.
func nsPerOp(out, name string) ([]float64, error) {
	var ns []float64
	for _, m := range benchLine.FindAllStringSubmatch(out, -1) {
		base, _, _ := strings.Cut(m[1], "-")
		if base != name {
			continue
		}
		v, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			return nil, err
		}
		ns = append(ns, v)
	}
	if ns == nil {
		return nil, errors.New("no such benchmark ran")
	}
	return ns, nil
}
